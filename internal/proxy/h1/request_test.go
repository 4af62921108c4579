package h1

import (
	"strings"
	"testing"
)

// faultyRequests are the heads that are refused, by what is wrong with them.
func faultyRequests() map[Fault][]string {
	const get, post, host = "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "Host: a\r\n"
	return map[Fault][]string{
		BadLineEnd: {
			"GET / HTTP/1.1\n" + host + "\r\n", "GET / HTTP/1.1\rHost: a\r\n\r\n", get + "Host: a\n\r\n", get + "Host: a\r\r\n\r\n",
			get + "Host: a\rb\r\n\r\n", get + host + "\n", get + host + "\rx", "\n" + get + host + "\r\n", "\rx",
		},
		BadMethod: {
			" / HTTP/1.1\r\n", "GET\t/ HTTP/1.1\r\n", "G@T / HTTP/1.1\r\n", "\x16\x03\x01", "nonsense\r\n\r\n", "G\x80T / HTTP/1.1\r\n",
			strings.Repeat("A", 17000),
		},
		BadRequestLine: {"GET  HTTP/1.1\r\n", "\r\n\r\n" + get},
		BadVersion: {
			"GET /\r\n", "GET HTTP/1.1\r\n", "GET / \r\n", "GET / HTTP/1.1 \r\n", "GET / HTTP/1\r\n", "GET / HTTP/01.1\r\n", "GET / HTTP/1.01\r\n",
			"GET / HTTP/ 1.1\r\n", "GET / http/1.1\r\n", "GET / HTTP/1,1\r\n", "GET / HTTP/x.1\r\n", "GET /\tHTTP/1.1\r\n", "GET / HTCPCP/1.0\r\n",
		},
		OtherVersion: {"GET / HTTP/2.0\r\n", "GET / HTTP/3.0\r\n", "GET / HTTP/0.9\r\n", "PRI * HTTP/2.0\r\n"},
		BadTarget: {
			"GET  / HTTP/1.1\r\n", "GET /a b HTTP/1.1\r\n", "GET /a\tb HTTP/1.1\r\n", "GET /\x00 HTTP/1.1\r\n", "GET /\x7f HTTP/1.1\r\n",
			"GET /caf\xc3\xa9 HTTP/1.1\r\n", "GET /\xc0\xaf HTTP/1.1\r\n", "GET /a#b HTTP/1.1\r\n", "GET /?a#b HTTP/1.1\r\n", "GET * HTTP/1.1\r\n",
			"GET a HTTP/1.1\r\n", "GET a:80 HTTP/1.1\r\n", "OPTIONS *a HTTP/1.1\r\n", "GET ftp://a/ HTTP/1.1\r\n", "GET http:///a HTTP/1.1\r\n",
			"GET http://u@a/ HTTP/1.1\r\n", "GET http://a:b/ HTTP/1.1\r\n", "GET http://a,b/ HTTP/1.1\r\n", "GET http:/a HTTP/1.1\r\n",
			"GET http://[::1/ HTTP/1.1\r\n", "GET /% HTTP/1.1\r\n", "GET /%4 HTTP/1.1\r\n", "GET /%zz HTTP/1.1\r\n", "GET /%00 HTTP/1.1\r\n",
			"GET /a\\b HTTP/1.1\r\n", "GET /a%0ab HTTP/1.1\r\n", "GET /a%0D%0Ab HTTP/1.1\r\n", "GET http://a\\b HTTP/1.1\r\n", "GET http://a/\\b HTTP/1.1\r\n",
		},
		Connect:    {"CONNECT a:1 HTTP/1.1\r\n" + host + "\r\n", "CONNECT / HTTP/1.1\r\n" + host + "\r\n"},
		LongTarget: {"GET /" + strings.Repeat("a", 17000), "GET /" + strings.Repeat("a", 17000) + " HTTP/1.1\r\n"},
		LongHead: {
			get + host + "A: " + strings.Repeat("x", 17000) + "\r\n\r\n", get + host + "A: " + strings.Repeat("x", 17000),
			get + host + strings.Repeat("A", 17000), get + host + strings.Repeat("A", 17000) + ": b\r\n\r\n",
			get + host + strings.Repeat("A: "+strings.Repeat("x", 1000)+"\r\n", 17),
		},
		ManyFields: {get + strings.Repeat("A: b\r\n", MaxRequestFields+1) + "\r\n"},
		BadFieldName: {
			get + host + "A : b\r\n\r\n", get + host + ": b\r\n\r\n", get + host + "A: b\r\n c\r\n\r\n", get + host + "A: b\r\n\tc\r\n\r\n",
			get + " \r\n" + host + "\r\n", get + host + "A\r\n\r\n", get + host + "A[b: c\r\n\r\n", get + host + "A\x00: c\r\n\r\n",
			get + host + "X-T\xc3\xabst: c\r\n\r\n", get + " " + host + "\r\n", get + host + "A\x0b: b\r\n\r\n",
		},
		BadFieldValue: {get + host + "A: b\x00c\r\n\r\n", get + host + "A: \x7f\r\n\r\n", get + host + "A: a\x07\x08\x0bb\r\n\r\n", get + host + "A: a\x1f\r\n\r\n"},
		ManyOptions:   {get + host + "Connection: a" + strings.Repeat(",a", 32) + "\r\n\r\n"},
		NotOneHost:    {get + "\r\n", get + host + host + "\r\n", get + host + "Host: b\r\n\r\n", "GET http://a/ HTTP/1.1\r\n\r\n", "GET / HTTP/1.0\r\n" + host + host + "\r\n"},
		BadHost: {
			get + "Host:\r\n\r\n", get + "Host: a/b\r\n\r\n", get + "Host: u@a\r\n\r\n", get + "Host: a b\r\n\r\n", get + "Host: a, b\r\n\r\n", get + "Host: a?b\r\n\r\n",
			get + "Host: a#b\r\n\r\n", get + "Host: a\\b\r\n\r\n", get + "Host: a:b\r\n\r\n", get + "Host: a:1:2\r\n\r\n", get + "Host: a:65536\r\n\r\n",
			get + "Host: ::1\r\n\r\n", get + "Host: [::1\r\n\r\n", get + "Host: [::1]x\r\n\r\n", get + "Host: [g::1]\r\n\r\n", get + "Host: :80\r\n\r\n",
			get + "Host: http://a\r\n\r\n", get + "Host: \xe4\r\n\r\n", get + "Host: \"a\"\r\n\r\n", "GET http://a/ HTTP/1.1\r\nHost: b/c\r\n\r\n",
		},
		BadLength: {
			post + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", post + host + "Content-Length: 5\r\ncontent-length: 6\r\n\r\n",
			post + host + "Content-Length: +5\r\n\r\n", post + host + "Content-Length: -1\r\n\r\n", post + host + "Content-Length:\r\n\r\n",
			post + host + "Content-Length: 5, 5\r\n\r\n", post + host + "Content-Length: 0x5\r\n\r\n", post + host + "Content-Length: 1_0\r\n\r\n",
			post + host + "Content-Length: 5 5\r\n\r\n", post + host + "Content-Length: 005\r\n\r\n", post + host + "Content-Length: 99999999999999999999\r\n\r\n",
			post + host + "Content-Length: 5.0\r\n\r\n", post + host + "Content-Length: 5;\r\n\r\n", post + host + "Content-Length: \"5\"\r\n\r\n",
			post + host + "Content-Length: 5\xa0\r\n\r\n", post + host + "Content_Length: 5\r\n\r\n", post + host + "Content-Length: abc\r\n\r\n",
			post + host + "Content-Length:  5\r\n\r\n", post + host + "Content-Length:\t5\r\n\r\n", post + host + "Content-Length: 5 \r\n\r\n", post + host + "Content-Length:5\t\r\n\r\n",
		},
		LengthAndCoding: {
			post + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", post + host + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
			post + host + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n",
		},
		BadCoding: {
			"POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", post + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
			post + host + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n", post + host + "Transfer_Encoding: chunked\r\n\r\n",
			post + host + "Transfer-Encoding: chunked, chunked\r\n\r\n", post + host + "Transfer-Encoding: chunked, gzip\r\n\r\n", post + host + "Transfer-Encoding: chunked,\r\n\r\n",
			post + host + "Transfer-Encoding: ,chunked\r\n\r\n", post + host + "Transfer-Encoding:\r\n\r\n",
		},
		UnknownCoding: {
			post + host + "Transfer-Encoding: xchunked\r\n\r\n", post + host + "Transfer-Encoding: gzip, chunked\r\n\r\n",
			post + host + "Transfer-Encoding: chunked;q=1\r\n\r\n", post + host + "Transfer-Encoding: \"chunked\"\r\n\r\n",
			post + host + "Transfer-Encoding: chunked\xa0\r\n\r\n", post + host + "Transfer-Encoding: identity\r\n\r\n",
		},
		UpgradeWithBody: {
			get + host + "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n",
			get + host + "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n",
		},
		TwoContentTypes:    {post + host + "Content-Type: a/b\r\ncontent-type: a/c\r\n\r\n", get + host + "Content-Type: a/b\r\nContent-Type: a/b\r\nContent-Type:\r\n\r\n"},
		UnknownExpectation: {post + host + "Expect: 200-ok\r\n\r\n", post + host + "Expect: y 100-continue\r\n\r\n", post + host + "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"},
	}
}

func TestRequestsThatTwoParsersCouldReadDifferentlyAreFaults(t *testing.T) {
	for want, requests := range faultyRequests() {
		for _, q := range requests {
			var r Request
			if n, fault := r.Parse([]byte(q), DefaultHead); fault != want || n != 0 {
				t.Errorf("%.90q: %d, %v; want %v", q, n, fault, want)
			}
		}
	}
}

func TestAHeadIsFoundHoweverItIsSplit(t *testing.T) {
	for _, q := range []string{shortRequest, browserRequest, "\r\nGET / HTTP/1.0\r\n\r\n"} {
		var r Request
		for i := range q {
			if n, fault := r.Parse([]byte(q[:i]), DefaultHead); n != 0 || fault != OK {
				t.Fatalf("%q: %d, %v", q[:i], n, fault)
			}
		}
		if n, fault := r.Parse([]byte(q+"GET /next"), DefaultHead); n != len(q) || fault != OK {
			t.Fatalf("%q: %d, %v", q, n, fault)
		}
	}
}
