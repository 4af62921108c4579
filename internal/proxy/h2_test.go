package proxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"bulsa/internal/balance"
)

// identity is a certificate for 127.0.0.1 and localhost, and who believes it.
func identity(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// secure makes the house speak TLS and returns who believes its certificate.
func (h *house) secure(s Settings) *x509.CertPool {
	cert, pool := identity(h.t)
	l := NewListener(Route{Service: "app", Port: "443", Pool: h.pool, Settings: s})
	l.TLS = &TLS{Config: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}}
	h.server.SetTable(Table{"app:80": l})
	return pool
}

// tongue is a way to ask the proxy.
type tongue struct {
	name   string
	client *http.Client
	url    string
}

func protocols(set func(p *http.Protocols)) *http.Protocols {
	p := new(http.Protocols)
	set(p)
	return p
}

// tongues opens a house for each protocol and runs the test in it.
func tongues(t *testing.T, s Settings, endpoints func(t *testing.T) []*balance.Endpoint, test func(t *testing.T, h *house, by tongue)) {
	for _, name := range []string{"h2c", "h2", "https"} {
		t.Run(name, func(t *testing.T) {
			h := open(t, s, endpoints(t)...)
			by := tongue{name: name, url: h.url("")}
			transport := &http.Transport{DisableCompression: true}
			switch name {
			case "h2c":
				transport.Protocols = protocols(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
			case "h2":
				transport.Protocols = protocols(func(p *http.Protocols) { p.SetHTTP2(true) })
			case "https":
				transport.Protocols = protocols(func(p *http.Protocols) { p.SetHTTP1(true) })
			}
			if name != "h2c" {
				transport.TLSClientConfig = &tls.Config{RootCAs: h.secure(s)}
				by.url = strings.Replace(by.url, "http:", "https:", 1)
			}
			by.client = &http.Client{Transport: transport, Timeout: 10 * time.Second}
			t.Cleanup(transport.CloseIdleConnections)
			test(t, h, by)
		})
	}
}

func TestEveryProtocolSharesTableAndCounters(t *testing.T) {
	s := settings()
	s.HSTS = "max-age=60"
	tongues(t, s, func(t *testing.T) []*balance.Endpoint {
		echo := func(name string) *balance.Endpoint {
			return app(t, name, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Saw", fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header.Get("X-Forwarded-Proto"), " ", r.Header["Cookie"], " ", r.ContentLength))
				_, _ = io.Copy(w, r.Body)
				_, _ = io.WriteString(w, name)
			})
		}
		return []*balance.Endpoint{echo("app.1"), echo("app.2")}
	}, func(t *testing.T, h *house, by tongue) {
		seen := map[string]int{}
		for range 10 {
			req, _ := http.NewRequest("POST", by.url+"//a/..%2f?b=c", strings.NewReader("hello "))
			req.Host = "shop.example"
			req.Header.Set("Cookie", "a=b; c=d")
			resp, err := by.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			seen[all(t, resp)]++
			scheme := "http"
			if by.name != "h2c" {
				scheme = "https"
			}
			if got, want := resp.Header.Get("X-Saw"), "POST //a/..%2f?b=c shop.example "+scheme+" [a=b; c=d] 6"; got != want {
				t.Fatalf("the worker saw %q, want %q", got, want)
			}
			if hsts := resp.Header.Get("Strict-Transport-Security"); (hsts != "") != (scheme == "https") {
				t.Fatalf("HSTS %q over %s", hsts, by.name)
			}
		}
		if seen["hello app.1"] != 5 || seen["hello app.2"] != 5 {
			t.Fatalf("%v", seen)
		}
		eventually(t, "they are counted", func() bool {
			s := h.stats()
			return s.Requests[200] == 10 && s.Workers["app.1"].Requests == 5 && s.Duration.Count == 10 && s.InFlight == 0 && s.OpenClients == 1
		})
	})
}

