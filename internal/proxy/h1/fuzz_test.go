package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// FuzzRequests holds the parser against net/http's: what this one accepts, the
// other reads in the same way, however the bytes are split, and what is written
// for the worker says the same again.
func FuzzRequests(f *testing.F) {
	for _, q := range []string{
		shortRequest, browserRequest, shortRequest + browserRequest, "\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		"POST /a?b=%&c HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST http://b/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nTE: trailers\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", "OPTIONS * HTTP/1.1\r\nHost: a_b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, x\r\nUpgrade: websocket\r\nX: 1\r\nCookie: a=b\r\n\r\n",
		"PUT /%C3%A9 HTTP/1.1\r\nhost:a\r\nExpect:100-continue\r\ncontent-length: 1\t\r\nX-Forwarded-For: 1\r\nx-forwarded-for: 2\r\n\r\nx",
	} {
		f.Add([]byte(q))
	}
	for _, requests := range faultyRequests() {
		for _, q := range requests {
			f.Add([]byte(q))
		}
	}
	for _, bodies := range faultyChunks() {
		for _, body := range bodies {
			f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		br := bufio.NewReader(bytes.NewReader(in))
		for rest := in; len(rest) > 0; {
			n, fault := checkSplit(t, rest)
			if n == 0 || fault != OK {
				return
			}
			var r Request
			_, _ = r.Parse(rest, DefaultHead)
			theirs, err := readSkipping(br)
			if err != nil {
				t.Fatalf("only net/http refuses it: %v", err)
			}
			compare(t, &r, theirs)
			compareWritten(t, &r)
			body, used, whole := readBody(t, &r, rest[n:])
			theirBody, err := io.ReadAll(theirs.Body)
			switch {
			case !whole: // or malformed, of which net/http reads some
				return
			case err != nil:
				t.Fatalf("only net/http refuses the body: %v", err)
			case !bytes.Equal(body, theirBody):
				t.Fatalf("body %q, theirs %q", body, theirBody)
			}
			rest = rest[n+used:]
			if br.Buffered() != min(len(rest), br.Buffered()) || len(rest) < br.Size() && br.Buffered() != len(rest) {
				t.Fatalf("%d bytes left, theirs %d", len(rest), br.Buffered())
			}
		}
	})
}

// checkSplit parses every beginning of in: none may be taken for a whole head but
// the one that is, and a fault that was found stays one.
func checkSplit(t *testing.T, in []byte) (int, Fault) {
	var whole, part Request
	n, fault := whole.Parse(in, DefaultHead)
	for i := range min(len(in), 2048) {
		m, early := part.Parse(in[:i], DefaultHead)
		if m != 0 && (m != n || i < n) || early != OK && (n != 0 || fault == OK) {
			t.Fatalf("%q: %d %v, but its first %d bytes %d %v", in, n, fault, i, m, early)
		}
	}
	return n, fault
}

// readSkipping is http.ReadRequest after the empty lines that servers skip.
func readSkipping(br *bufio.Reader) (*http.Request, error) {
	for {
		if next, _ := br.Peek(2); string(next) != "\r\n" {
			return http.ReadRequest(br)
		}
		_, _ = br.Discard(2)
	}
}

func compare(t *testing.T, r *Request, theirs *http.Request) {
	target := theirs.URL.RequestURI()
	if strings.HasPrefix(theirs.RequestURI, "/") {
		target = theirs.RequestURI
	}
	if theirs.Method == "OPTIONS" && theirs.URL.Path == "" && theirs.URL.RawQuery == "" {
		target = "*"
	}
	if string(r.Method) != theirs.Method || string(r.Target) != target || string(r.Host) != theirs.Host {
		t.Fatalf("%s %s %s, theirs %s %s %s", r.Method, r.Target, r.Host, theirs.Method, target, theirs.Host)
	}
	length := map[Body]int64{ByLength: r.Length, ByChunks: -1}[r.Body]
	if length != theirs.ContentLength || r.KeepAlive == theirs.Close {
		t.Fatalf("length %d, keep-alive %t, theirs %d, %t", length, r.KeepAlive, theirs.ContentLength, !theirs.Close)
	}
	ours := make(http.Header)
	for name, value := range r.Fields {
		ours.Add(string(name), string(value))
	}
	for _, name := range []string{"Host", "Transfer-Encoding", "Trailer"} { // some of which net/http takes out
		ours.Del(name)
		theirs.Header.Del(name)
	}
	for name, values := range theirs.Header {
		if strings.Join(values, "\n") != strings.Join(ours[name], "\n") {
			t.Fatalf("%s: %q, theirs %q", name, ours[name], values)
		}
		delete(ours, name)
	}
	if len(ours) > 0 {
		t.Fatalf("net/http lacks %q", ours)
	}
}

