package e2e

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// overUnix is a client that reaches every host over one unix socket.
func overUnix(path string) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

// body asks a client for a URL.
func body(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %q %v", url, res.Status, b, err)
	}
	return string(b)
}

// TestPortZero: the system chooses one port for all workers, and ps shows it.
func TestPortZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("LISTEN", "0")
	w.run("-w", "2", app(t, "whoami.js"))
	rows := w.ps("")
	if len(rows) != 2 || len(rows[0].Ports) != 1 {
		t.Fatalf("ps shows %+v", rows)
	}
	_, port, err := net.SplitHostPort(rows[0].Ports[0])
	if err != nil {
		t.Fatal(err)
	}
	for number, a := range everybody(t, "http://127.0.0.1:"+port, 2) {
		if at, ok := a.Address.(map[string]any); !ok || fmt.Sprint(at["port"]) != port {
			t.Errorf("worker %s believes that it listens on %v, not %s", number, a.Address, port)
		}
	}
}

// TestAUnixSocket is shared by the workers; one that a dead program left behind is replaced.
func TestAUnixSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	path := filepath.Join(t.TempDir(), "app.sock")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	w.set("LISTEN", fmt.Sprintf("%q", path))
	s := w.run("-w", "2", app(t, "whoami.js"))
	seen := map[string]bool{}
	eventually(t, "both workers have answered", func() bool {
		a := decode(t, body(t, overUnix(path), "http://app/"))
		if a.Address != path {
			t.Errorf("the app believes that it listens on %v", a.Address)
		}
		seen[a.Env.Worker] = true
		return len(seen) == 2
	})
	s.stop()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket's file is left behind")
	}
}

// TestAUnixSocketInUse is not taken from the program that serves it.
func TestAUnixSocketInUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "app.sock")
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	w.set("LISTEN", fmt.Sprintf("%q", path))
	s := w.start("run", "--name", "app", "--admin", "off", "-w", "1", app(t, "whoami.js"))
	s.says("socket " + path + " is in use")
	eventually(t, "the worker is said to fail", func() bool {
		rows := w.ps("")
		return len(rows) == 1 && rows[0].State == "backoff" && strings.Contains(rows[0].Cause, "in use")
	})
	if _, err := os.Stat(path); err != nil {
		t.Error("the other program's socket is gone")
	}
}

// TestIPv6 is served where the app asks for it, and only there.
func TestIPv6(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6")
	} else {
		l.Close()
	}
	w := newWorld(t)
	port := freePort(t)
	w.set("LISTEN", fmt.Sprintf(`{"port": %s, "host": "::1"}`, port))
	w.run("-w", "2", app(t, "whoami.js"))
	for number, a := range everybody(t, "http://[::1]:"+port, 2) {
		if a.RemoteAddress != "::1" || a.RemoteFamily != "IPv6" {
			t.Errorf("worker %s sees %s (%s) as its client", number, a.RemoteAddress, a.RemoteFamily)
		}
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		conn.Close()
		t.Error("127.0.0.1 is served as well")
	}
}

// TestTwoPorts: both are balanced; with -p each public port leads to its own.
func TestTwoPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	one, two := freePort(t), freePort(t)
	w.set("LISTEN", "["+one+","+two+"]")
	w.run("-w", "2", app(t, "ports.js"))
	for _, port := range []string{one, two} {
		answers(t, "http://127.0.0.1:"+port, "asked for "+port)
	}
	t.Run("published", func(t *testing.T) {
		w := newWorld(t)
		one, two, publicOne, publicTwo := freePort(t), freePort(t), freePort(t), freePort(t)
		w.set("LISTEN", "["+one+","+two+"]")
		w.run("-w", "2", "-p", "127.0.0.1:"+publicTwo+":"+two, "-p", "127.0.0.1:"+publicOne+":"+one, app(t, "ports.js"))
		answers(t, "http://127.0.0.1:"+publicOne, "asked for "+one)
		answers(t, "http://127.0.0.1:"+publicTwo, "asked for "+two)
	})
}

// certificate writes a certificate for 127.0.0.1 and its key into the world and
// returns the pool that trusts it.
func (w *world) certificate() *x509.CertPool {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bulsa test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	w.set("CERT", w.write("cert.pem", string(cert)))
	w.set("KEY", w.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// secure is one request over a TLS connection of its own.
func secure(t *testing.T, address string, config *tls.Config) (worker, answer string, local int) {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.Header.Get("Worker"), string(b), conn.LocalAddr().(*net.TCPAddr).Port
}

// TestTLSOfTheApp reaches it untouched: its certificate, the client's own
// connection, and tickets that are good at every worker.
func TestTLSOfTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	roots := w.certificate()
	w.set("LISTEN", port)
	w.set("PROTOCOL", "https")
	w.run("-w", "2", "--balance", "round_robin", app(t, "secure.js"))
	config := &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	workers, last, elsewhere := map[string]bool{}, "", false
	for i := range 8 {
		worker, answer, local := secure(t, "127.0.0.1:"+port, config)
		session := "resumed"
		if i == 0 {
			session = "new"
		}
		if want := fmt.Sprintf("1.1 %s %d", session, local); answer != want {
			t.Errorf("answer %d of worker %s: %q, want %q", i+1, worker, answer, want)
		}
		elsewhere = elsewhere || i > 0 && worker != last
		workers[worker], last = true, worker
	}
	if len(workers) != 2 || !elsewhere {
		t.Errorf("only workers %v have answered", workers)
	}
}

// TestHTTP2OfTheApp: over TLS and without.
func TestHTTP2OfTheApp(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t)
			w.binary = raced
			port := freePort(t)
			roots := w.certificate()
			w.set("LISTEN", port)
			w.set("PROTOCOL", protocol)
			w.run("-w", "2", app(t, "secure.js"))
			var protocols http.Protocols
			protocols.SetHTTP2(true)
			protocols.SetUnencryptedHTTP2(true)
			scheme := map[string]string{"http2": "https", "h2c": "http"}[protocol]
			seen := map[string]bool{}
			eventually(t, "both workers have answered", func() bool {
				transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{RootCAs: roots}}
				defer transport.CloseIdleConnections()
				res, err := (&http.Client{Timeout: patience, Transport: transport}).Get(scheme + "://127.0.0.1:" + port)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				b, _ := io.ReadAll(res.Body)
				if res.ProtoMajor != 2 || !strings.HasPrefix(string(b), "2.0 ") {
					t.Fatalf("%s %s: %q", res.Proto, res.Status, b)
				}
				seen[res.Header.Get("Worker")] = true
				return len(seen) == 2
			})
			if protocol == "http2" { // a client without HTTP/2
				if _, answer, _ := secure(t, "127.0.0.1:"+port, &tls.Config{RootCAs: roots}); !strings.HasPrefix(answer, "1.1 ") {
					t.Errorf("over HTTP/1.1: %q", answer)
				}
			}
		})
	}
}

// TestUDP: datagrams reach the app, and its answers the client.
func TestUDP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	probe, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.LocalAddr().String()
	probe.Close()
	_, port, _ := net.SplitHostPort(address)
	w.set("LISTEN", port)
	w.run("-w", "2", app(t, "udp.js"))
	for i := range 10 {
		conn, err := net.Dial("udp4", address)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		text := fmt.Sprintf("datagram %d", i)
		fmt.Fprint(conn, text)
		b := make([]byte, 100)
		n, err := conn.Read(b)
		if answer := string(b[:n]); err != nil || answer != "1: "+text && answer != "2: "+text {
			t.Errorf("answer to %q: %q, %v", text, answer, err)
		}
		conn.Close()
	}
}