// RFC 6797, section 7.1: every answer over TLS has the field.
func TestOwnAnswersOverTLSSayHSTS(t *testing.T) {
	s := settings()
	s.HSTS, s.Hold = "max-age=60", 0
	tongues(t, s, func(*testing.T) []*balance.Endpoint { return nil }, func(t *testing.T, _ *house, by tongue) {
		resp, err := by.client.Get(by.url + "/")
		if err != nil {
			t.Fatal(err)
		}
		_ = all(t, resp)
		want := []string{"max-age=60"}
		if by.name == "h2c" {
			want = nil
		}
		if got := resp.Header["Strict-Transport-Security"]; resp.StatusCode != http.StatusServiceUnavailable || !slices.Equal(got, want) {
			t.Fatalf("%s: %d, HSTS %q", by.name, resp.StatusCode, got)
		}
	})
}

func TestEveryProtocolCarriesTrailersHintsAndStreams(t *testing.T) {
	tongues(t, settings(), func(t *testing.T) []*balance.Endpoint {
		return []*balance.Endpoint{app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.Header().Set("Link", "</a>")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			p := make([]byte, 100)
			for {
				n, err := r.Body.Read(p)
				_, _ = w.Write(bytes.ToUpper(p[:n]))
				_ = http.NewResponseController(w).Flush()
				if err != nil {
					break
				}
			}
			w.Header().Set(http.TrailerPrefix+"X-Sum", "saw "+r.Trailer.Get("X-Check"))
		})}
	}, func(t *testing.T, h *house, by tongue) {
		r, w := io.Pipe()
		req, _ := http.NewRequest("POST", by.url, r)
		req.Trailer = http.Header{"X-Check": {"good"}}
		resp, err := by.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for _, word := range []string{"one", "two", "three"} {
			_, _ = io.WriteString(w, word)
			got := make([]byte, len(word))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != strings.ToUpper(word) {
				t.Fatalf("%q comes back as %q (%v)", word, got, err)
			}
		}
		_ = w.Close()
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
			t.Fatalf("%q %v", rest, err)
		}
		if sum := resp.Trailer.Get("X-Sum"); sum != "saw good" {
			t.Fatalf("the trailer says %q", sum)
		}
	})
}

func TestEveryProtocolFollowsTheRulesOfRetries(t *testing.T) {
	tongues(t, settings(), func(t *testing.T) []*balance.Endpoint {
		return []*balance.Endpoint{
			app(t, "app.1", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }),
			app(t, "app.2", hello("app.2")),
		}
	}, func(t *testing.T, h *house, by tongue) {
		answers := map[string]int{}
		for _, method := range []string{"GET", "GET", "GET", "GET", "POST", "POST"} {
			req, _ := http.NewRequest(method, by.url, nil)
			resp, err := by.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = all(t, resp)
			answers[fmt.Sprint(method, " ", resp.StatusCode)]++
		}
		if answers["GET 200"] != 4 || answers["POST 502"] != 1 || answers["POST 200"] != 1 {
			t.Fatalf("%v", answers)
		}
	})
}

func TestABrokenAnswerIsNotTakenForWhole(t *testing.T) {
	tongues(t, settings(), func(t *testing.T) []*balance.Endpoint {
		return []*balance.Endpoint{app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "a part")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})}
	}, func(t *testing.T, h *house, by tongue) {
		resp, err := by.client.Get(by.url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Fatalf("%q was taken for whole", b)
		}
	})
}

func TestAStreamThatTheClientCancelsEndsAtTheWorker(t *testing.T) {
	begun, ended := make(chan struct{}, 10), make(chan struct{}, 10)
	tongues(t, settings(), func(t *testing.T) []*balance.Endpoint {
		return []*balance.Endpoint{app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			<-r.Context().Done()
			ended <- struct{}{}
		})}
	}, func(t *testing.T, h *house, by tongue) {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", by.url, nil)
		go func() {
			<-begun
			cancel()
		}()
		if _, err := by.client.Do(req); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		<-ended
		eventually(t, "it is counted", func() bool { return h.stats().Requests[statusClientGone] == 1 && h.stats().InFlight == 0 })
	})
}

