package h1

import (
	"strings"
	"testing"
)

func TestAnswersThatTwoParsersCouldReadDifferentlyAreFaults(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for want, answers := range map[Fault][]string{
		BadStatusLine: {
			"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
			"http/1.1 200 OK\r\n\r\n", "SSH-2.0\r\n", "HTTP/1.x 200 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1200 OK\r\n\r\n", "\r\n" + ok + "\r\n",
		},
		BadUpgrade:      {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"},
		BadLineEnd:      {"HTTP/1.1 200 OK\n\r\n", ok + "A: b\n\r\n", ok + "A: b\rc\r\n\r\n", ok + "\n", "HTTP/1.1 200 O\x00K\r\n\r\n"},
		BadFieldName:    {ok + "A: b\r\n c\r\n\r\n", ok + "A : b\r\n\r\n", ok + ": b\r\n\r\n", ok + "A\r\n\r\n"},
		BadFieldValue:   {ok + "A: \x00\r\n\r\n"},
		BadLength:       {ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", ok + "Content-Length: -1\r\n\r\n", ok + "Content-Length: 1, 1\r\n\r\n"},
		LengthAndCoding: {ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
		BadCoding:       {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
		UnknownCoding:   {ok + "Transfer-Encoding: gzip, chunked\r\n\r\n"},
		LongHead:        {ok + "A: " + strings.Repeat("x", DefaultHead), "HTTP/1.1 200 " + strings.Repeat("x", DefaultHead)},
		ManyFields:      {ok + strings.Repeat("A: b\r\n", MaxAnswerFields+1) + "\r\n"},
	} {
		r := parse(t, shortRequest)
		for _, q := range answers {
			var a Answer
			if n, fault := a.Parse([]byte(q), r, DefaultHead); fault != want || n != 0 {
				t.Errorf("%.80q: %d, %v; want %v", q, n, fault, want)
			}
		}
	}
}

func TestTheBodyOfAnAnswerEndsWhereItsHeadSays(t *testing.T) {
	const get, head, upgrade = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
	for _, c := range []struct {
		request, answer string
		body            Body
		length          int64
		keep            bool
	}{
		{get, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", ByLength, 7, true},
		{get, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", NoBody, 0, true},
		{get, "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", ByChunks, 0, true},
		{get, "HTTP/1.1 200 OK\r\n\r\n", UntilClose, 0, false},
		{get, "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", ByLength, 7, false},
		{get, "HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n", ByLength, 7, true},
		{get, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n", ByLength, 7, false},
		{head, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", NoBody, 0, true},
		{head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", NoBody, 0, true},
		{get, "HTTP/1.1 204 No Content\r\n\r\n", NoBody, 0, true},
		{get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", NoBody, 0, true},
		{get, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", NoBody, 0, true},
		{upgrade, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", NoBody, 0, false},
	} {
		var a Answer
		r := parse(t, c.request)
		for i := range c.answer {
			if n, fault := a.Parse([]byte(c.answer[:i]), r, DefaultHead); n != 0 || fault != OK {
				t.Fatalf("%q: %d, %v", c.answer[:i], n, fault)
			}
		}
		if n, fault := a.Parse([]byte(c.answer+"body"), r, DefaultHead); n != len(c.answer) {
			t.Fatalf("%q: %d, %v", c.answer, n, fault)
		}
		if a.Body != c.body || a.Length != c.length || a.KeepAlive != c.keep {
			t.Errorf("%q: %d %d %t", c.answer, a.Body, a.Length, a.KeepAlive)
		}
	}
}
