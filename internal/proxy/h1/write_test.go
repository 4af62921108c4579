package h1

import "testing"

func TestARequestIsWrittenFromWhatWasUnderstood(t *testing.T) {
	trusted := localOrigin()
	trusted.Trusted = true
	const tail = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 8080\r\n" +
		"Forwarded: for=\"127.0.0.1:54321\";host=a;proto=http\r\n\r\n"
	for _, c := range []struct {
		name, in string
		forward  Forward
		want     string
	}{
		{"plain fields in their order and case", "GET /x HTTP/1.0\r\nB: 1\r\nHost: a\r\na:2\r\nC: \t 3 \r\nD: 4\r\nE:\r\n\r\n", Forward{},
			"GET /x HTTP/1.1\r\nHost: a\r\nB: 1\r\na: 2\r\nC: 3\r\nD: 4\r\nE: \r\n" + tail},
		{"what is about the connection stays behind",
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nKeep-Alive: 1\r\nX-Hop: 1\r\nA: 1\r\nProxy-Connection: x\r\nTE: gzip\r\nTrailer: B\r\n" +
				"Upgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\nx-hop: 2\r\n\r\n", Forward{},
			"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n" + tail},
		{"Connection cannot remove what says who asks, and for what",
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: Host, Authorization, Cookie, Content-Length, X-Forwarded-For, Forwarded\r\nAuthorization: 1\r\nCookie: 2\r\nContent-Length: 3\r\n\r\n", Forward{},
			"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: 1\r\nCookie: 2\r\nContent-Length: 3\r\n" + tail},
		{"what an untrusted client says of its origin is replaced",
			"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Forwarded-Port: 1\r\n" +
				"X-Forwarded-Prefix: /b\r\nX-Forwarded-Ssl: on\r\nForwarded: for=6.6.6.6\r\n\r\n", Forward{},
			"GET / HTTP/1.1\r\nHost: a\r\n" + tail},
		{"what a trusted peer says is added to",
			"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\nForwarded: for=9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n",
			Forward{Origin: trusted},
			"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n" +
				"X-Forwarded-Port: 8080\r\nForwarded: for=9.9.9.9, for=\"127.0.0.1:54321\";host=a;proto=http\r\n\r\n"},
		{"an underscore for a hyphen makes nobody trusted",
			"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Ssl: on\r\nKeep_Alive: 1\r\nMy_Own: 1\r\n\r\n", Forward{Origin: trusted},
			"GET / HTTP/1.1\r\nHost: a\r\nMy_Own: 1\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 8080\r\n" +
				"Forwarded: for=\"127.0.0.1:54321\";host=a;proto=http\r\n\r\n"},
		{"a prefix that was taken off is told", "GET /v1/x HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-Prefix: /evil\r\n\r\n", Forward{Target: []byte("/x"), Prefix: "/v1"},
			"GET /x HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a:1\r\nX-Forwarded-Port: 8080\r\n" +
				"X-Forwarded-Prefix: /v1\r\nForwarded: for=\"127.0.0.1:54321\";host=\"a:1\";proto=http\r\n\r\n"},
		{"a client without an address", "GET / HTTP/1.0\r\n\r\n", Forward{Origin: &Origin{Proto: "https"}},
			"GET / HTTP/1.1\r\nHost: \r\nX-Forwarded-Proto: https\r\nForwarded: for=unknown;host=\"\";proto=https\r\n\r\n"},
		{"the framing is written anew", "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\nTrailer: A, Content-Length\r\nTE: trailers\r\nExpect: 100-continue\r\n\r\n", Forward{Expect: true},
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\nExpect: 100-continue\r\nTE: trailers\r\n" + tail},
		{"an upgrade", "GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: x\r\n\r\n", Forward{Origin: &Origin{Proto: "http"}},
			"GET / HTTP/1.1\r\nHost: b\r\nSec-WebSocket-Key: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: b\r\nForwarded: for=unknown;host=b;proto=http\r\n\r\n"},
		{"an absolute target rewrites Host", "GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", Forward{}, "GET /x HTTP/1.1\r\nHost: a\r\n" + tail},
	} {
		if c.forward.Origin == nil {
			c.forward.Origin = localOrigin()
		}
		if got := parse(t, c.in).AppendTo(nil, &c.forward); string(got) != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", c.name, got, c.want)
		}
	}
}

func TestAnAnswerIsWrittenForTheClientsConnection(t *testing.T) {
	const fields = "A: 1\r\nConnection: close, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nSet-Cookie: b\r\nSet-Cookie:c\r\n"
	for _, c := range []struct {
		name, request, in string
		reply             *Reply
		want              string
	}{
		{"by length", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 7\r\n\r\n", &Reply{Date: []byte("today")},
			"HTTP/1.1 200 OK\r\nA: 1\r\nSet-Cookie: b\r\nSet-Cookie: c\r\nContent-Length: 7\r\nDate: today\r\n\r\n"},
		{"by chunks", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.0 200\r\nDate: x\r\n\r\n", &Reply{Date: []byte("today"), Extra: []byte("B: 2\r\n")},
			"HTTP/1.1 200 \r\nDate: x\r\nTransfer-Encoding: chunked\r\nB: 2\r\n\r\n"},
		{"until the end, for an HTTP/1.0 client", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 404 Not here\r\nTransfer-Encoding: chunked\r\n\r\n", &Reply{Close: true},
			"HTTP/1.1 404 Not here\r\nConnection: close\r\n\r\n"},
		{"to HEAD", "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", &Reply{KeepAlive: true},
			"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n"},
		{"204 has no length", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", &Reply{}, "HTTP/1.1 204 No Content\r\n\r\n"},
		{"interim", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: close\r\n\r\n", nil, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"},
		{"an upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 101 Yes\r\nA: b\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", nil,
			"HTTP/1.1 101 Yes\r\nA: b\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"},
	} {
		r := parse(t, c.request)
		var a Answer
		if n, fault := a.Parse([]byte(c.in), r, DefaultHead); n == 0 {
			t.Fatalf("%s: %v", c.name, fault)
		}
		if c.reply != nil {
			c.reply.Body = a.BodyFor(r)
		}
		if got := a.AppendTo(nil, c.reply); string(got) != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", c.name, got, c.want)
		}
	}
}

func TestNothingIsAllocatedOnceTheBuffersAreThere(t *testing.T) {
	var (
		r       Request
		a       Answer
		c       Chunks
		request = []byte(browserRequest)
		answer  = []byte(nodeAnswer)
		body    = []byte("5\r\nhello\r\n0\r\nX: y\r\n\r\n")
		out     = make([]byte, 0, 4096)
		forward = &Forward{Origin: localOrigin()}
	)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = r.Parse(request, DefaultHead)
		out = r.AppendTo(out[:0], forward)
		_, _ = a.Parse(answer, &r, DefaultHead)
		out = a.AppendTo(out[:0], &Reply{Body: a.BodyFor(&r)})
		c.Reset()
		for rest := body; !c.Done(); {
			data, n, _ := c.Next(rest)
			out = append(AppendChunkSize(out, max(len(data), 1)), data...)
			rest = rest[n:]
		}
		out = AppendLastChunk(out, c.Trailer)
	}); n != 0 {
		t.Fatal(n, "allocations")
	}
}
