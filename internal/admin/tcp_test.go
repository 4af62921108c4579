package admin

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"bulsa/internal/api"
)

const testToken = "a-token-of-the-test"

// request is a request as it comes over TCP.
type request struct {
	method, path, body string
	host               string
	header             map[string]string
}

func (r request) send(f *fake) *httptest.ResponseRecorder {
	req := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
	req.Host = "127.0.0.1:9900"
	if r.host != "" {
		req.Host = r.host
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	New(Config{Control: f, Token: testToken, Version: "1.2.3"}).TCPHandler().ServeHTTP(w, req)
	return w
}

// allowed are the headers of a change that proves itself.
func allowed(except string) map[string]string {
	h := map[string]string{
		"Content-Type":  "application/json",
		"X-Bulsa":       "1",
		"Authorization": "Bearer " + testToken,
	}
	delete(h, except)
	return h
}

func with(h map[string]string, key, value string) map[string]string {
	h[key] = value
	return h
}

func TestChangesOverTCPMustProveThemselves(t *testing.T) {
	for name, c := range map[string]struct {
		request request
		want    int
	}{
		"all is there":           {request{header: allowed("")}, 200},
		"own page":               {request{header: with(with(allowed(""), "Origin", "http://127.0.0.1:9900"), "Sec-Fetch-Site", "same-origin")}, 200},
		"localhost":              {request{host: "localhost:9900", header: allowed("")}, 200},
		"IPv6":                   {request{host: "[::1]:9900", header: allowed("")}, 200},
		"no token":               {request{header: allowed("Authorization")}, 401},
		"wrong token":            {request{header: with(allowed(""), "Authorization", "Bearer nope")}, 401},
		"token of another kind":  {request{header: with(allowed(""), "Authorization", "Basic "+testToken)}, 401},
		"no own header":          {request{header: allowed("X-Bulsa")}, 403},
		"a form":                 {request{header: with(allowed(""), "Content-Type", "text/plain")}, 400},
		"no content type":        {request{header: allowed("Content-Type")}, 400},
		"another origin":         {request{header: with(allowed(""), "Origin", "http://evil.example")}, 403},
		"another port's page":    {request{header: with(allowed(""), "Origin", "http://127.0.0.1:3000")}, 403},
		"a sandboxed page":       {request{header: with(allowed(""), "Origin", "null")}, 403},
		"another site":           {request{header: with(allowed(""), "Sec-Fetch-Site", "cross-site")}, 403},
		"same site, other port":  {request{header: with(allowed(""), "Sec-Fetch-Site", "same-site")}, 403},
		"a link":                 {request{header: with(with(allowed(""), "Sec-Fetch-Site", "cross-site"), "Sec-Fetch-Mode", "navigate")}, 403},
		"a rebound name":         {request{host: "evil.example:9900", header: with(allowed(""), "Origin", "http://evil.example:9900")}, 403},
		"a name like an address": {request{host: "127.0.0.1.evil.example", header: allowed("")}, 403},
	} {
		f := newFake()
		r := c.request
		r.method, r.path, r.body = "POST", "/api/v1/stop", `{"names":["app"]}`
		w := r.send(f)
		if w.Code != c.want {
			t.Errorf("%s: status %d %s, want %d", name, w.Code, w.Body, c.want)
		}
		if did := f.last() != ""; did != (c.want == 200) {
			t.Errorf("%s: the project was asked %q", name, f.last())
		}
	}
}

func TestEveryChangeIsGuardedOverTCP(t *testing.T) {
	f := newFake()
	for _, r := range New(Config{Control: f}).routes() {
		if !r.access.changes() {
			continue
		}
		w := request{method: r.method, path: r.path, body: "{}", header: allowed("Authorization")}.send(f)
		if w.Code != 401 && w.Code != 403 {
			t.Errorf("%s %s without a token: status %d", r.method, r.path, w.Code)
		}
		if r.method != http.MethodPost {
			t.Errorf("%s %s changes something and is no POST", r.method, r.path)
		}
	}
	if f.last() != "" {
		t.Errorf("the project was asked: %s", f.last())
	}
}

func TestCommandsToRunAreTakenOnTheControlSocketOnly(t *testing.T) {
	f := newFake()
	w := request{method: "POST", path: "/api/v1/apply", body: "{}", header: allowed("")}.send(f)
	if w.Code != 403 || f.last() != "" {
		t.Errorf("status %d, asked %q", w.Code, f.last())
	}
}

func TestReadingIsOpenOnLoopback(t *testing.T) {
	for path, want := range map[string]string{
		"/":                     "<title>bulsa</title>",
		"/page.js":              "textContent",
		"/page.css":             "color-scheme",
		"/healthz":              `"ready":true`,
		"/api/v1/project":       `"name":"shop"`,
		"/api/v1/workers":       `"name":"app.1"`,
		"/api/v1/inspect/app.1": `"name":"app.1"`,
		"/api/v1/ready":         `"ready":true`,
		"/api/v1/logs?tail=all": `"worker":"app.2"`,
		"/api/v1/events":        `"kind":"scale"`,
		"/metrics":              `bulsa_build_info{version="1.2.3"} 1`,
	} {
		w := request{method: "GET", path: path}.send(newFake())
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: status %d, no %s in %.300s", path, w.Code, want, w.Body)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self';") {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
	}
}

func TestOtherSitesCannotRead(t *testing.T) {
	for name, c := range map[string]struct {
		request request
		want    int
	}{
		"a rebound name":     {request{host: "evil.example"}, 403},
		"another origin":     {request{header: map[string]string{"Origin": "http://evil.example"}}, 403},
		"another site":       {request{header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}}, 403},
		"a link from a site": {request{header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}}, 200},
		"the address bar":    {request{header: map[string]string{"Sec-Fetch-Site": "none"}}, 200},
	} {
		r := c.request
		r.method, r.path = "GET", "/api/v1/logs"
		if w := r.send(newFake()); w.Code != c.want {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.want)
		}
	}
}

func TestBadRequestsAreToldWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/nope", "", 404, "nothing is at GET /nope"},
		{"GET", "/api/v1/inspect/nope", "", 404, `no worker or service "nope" in project shop; there are: app.1, app.2`},
		{"GET", "/api/v1/logs?tail=x", "", 400, "tail=x: not a number of lines, or all"},
		{"GET", "/api/v1/logs?follow=x", "", 400, "follow=x: neither true nor false"},
		{"GET", "/api/v1/ready?wait=1y", "", 400, "wait=1y: not a duration from 0s to 10m0s"},
		{"POST", "/api/v1/scale", `{"service":"app"}`, 400, "scale needs either replicas, a number, or by, a difference"},
		{"POST", "/api/v1/scale", `{"services":[{"service":"app","by":1}],"service":"app"}`, 400, "scale takes one service, or services, not both"},
		{"POST", "/api/v1/scale", `{"service":"app","replicas":-1}`, 400, "scale needs a number of replicas from 0 to 10000"},
		{"POST", "/api/v1/stop", `{"name":"app"}`, 400, `the body is not the JSON that is expected here: json: unknown field "name"`},
		{"POST", "/api/v1/stop", `{} {}`, 400, "the body has more than one JSON value"},
	} {
		w := request{method: c.method, path: c.path, body: c.body, header: allowed("")}.send(newFake())
		var e api.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != c.code || e.Message != c.want {
			t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.body, w.Code, w.Body, c.code, c.want)
		}
	}
}

func TestHealthzFollowsTheProject(t *testing.T) {
	f := newFake()
	f.set(func(p *api.Project) { p.Ready = false; p.Services[0].Ready = 1 })
	w := request{method: "GET", path: "/healthz"}.send(f)
	if w.Code != 503 || !strings.Contains(w.Body.String(), "app: 1 of 2 workers ready") {
		t.Errorf("status %d %s", w.Code, w.Body)
	}
}

func TestTheAdminServerStaysOnLoopback(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:9900":     "--admin 0.0.0.0:9900: the admin server listens on loopback addresses only: write 127.0.0.1:9900, or off",
		":9900":            "--admin :9900: the admin server listens on loopback addresses only: write 127.0.0.1:9900, or off",
		"[::]:9900":        "--admin [::]:9900: the admin server listens on loopback addresses only: write 127.0.0.1:9900, or off",
		"example.com:9900": "--admin example.com:9900: the admin server listens on loopback addresses only: write 127.0.0.1:9900, or off",
		"nonsense":         "--admin nonsense: not an address: write HOST:PORT, as 127.0.0.1:9900, or off",
		"127.0.0.1:99999":  "--admin 127.0.0.1:99999: not an address: write HOST:PORT, as 127.0.0.1:9900, or off",
	} {
		_, err := ListenAdmin(address)
		if err == nil || err.Error() != want {
			t.Errorf("ListenAdmin(%s) = %v, want %s", address, err, want)
		}
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0", "[::1]:0", "127.9.9.9:80", "9901"} {
		if _, err := loopbackAddress(address); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestATakenAdminPort(t *testing.T) {
	taken, err := ListenAdmin("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = ListenAdmin(taken.Addr().String())
	if err == nil || !strings.HasSuffix(err.Error(), ": address already in use; choose another port, or --admin off") {
		t.Errorf("asked for: %v", err)
	}
	var held []net.Listener
	for range 2 { // the first may or may not get the default port; the second never the first's
		l, err := ListenAdmin("")
		if err != nil {
			t.Fatalf("by default: %v", err)
		}
		defer l.Close()
		held = append(held, l)
	}
	if held[0].Addr().String() == held[1].Addr().String() {
		t.Errorf("both listen on %s", held[0].Addr())
	}
}

func TestSoManyReadersMayLastAtOnceOverTCP(t *testing.T) {
	f := newFake()
	s := New(Config{Control: f})
	h := s.TCPHandler()
	ask := func(ctx context.Context) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/events?follow=true", nil)
		req.Host = "127.0.0.1:9900"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w
	}
	ctx, leave := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range maxTCPReaders {
		readers.Go(func() { ask(ctx) })
	}
	for len(s.tcpReaders) < maxTCPReaders {
		runtime.Gosched()
	}
	if w := ask(t.Context()); w.Code != 503 || !strings.Contains(w.Body.String(), "16 readers") {
		t.Errorf("one more: %d %s", w.Code, w.Body)
	}
	if w := (request{method: "GET", path: "/api/v1/project"}).send(f); w.Code != 200 {
		t.Errorf("who does not stay: %d", w.Code)
	}
	leave()
	readers.Wait()
	ctx, leave = context.WithCancel(t.Context())
	leave()
	if w := ask(ctx); w.Code != 200 {
		t.Errorf("when the others have left: %d %s", w.Code, w.Body)
	}
	f.streams.Wait()
}
