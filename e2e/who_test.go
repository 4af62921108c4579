package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// from dials as a proxy on this machine would for a client elsewhere.
func from(client string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			_, err = fmt.Fprintf(conn, "PROXY TCP4 %s 127.0.0.1 4711 443\r\n", client)
		}
		return conn, err
	}
}

// What everyday frameworks believe of a client that comes by bulsa's TLS, whatever they
// are told to trust.
func TestFrameworksKnowTheirClientBehindTLS(t *testing.T) {
	for _, c := range []struct{ framework, trust, address string }{
		{"express", "loopback", "socket"}, {"express", "", "socket"}, {"express", "loopback", "header"},
		{"fastify", "loopback", "socket"}, {"fastify", "", "socket"}, {"fastify", "loopback", "header"},
		{"koa", "yes", "socket"}, {"koa", "", "socket"}, {"koa", "yes", "header"},
	} {
		t.Run(strings.Join([]string{c.framework, c.trust, c.address}, " "), func(t *testing.T) {
			w := newWorld(t)
			port := freePort(t)
			authority := newAuthority(t)
			authority.files(w, "site", "localhost")
			w.write("compose.yaml", fmt.Sprintf(`services:
  app:
    command: node %s %s %s
    ports: ["127.0.0.1:%s:3000"]
    x-bulsa: {client_address: %s, proxy_protocol: true, trusted_proxies: [127.0.0.1], tls: {certificates: [{cert: site.pem, key: site.key}]}}
`, webApp(t, "who.js"), c.framework, c.trust, port, c.address))
			s := w.ready("up", "--admin", "off")
			client := http.Client{Timeout: patience, Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: authority.pool, ServerName: "localhost"},
				DialContext:     from("203.0.113.5"),
			}}
			defer client.CloseIdleConnections()
			res, err := client.Get("https://127.0.0.1:" + port + "/")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var saw struct{ IP, Protocol, Forwarded, Peer string }
			if err := json.NewDecoder(res.Body).Decode(&saw); err != nil {
				t.Fatal(err)
			}
			peer := map[string]string{"socket": "203.0.113.5", "header": "127.0.0.1"}[c.address]
			if saw.IP != "203.0.113.5" || saw.Protocol != "https" || saw.Peer != peer || saw.Forwarded != "" {
				t.Errorf("the application saw %+v", saw)
			}
			if c.framework == "express" {
				if cookie := res.Header.Get("Set-Cookie"); !strings.Contains(cookie, "; Secure") {
					t.Errorf("the session's cookie is %q", cookie)
				}
				if text := s.stdout.String() + s.stderr.String(); strings.Contains(text, "ERR_ERL_FORWARDED_HEADER") || c.trust != "" && strings.Contains(text, "ERR_ERL") {
					t.Errorf("express-rate-limit complains:\n%s", text)
				}
			}
		})
	}
}
