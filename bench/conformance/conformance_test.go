package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy"
)

type dialer string

func (d dialer) Connect(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", string(d))
}

// house is a proxy before the application, and the address at which it listens.
func house(t *testing.T, goroutines bool, secure *proxy.TLS) string {
	t.Helper()
	app := httptest.NewServer(origin())
	t.Cleanup(app.Close)
	pool, err := balance.NewPool("round_robin")
	if err != nil {
		t.Fatal(err)
	}
	pool.Publish([]*balance.Endpoint{balance.NewEndpoint(balance.Config{Worker: "app.1", Address: "test", Connector: dialer(app.Listener.Addr().String())})})
	settings := proxy.Settings{HeaderTimeout: 20 * time.Second, IdleTimeout: 20 * time.Second, ConnectTimeout: 5 * time.Second, AnswerTimeout: 20 * time.Second}
	settings.Hold = 5 * time.Second
	l := proxy.NewListener(proxy.Route{Service: "app", Port: "80", Pool: pool, Settings: settings})
	l.TLS = secure
	server := proxy.New(proxy.Config{Version: "test", Goroutines: goroutines})
	server.SetTable(proxy.Table{"app:80": l})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, "app:80", ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		over, stop := context.WithCancel(context.Background())
		stop()
		_ = server.Shutdown(over)
	})
	return ln.Addr().String()
}

func demandAll(t *testing.T, address string, dial func() (net.Conn, error)) {
	t.Helper()
	p := &Prober{Dial: dial, Host: address, Quiet: time.Second, Settle: 100 * time.Millisecond, Patience: 15 * time.Second}
	results := p.Run()
	for _, r := range results {
		if r.Verdict == Failed || r.Verdict == Lax && !r.Note {
			t.Errorf("%s, RFC %s: want %q, got %s (%s)", r.Name, r.RFC, r.Want, r.Got, r.Verdict)
		}
	}
	if _, _, counted := tally(results); counted != 161 {
		t.Errorf("%d cases count", counted)
	}
}

func TestEveryCasePassesInTheClear(t *testing.T) {
	for name, goroutines := range map[string]bool{"loops": false, "goroutines": true} {
		t.Run(name, func(t *testing.T) {
			if !goroutines && runtime.GOOS != "linux" {
				t.Skip("loops are there on Linux")
			}
			t.Parallel()
			address := house(t, goroutines, nil)
			demandAll(t, address, func() (net.Conn, error) { return net.Dial("tcp", address) })
		})
	}
}

func TestEveryCasePassesOverTLS(t *testing.T) {
	t.Parallel()
	lender := httptest.NewUnstartedServer(http.NotFoundHandler()) // of its certificate
	lender.StartTLS()
	defer lender.Close()
	address := house(t, false, &proxy.TLS{Config: &tls.Config{Certificates: lender.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}})
	client := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
	demandAll(t, address, func() (net.Conn, error) { return tls.Dial("tcp", address, client) })
}

func TestAnswersAreJudged(t *testing.T) {
	t.Parallel()
	ok := answer{status: 200, header: http.Header{"Etag": {"1"}}, body: "Hello World"}
	end, twice := ok, ok
	end.closed, twice.doubled, twice.closed = true, true, true
	for _, c := range []struct {
		want string
		a    answer
		v    Verdict
	}{
		{"2xx", ok, Passed}, {"400 end | 2xx", ok, Lax}, {"400 end", ok, Failed}, {"!200", ok, Failed}, {"!414 | end", ok, Passed},
		{"*+end", ok, Failed}, {"*+end", end, Passed}, {"*+end", twice, Failed}, {"*", twice, Passed},
		{"2xx=hello_world", ok, Passed}, {"2xx=hello", ok, Failed}, {"2xx~hello~world", ok, Passed}, {"2xx~hello~moon", ok, Failed}, {"2xx^moon", ok, Passed},
		{"2xx+ETag:", ok, Passed}, {"2xx-ETag:", ok, Failed}, {"end", answer{closed: true}, Passed}, {"wait", answer{closed: true}, Failed}, {"wait", answer{}, Passed},
		{"!1xx", answer{status: 200, interim: true}, Failed}, {"!1xx", ok, Passed}, {"400", answer{}, Failed},
	} {
		if v := judge(c.want, c.a); v != c.v {
			t.Errorf("%q, %s: %s", c.want, c.a, v)
		}
	}
}
