package h1

import "testing"

func parse(t *testing.T, head string) *Request {
	t.Helper()
	var r Request
	if n, fault := r.Parse([]byte(head), DefaultHead); n != len(head) {
		t.Fatalf("%q: %d, %v", head, n, fault)
	}
	return &r
}

func TestTheTargetNamesTheHostOrLeavesItToTheField(t *testing.T) {
	for _, c := range []struct{ line, field, target, host string }{
		{"GET / HTTP/1.1", "a", "/", "a"},
		{"GET /a//b/../c HTTP/1.1", "a", "/a//b/../c", "a"},
		{"GET //a/b HTTP/1.1", "x", "//a/b", "x"},
		{"GET /a?b=100%&c=http://d HTTP/1.1", "[::1]:80", "/a?b=100%&c=http://d", "[::1]:80"},
		{"GET http://b:8080/c?d HTTP/1.1", "a", "/c?d", "b:8080"},
		{"GET HTTPS://b HTTP/1.1", "a", "/", "b"},
		{"GET http://b?c HTTP/1.1", "a", "/?c", "b"},
		{"OPTIONS http://b HTTP/1.1", "a", "*", "b"},
		{"OPTIONS * HTTP/1.1", "my_service:", "*", "my_service:"},
		{"GET /%0C?a=\\%0D%0A HTTP/1.1", "a", "/%0C?a=\\%0D%0A", "a"},
		{"PURGE /%C3%A9 HTTP/1.2", "xn--bcher-kva.example", "/%C3%A9", "xn--bcher-kva.example"},
		{"M-SEARCH / HTTP/1.1", "a.", "/", "a."},
	} {
		r := parse(t, c.line+"\r\nHost: "+c.field+"\r\n\r\n")
		if string(r.Target) != c.target || string(r.Host) != c.host {
			t.Errorf("%s, Host %s: %q at %q", c.line, c.field, r.Target, r.Host)
		}
	}
}

func TestWhatTheConnectionIsToldIsUnderstood(t *testing.T) {
	type told struct {
		keep, expects, trailers bool
		upgrade                 string
		body                    Body
		length                  int64
	}
	const http11, http10 = "POST / HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.0\r\n"
	for head, want := range map[string]told{
		http11:                                  {keep: true},
		http10:                                  {},
		http10 + "Connection: Keep-Alive\r\n":   {keep: true},
		http11 + "Connection: x, ,CLOSE ,y\r\n": {},
		http11 + "Connection: close\r\nConnection: keep-alive\r\n":              {},
		http11 + "Content-Length:7\r\n":                                         {keep: true, body: ByLength, length: 7},
		http11 + "Content-Length: 0\r\n":                                        {keep: true},
		http11 + "transfer-ENCODING: Chunked\t\r\n":                             {keep: true, body: ByChunks},
		http11 + "Content-Length: 7\r\nExpect: 100-Continue\r\n":                {keep: true, body: ByLength, length: 7, expects: true},
		http11 + "Expect: 100-continue\r\n":                                     {keep: true},
		http10 + "Content-Length: 7\r\nExpect: x\r\n":                           {body: ByLength, length: 7},
		http11 + "Connection: Upgrade\r\nUpgrade: websocket\r\n":                {keep: true, upgrade: "websocket"},
		http11 + "Upgrade: websocket\r\n":                                       {keep: true},
		http10 + "Connection: Upgrade\r\nUpgrade: websocket\r\n":                {},
		http11 + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n":      {keep: true},
		http11 + "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n": {keep: true, body: ByLength, length: 1},
		http11 + "TE: gzip;q=0.5, trailers\r\n":                                 {keep: true, trailers: true},
	} {
		r := parse(t, head+"\r\n")
		got := told{r.KeepAlive, r.Expects, r.Trailers, string(r.Upgrade), r.Body, r.Length}
		if got != want {
			t.Errorf("%q: %+v", head, got)
		}
	}
}

func TestFieldsAreFoundByNameInAnyCase(t *testing.T) {
	r := parse(t, "GET /p?q HTTP/1.1\r\nHost: a\r\ncookie: x=1; sid=\"a b\"; sid=c\r\nX-REQUEST-id:  7\t\r\nCOOKIE: y=2\r\nX-Empty:\r\n\r\n")
	if got := r.Lookup("x-request-id"); string(got) != "7" {
		t.Errorf("%q", got)
	}
	if got := r.Lookup("x-empty"); got == nil || len(got) != 0 || r.Lookup("x-none") != nil {
		t.Errorf("%q", got)
	}
	for name, want := range map[string]string{"x": "1", "sid": "a b", "y": "2", "z": ""} {
		if got := r.Cookie(name); string(got) != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if string(r.Path()) != "/p" || string(r.Value(Host)) != "a" {
		t.Errorf("%s %s", r.Path(), r.Value(Host))
	}
}