func TestWhatIsTooLargeIsRefusedOnItsStreamAlone(t *testing.T) {
	s := settings()
	s.MaxBody = 1000
	tongues(t, s, func(t *testing.T) []*balance.Endpoint {
		return []*balance.Endpoint{app(t, "app.1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}
	}, func(t *testing.T, h *house, by tongue) {
		for _, body := range []io.Reader{strings.NewReader(strings.Repeat("x", 1001)), io.MultiReader(strings.NewReader(strings.Repeat("x", 1001)))} {
			resp, err := by.client.Post(by.url, "", body)
			if err != nil {
				t.Fatal(err)
			}
			if text := all(t, resp); resp.StatusCode != 413 || !strings.Contains(text, "1000 bytes") {
				t.Fatalf("%s %q", resp.Status, text)
			}
		}
		resp, err := by.client.Post(by.url, "", strings.NewReader("small"))
		if err != nil || all(t, resp) != "small" {
			t.Fatal(err)
		}
	})
}

func TestShutdownLetsStreamsEndAndSendsIdleClientsAway(t *testing.T) {
	var release chan struct{}
	tongues(t, settings(), func(t *testing.T) []*balance.Endpoint {
		release = make(chan struct{})
		return []*balance.Endpoint{app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-release
			}
			_, _ = io.WriteString(w, "whole")
		})}
	}, func(t *testing.T, h *house, by tongue) {
		idle := *by.client
		idle.Transport = by.client.Transport.(*http.Transport).Clone()
		resp, err := idle.Get(by.url)
		if err != nil || all(t, resp) != "whole" {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			resp, err := by.client.Get(by.url + "/slow")
			if err == nil && all(t, resp) != "whole" {
				err = errors.New(resp.Status)
			}
			answered <- err
		}()
		eventually(t, "it is in flight", func() bool { return h.stats().InFlight == 1 })
		over := make(chan error, 1)
		go func() { over <- h.server.Shutdown(context.Background()) }()
		eventually(t, "the idle client has left", func() bool { return h.stats().OpenClients == 1 })
		close(release)
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		if err := <-over; err != nil {
			t.Fatal(err)
		}
	})
}

func TestAClosedListenerSendsItsHTTP2ClientsAway(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", hello("app.1")))
	client := &http.Client{Transport: &http.Transport{Protocols: protocols(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })}}
	resp, err := client.Get(h.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	_ = all(t, resp)
	h.server.SetTable(Table{})
	eventually(t, "the client has left", func() bool { return h.stats().OpenClients == 0 })
}

func TestWebSocketsPassOverTLS(t *testing.T) {
	upgrader := websocket.Upgrader{}
	s := settings()
	h := open(t, s, app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, p, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, bytes.ToUpper(p)) != nil {
				return
			}
		}
	}))
	d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: h.secure(s)}}
	c, _, err := d.Dial("wss://"+h.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		_ = c.WriteMessage(websocket.TextMessage, []byte("hello"))
		if _, p, err := c.ReadMessage(); err != nil || string(p) != "HELLO" {
			t.Fatalf("%q %v", p, err)
		}
	}
}