// compareWritten reads what a worker would get.
func compareWritten(t *testing.T, r *Request) {
	out := r.AppendTo(nil, &Forward{Origin: localOrigin()})
	var again Request
	n, fault := again.Parse(out, 2*DefaultHead+1024)
	if len(r.Host) == 0 && fault == BadHost {
		return // an HTTP/1.0 client gave none
	}
	if n != len(out) {
		t.Fatalf("%q cannot be read: %v", out, fault)
	}
	if !bytes.Equal(again.Method, r.Method) || !bytes.Equal(again.Target, r.Target) || !bytes.Equal(again.Host, r.Host) ||
		again.Body != r.Body || again.Length != r.Length || !bytes.Equal(again.Upgrade, r.Upgrade) {
		t.Fatalf("%q differs", out)
	}
	theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
	if err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if got := theirs.Header["X-Forwarded-For"]; len(got) != 1 || got[0] != "127.0.0.1" {
		t.Fatalf("X-Forwarded-For: %q", got)
	}
}

// readBody reads what the request's body takes of in, by two ways of splitting.
func readBody(t *testing.T, r *Request, in []byte) (body []byte, used int, whole bool) {
	switch r.Body {
	case NoBody:
		return nil, 0, true
	case ByLength:
		n := int(min(r.Length, int64(len(in))))
		return in[:n], n, int64(n) == r.Length
	}
	body, used, fault := readChunks(in, len(in))
	for _, piece := range []int{1, 7} {
		again, n, f := readChunks(in, piece)
		if !bytes.Equal(again, body) || n != used || f != fault {
			t.Fatalf("chunks by %d: %q %d %v, at once %q %d %v", piece, again, n, f, body, used, fault)
		}
	}
	return body, used, fault == OK
}

func readChunks(in []byte, piece int) (body []byte, used int, _ Fault) {
	var c Chunks
	for used < len(in) && !c.Done() {
		data, n, fault := c.Next(in[used:min(used+piece, len(in))])
		if fault != OK {
			return body, used + n, fault
		}
		body, used = append(body, data...), used+n
	}
	if !c.Done() {
		return body, used, BadChunk
	}
	return body, used, OK
}

// FuzzAnswers is FuzzRequests for answers.
func FuzzAnswers(f *testing.F) {
	for _, q := range []string{
		nodeAnswer, "HTTP/1.0 200\r\n\r\nbody", "HTTP/1.1 100 Continue\r\n\r\n" + nodeAnswer,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
	} {
		f.Add([]byte(q), false)
		f.Add([]byte(q), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, toHead bool) {
		method := http.MethodGet
		if toHead {
			method = http.MethodHead
		}
		var r Request
		_, _ = r.Parse([]byte(method+" / HTTP/1.1\r\nHost: a\r\n\r\n"), DefaultHead)
		var a, part Answer
		n, fault := a.Parse(in, &r, DefaultHead)
		for i := range min(len(in), 2048) {
			if m, early := part.Parse(in[:i], &r, DefaultHead); m != 0 && (m != n || i < n) || early != OK && (n != 0 || fault == OK) {
				t.Fatalf("%q: %d %v, but its first %d bytes %d %v", in, n, fault, i, m, early)
			}
		}
		if n == 0 {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in)), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("only net/http refuses it: %v", err)
		}
		if a.Status != theirs.StatusCode {
			t.Fatalf("%d, theirs %d", a.Status, theirs.StatusCode)
		}
		body, err := io.ReadAll(theirs.Body)
		compareAnswerBody(t, &a, in[n:], body, err)
	})
}

func compareAnswerBody(t *testing.T, a *Answer, rest, theirs []byte, err error) {
	ours, whole := rest, true
	switch a.Body {
	case NoBody:
		ours = nil
	case ByLength:
		ours = rest[:min(a.Length, int64(len(rest)))]
		whole = int64(len(ours)) == a.Length
	case ByChunks:
		var fault Fault
		ours, _, fault = readChunks(rest, len(rest))
		whole = fault == OK
	}
	if !whole && (err != nil || a.Body == ByChunks) { // net/http reads some chunks that are refused here
		return
	}
	if err != nil || !whole || !bytes.Equal(ours, theirs) {
		t.Fatalf("body %q (whole: %t), theirs %q (%v)", ours, whole, theirs, err)
	}
}