func TestPipelinedRequestsOverTLS(t *testing.T) {
	s := settings()
	h := open(t, s, app(t, "app.1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	c, err := tls.Dial("tcp", h.addr, &tls.Config{RootCAs: h.secure(s)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 3 {
		_, _ = fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
	}
	_, _ = io.WriteString(c, "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	b, err := io.ReadAll(c)
	if err != nil || strings.Count(string(b), "HTTP/1.1 200 OK") != 4 || !strings.Contains(string(b), "/last") {
		t.Fatalf("%q %v", b, err)
	}
}

func TestHTTPInTheClearToAPortOfTLSIsTold(t *testing.T) {
	s := settings()
	h := open(t, s, app(t, "app.1", hello("app.1")))
	h.secure(s)
	answer, err := h.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 400 ") || !strings.Contains(answer, "this port speaks TLS: use https://") {
		t.Fatalf("%q %v", answer, err)
	}
}

func TestWhatHTTP1CannotSayIsRefused(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the worker got %s %s", r.Method, r.RequestURI)
	}))
	for name, fields := range map[string][]string{
		"a space in the method":   {":method", "GET /x HTTP/1.1", ":path", "/", ":scheme", "http", ":authority", "a"},
		"a space in the path":     {":method", "GET", ":path", "/ HTTP/1.1", ":scheme", "http", ":authority", "a"},
		"a line end in the path":  {":method", "GET", ":path", "/\r\nX: y", ":scheme", "http", ":authority", "a"},
		"a line end in a value":   {":method", "GET", ":path", "/", ":scheme", "http", ":authority", "a", "x", "y\r\nz: 1"},
		"a colon in a name":       {":method", "GET", ":path", "/", ":scheme", "http", ":authority", "a", "x:y", "z"},
		"a space in the host":     {":method", "GET", ":path", "/", ":scheme", "http", ":authority", "a b"},
		"a path in the host":      {":method", "GET", ":path", "/", ":scheme", "http", ":authority", "a/b"},
		"two different hosts":     {":method", "GET", ":path", "/", ":scheme", "http", ":authority", "a", "host", "b"},
		"no host":                 {":method", "GET", ":path", "/", ":scheme", "http"},
		"a transfer coding":       {":method", "POST", ":path", "/", ":scheme", "http", ":authority", "a", "transfer-encoding", "chunked"},
		"a connection field":      {":method", "GET", ":path", "/", ":scheme", "http", ":authority", "a", "connection", "x"},
		"a length beside no body": {":method", "POST", ":path", "/", ":scheme", "http", ":authority", "a", "content-length", "5"},
		"CONNECT":                 {":method", "CONNECT", ":authority", "a:1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := h.dial()
			_, _ = c.Write(slices.Concat([]byte(clientPreface), rawFrame(0x4, 0, 0, nil), rawFrame(frameHeaders, 0x5, 1, literally(fields))))
			for {
				f, payload, err := readFrame(c)
				if err != nil || f.kind == frameReset || f.kind == frameGoAway {
					return
				}
				if f.kind == frameHeaders {
					if len(payload) > 0 && payload[0] == 0x88 { // :status 200, RFC 7541, appendix A
						t.Fatal("it was answered 200")
					}
					return
				}
			}
		})
	}
}

// literally encodes fields without compression (RFC 7541, section 6.2.2).
func literally(fields []string) []byte {
	var b []byte
	text := func(s string) { b = append(append(b, byte(len(s))), s...) }
	for i := 0; i < len(fields); i += 2 {
		b = append(b, 0)
		text(fields[i])
		text(fields[i+1])
	}
	return b
}

func rawFrame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}
	return append(b, payload...)
}

// Types and flags of HTTP/2 frames (RFC 9113, section 6), and what begins a connection.
const (
	frameData       = 0x0
	frameHeaders    = 0x1
	frameReset      = 0x3
	frameSettings   = 0x4
	frameGoAway     = 0x7
	flagPadded      = 0x8
	enhanceYourCalm = 0xb // RFC 9113, section 7
	clientPreface   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

type frame struct {
	kind, flags byte
	stream      uint32
}

func readFrame(r io.Reader) (frame, []byte, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, nil, err
	}
	payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err := io.ReadFull(r, payload)
	return frame{head[3], head[4], binary.BigEndian.Uint32(head[5:]) &^ (1 << 31)}, payload, err
}
