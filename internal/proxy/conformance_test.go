package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bulsa/internal/balance"
)

// conformance is one row: what a client sends, and what it may get for it.
type conformance struct {
	name string
	send string
	want []int // statuses; none: the connection ends or stays silent, without an answer
}

// Rows of one section have the same fate: refused requests reach no worker and
// end the connection; served ones are answered by the worker, and so is a next
// request on the same connection.

func badRequests() []conformance {
	const get, post, host = "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "Host: a\r\n"
	long := strings.Repeat("A", 100_000)
	rows := []conformance{
		// Lines: RFC 9112, sections 2.2 and 3.
		{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", nil},
		{"bare LF after a field", get + "Host: a\nX: y\r\n\r\n", nil},
		{"bare LF as the empty line", get + host + "\n", nil},
		{"bare LF everywhere", "GET / HTTP/1.1\nHost: a\n\n", nil},
		{"bare CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", nil},
		{"bare CR after a field", get + "Host: a\rX: y\r\n\r\n", nil},
		{"CR CR LF", get + "Host: a\r\r\n\r\n", nil},
		{"two spaces before the target", "GET  / HTTP/1.1\r\n" + host + "\r\n", nil},
		{"two spaces before the version", "GET /  HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a tab before the target", "GET\t/ HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a tab before the version", "GET /\tHTTP/1.1\r\n" + host + "\r\n", nil},
		{"a space before the method", " " + get + host + "\r\n", nil},
		{"a space after the version", "GET / HTTP/1.1 \r\n" + host + "\r\n", nil},
		{"only spaces", "   \r\n\r\n", nil},
		{"no target", "GET HTTP/1.1\r\n" + host + "\r\n", nil},
		{"HTTP/0.9", "GET /\r\n", nil},
		{"HTTP/0.9 with an empty line", "GET /\r\n\r\n", nil},
		{"a method that is no token", "GE(T / HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a long method", long + " / HTTP/1.1\r\n" + host + "\r\n", nil},
		{"garbage", "\x8f\x02\xe1\x00\x17\xff\x80\x90garbage\r\n\r\n", nil},
		{"many empty lines", strings.Repeat("\r\n", 50) + get + host + "\r\n", nil},
		{"an upper-case only protocol name", "GET / http/1.1\r\n" + host + "\r\n", nil},
		{"no minor version", "GET / HTTP/1\r\n" + host + "\r\n", nil},
		{"leading zeros in the version", "GET / HTTP/01.01\r\n" + host + "\r\n", nil},
		{"a space in the version", "GET / HTTP/ 1.1\r\n" + host + "\r\n", nil},
		{"a comma in the version", "GET / HTTP/1,1\r\n" + host + "\r\n", nil},
		{"letters in the version", "GET / HTTP/x.y\r\n" + host + "\r\n", nil},
		{"another protocol", "GET / RTSP/1.0\r\n" + host + "\r\n", nil},
		{"an unknown major version", "GET / HTTP/9.9\r\n" + host + "\r\n", []int{505}},
		{"HTTP/2 in words", "GET / HTTP/2.0\r\n" + host + "\r\n", []int{505}},

		// Targets: RFC 9112, section 3.2.
		{"a fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", nil},
		{"NUL in the target", "GET /\x00a HTTP/1.1\r\n" + host + "\r\n", nil},
		{"DEL in the target", "GET /\x7fa HTTP/1.1\r\n" + host + "\r\n", nil},
		{"CR in the target", "GET /a\rb HTTP/1.1\r\n" + host + "\r\n", nil},
		{"UTF-8 in the target", "GET /caf\xc3\xa9 HTTP/1.1\r\n" + host + "\r\n", nil},
		{"overlong UTF-8 in the target", "GET /\xc0\xae\xc0\xae/ HTTP/1.1\r\n" + host + "\r\n", nil},
		{"an escaped NUL", "GET /a%00b HTTP/1.1\r\n" + host + "\r\n", nil},
		{"half an escape", "GET /a%4 HTTP/1.1\r\n" + host + "\r\n", nil},
		{"an escape without digits", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", nil},
		{"* with GET", "GET * HTTP/1.1\r\n" + host + "\r\n", nil},
		{"* with POST", "POST * HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a relative path", "GET a/b HTTP/1.1\r\n" + host + "\r\n", nil},
		{"an authority with GET", "GET a:80 HTTP/1.1\r\n" + host + "\r\n", nil},
		{"another scheme", "GET ftp://a/ HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a scheme without an authority", "GET http:/a HTTP/1.1\r\n" + host + "\r\n", nil},
		{"an empty authority", "GET http:///a HTTP/1.1\r\n" + host + "\r\n", nil},
		{"user information in the target", "GET http://u:p@a/ HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a target of 100 KB", "GET /" + long + " HTTP/1.1\r\n" + host + "\r\n", []int{414}},
		{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", []int{501}},

		// Host: RFC 9110, section 7.2, and RFC 9112, section 3.2.
		{"no Host", get + "\r\n", nil},
		{"no Host with an absolute target", "GET http://a/ HTTP/1.1\r\n\r\n", nil},
		{"an empty Host", get + "Host:\r\n\r\n", nil},
		{"a Host of spaces", get + "Host:   \r\n\r\n", nil},
		{"two Hosts", get + host + "Host: b\r\n\r\n", nil},
		{"the same Host twice", get + host + host + "\r\n", nil},
		{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" + host + "Host: b\r\n\r\n", nil},
		{"a list of Hosts", get + "Host: a, b\r\n\r\n", nil},
		{"Host with user information", get + "Host: u@a\r\n\r\n", nil},
		{"Host with a path", get + "Host: a/b\r\n\r\n", nil},
		{"Host with a query", get + "Host: a?b\r\n\r\n", nil},
		{"Host with a fragment", get + "Host: a#b\r\n\r\n", nil},
		{"Host with a scheme", get + "Host: http://a\r\n\r\n", nil},
		{"Host with a space", get + "Host: a b\r\n\r\n", nil},
		{"Host with a backslash", get + "Host: a\\b\r\n\r\n", nil},
		{"Host with letters for a port", get + "Host: a:http\r\n\r\n", nil},
		{"Host with two ports", get + "Host: a:80:80\r\n\r\n", nil},
		{"Host with a port that is too high", get + "Host: a:65536\r\n\r\n", nil},
		{"Host that is only a port", get + "Host: :80\r\n\r\n", nil},
		{"Host with an open bracket", get + "Host: [::1\r\n\r\n", nil},
		{"Host with UTF-8", get + "Host: b\xc3\xbccher\r\n\r\n", nil},
		{"Host before a space before the colon", get + "Host : a\r\n\r\n", nil},
		{"a malformed Host beside an absolute target", "GET http://a/ HTTP/1.1\r\nHost: b/c\r\n\r\n", nil},

		// Fields: RFC 9112, section 5, and RFC 9110, section 5.5.
		{"a space before the colon", get + host + "X : y\r\n\r\n", nil},
		{"a tab before the colon", get + host + "X\t: y\r\n\r\n", nil},
		{"an empty name", get + host + ": y\r\n\r\n", nil},
		{"no colon", get + host + "NoColonHere\r\n\r\n", nil},
		{"brackets in a name", get + host + "X[Y: z\r\n\r\n", nil},
		{"UTF-8 in a name", get + host + "X-T\xc3\xabst: y\r\n\r\n", nil},
		{"NUL in a name", get + host + "X\x00Y: z\r\n\r\n", nil},
		{"a tab in a name", get + host + "Content\tLength: 5\r\n\r\n", nil},
		{"a folded line", get + host + "X: y\r\n z\r\n\r\n", nil},
		{"a line folded by a tab", get + host + "X: y\r\n\tz\r\n\r\n", nil},
		{"a space before the first field", get + " " + host + "\r\n", nil},
		{"a line of spaces before the fields", get + " \r\n" + host + "\r\n", nil},
		{"NUL in a value", get + host + "X: y\x00z\r\n\r\n", nil},
		{"control characters in a value", get + host + "X: a\x07\x08\x0bb\r\n\r\n", nil},
		{"DEL in a value", get + host + "X: a\x7fb\r\n\r\n", nil},
		{"bare CR in a value", post + host + "Content-Length: 5\r\nX: val\rue\r\n\r\nhello", nil},
		{"a name of 100 KB", get + host + long + ": y\r\n\r\n", []int{431}},
		{"a value of 100 KB", get + host + "X: " + long + "\r\n\r\n", []int{431}},
		{"10,000 fields", get + host + strings.Repeat("X: y\r\n", 10_000) + "\r\n", []int{431}},
		{"101 fields", get + host + strings.Repeat("X: y\r\n", 100) + "\r\n", []int{431}},
		{"many long fields", get + host + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 17) + "\r\n", []int{431}},

		// Content-Length: RFC 9110, section 8.6.
		{"two lengths", post + host + "Content-Length: 5\r\nContent-Length: 10\r\n\r\nhelloworld", nil},
		{"the same length twice", post + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", nil},
		{"two lengths and a request", post + host + "Content-Length: 4\r\nContent-Length: 31\r\n\r\nPINGGET / HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"an underscore for the hyphen of a second length", post + host + "Content-Length: 11\r\nContent_Length: 99\r\n\r\nhello world", nil},
		{"a length and one with a space before the colon", post + host + "Content-Length: 11\r\nContent-Length : 5\r\n\r\nhello world", nil},
		{"a length far too high", post + host + "Content-Length: 99999999999999999999\r\n\r\n", nil},
		{"a length of 2^64", post + host + "Content-Length: 18446744073709551616\r\n\r\n", nil},

		// Transfer-Encoding: RFC 9112, sections 6.1 and 6.3.
		{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", nil},
		{"chunked in HTTP/1.0 with a length", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", nil},
		{"two codings", post + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", nil},
		{"chunked twice", post + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", nil},
		{"chunked is not the last", post + host + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", nil},
		{"an underscore for the hyphen", post + host + "Transfer_Encoding: chunked\r\n\r\nB\r\nhello world\r\n0\r\n\r\n", nil},
		{"an underscore beside a length", post + host + "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", nil},
		{"an unknown coding", post + host + "Transfer-Encoding: gzip\r\n\r\n", []int{501}},
		{"an unknown coding before chunked", post + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []int{501}},
		{"identity", post + host + "Transfer-Encoding: identity\r\n\r\n", []int{501}},

		// Upgrade and Expect: RFC 9110, sections 7.8 and 10.1.1.
		{"an upgrade with a body", get + host + "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello", nil},
		{"an upgrade with chunks", get + host + "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", nil},
		{"an unknown expectation", get + host + "Expect: 200-ok\r\n\r\n", []int{417}},
		{"an obfuscated expectation", post + host + "Expect: y 100-continue\r\nContent-Length: 5\r\n\r\nhello", []int{417}},
		{"two expectations", post + host + "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", []int{417}},
	}
	for _, length := range []string{"", "abc", "+5", "-1", "-0", "0x5", "0o5", "1_0", "1 0", "5, 10", "5, 5", "5, 5, 5", "5;", "5.0", "5e0", "\"5\"", "005", "00", "0200", "5\x0b", "\xa05"} {
		rows = append(rows, conformance{"length " + length, post + host + "Content-Length: " + length + "\r\n\r\nhello", nil})
	}
	for _, coding := range []string{"", ", chunked", "chunked,", "chunked, chunked", "\x0bchunked", "\x0cchunked", "chunked\x00", "\r\n chunked"} {
		rows = append(rows, conformance{"coding " + coding, post + host + "Transfer-Encoding: " + coding + "\r\n\r\n0\r\n\r\n", nil})
	}
	for _, coding := range []string{"xchunked", "chunkedx", "chunked;ext=val", "chunked;q=1", "\"chunked\"", "chunked\xa0", "\xffchunked", "c hunked", "[chunked]"} {
		rows = append(rows, conformance{"coding " + coding, post + host + "Transfer-Encoding: " + coding + "\r\n\r\n0\r\n\r\n", []int{400, 501}})
	}
	return append(rows, smuggling()...)
}

// smuggling hides a request in a body that two parsers would end in two places.
func smuggling() (rows []conformance) {
	hidden := "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
	lengths := []string{fmt.Sprint(len(hidden)), "4", "0", "6", fmt.Sprintf("+%d", len(hidden)), fmt.Sprintf("%dx", len(hidden))}
	for _, coding := range []string{"Transfer-Encoding: chunked", "transfer-encoding: Chunked", "Transfer-Encoding: chunked ", "Transfer-Encoding:\tchunked", "Transfer-Encoding: , chunked",
		"Transfer-Encoding: chunked,", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding : chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity",
		"Transfer-Encoding: identity", "Transfer-Encoding: ", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "X: y\nTransfer-Encoding: chunked", "Transfer-Encoding: \x0bchunked"} {
		for _, length := range lengths {
			length = "Content-Length: " + length
			for _, fields := range []string{coding + "\r\n" + length, length + "\r\n" + coding} {
				rows = append(rows, conformance{fmt.Sprintf("smuggled by %q", fields), "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n\r\n" + hidden, nil})
			}
		}
	}
	return rows
}

func badChunks() (rows []conformance) {
	for _, body := range []string{
		"+5\r\nhello\r\n", "-1\r\nhello\r\n", "0x5\r\nhello\r\n", "1_0\r\nhello world!!!!!\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\t\r\nhello\r\n", "\r\nhello\r\n", "x\r\n", "g\r\n",
		"5\nhello\r\n", "5\rhello\r\n", "5\r\nhello\n", "5\r\nhello", "5\r\nhello!!\r\n", "5\r\nhell\r\n", "5;\r\nhello\r\n", "5;\nhello\r\n", "5;a\nhello\r\n", "5;bad[=x\r\nhello\r\n",
		"5;\x00ext\r\nhello\r\n", "5;a\rX\r\nhello\r\n", "5;a=\r\nhello\r\n", "5;=b\r\nhello\r\n", "5;a=\"b\r\nhello\r\n", "5;a b\r\nhello\r\n", "5;" + strings.Repeat("a", 5000) + "\r\nhello\r\n",
		"ffffffffffffffff\r\nhello\r\n", "10000000000000005\r\nhello\r\n", "00000000000000000005\r\nhello\r\n", "5,\r\nhello\r\n", "5.\r\nhello\r\n", "\xef\xbc\x95\r\nhello\r\n",
	} {
		rows = append(rows, conformance{fmt.Sprintf("chunk %.40q", body), chunked(body + "0\r\n\r\n"), nil})
	}
	for _, end := range []string{"0\r\n\n", "0\n\r\n", "0\r\n\rX", "0\r\nA : b\r\n\r\n", "0\r\n: b\r\n\r\n", "0\r\nA\r\n\r\n", "0\r\nA: b\n\r\n", "0\r\nA: b\r\n c\r\n\r\n", "0\r\nA: \x00\r\n\r\n", "0\r\n" + strings.Repeat("A: bcdefgh\r\n", 1000) + "\r\n"} {
		rows = append(rows, conformance{fmt.Sprintf("end %.40q", end), chunked("5\r\nhello\r\n" + end), nil})
	}
	return rows
}

func chunked(body string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body
}

// goodRequests get the echo of "hello", if they have a body.
func goodRequests() []conformance {
	const get, post, host = "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "Host: a\r\n"
	rows := []conformance{
		{"GET", get + host + "\r\n", nil},
		{"an empty line before the request line", "\r\n" + get + host + "\r\n", nil},
		{"two empty lines before the request line", "\r\n\r\n" + get + host + "\r\n", nil},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", nil},
		{"an absolute target", "GET http://a/ HTTP/1.1\r\n" + host + "\r\n", nil},
		{"an absolute target for another host", "GET http://b.example/ HTTP/1.1\r\n" + host + "\r\n", nil},
		{"an absolute target without a path", "GET http://a HTTP/1.1\r\n" + host + "\r\n", nil},
		{"an unknown method", "FOOBAR / HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a method in lower case", "get / HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a higher minor version", "GET / HTTP/1.2\r\n" + host + "\r\n", nil},
		{"a target of 7,900 bytes", "GET /" + strings.Repeat("a", 7900) + " HTTP/1.1\r\n" + host + "\r\n", nil},
		{"escapes in the target", "GET /caf%C3%A9%20?q=100%&r=[]|{}^` HTTP/1.1\r\n" + host + "\r\n", nil},
		{"an address with a port in Host", get + "Host: 127.0.0.1:8080\r\n\r\n", nil},
		{"IPv6 in Host", get + "Host: [::1]:8080\r\n\r\n", nil},
		{"an underscore in Host", get + "Host: my_service\r\n\r\n", nil},
		{"white space around values", get + "Host:a\r\nX:  y\t \r\nY:\r\n\r\n", nil},
		{"UTF-8 in a value", get + host + "X: caf\xc3\xa9\r\n\r\n", nil},
		{"any token for a name", get + host + "!#$%&'*+-.^_`|~09azAZ: y\r\n\r\n", nil},
		{"100 fields", get + host + strings.Repeat("X: y\r\n", 99) + "\r\n", nil},
		{"names in any case", "POST / HTTP/1.1\r\nHOST: a\r\ncontent-LENGTH: 5\r\n\r\nhello", nil},
		{"a length of 0", post + host + "Content-Length: 0\r\n\r\n", nil},
		{"neither length nor coding", post + host + "\r\n", nil},
		{"a length", post + host + "Content-Length: 5\r\n\r\nhello", nil},
		{"a length with white space", post + host + "Content-Length: \t 5 \r\n\r\nhello", nil},
		{"a body with GET", get + host + "Content-Length: 5\r\n\r\nhello", nil},
		{"a body with OPTIONS", "OPTIONS / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello", nil},
		{"a body that is a request", post + host + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(get+host+"\r\n"), get+host+"\r\n"), nil},
		{"an expectation", post + host + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello", nil},
		{"TRACE", "TRACE / HTTP/1.1\r\n" + host + "\r\n", nil},
		{"DELETE", "DELETE / HTTP/1.1\r\n" + host + "\r\n", nil},
		{"a Range with POST", post + host + "Content-Length: 5\r\nRange: bytes=0-10\r\n\r\nhello", nil},
		{"two Content-Types", post + host + "Content-Type: text/plain\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello", nil},
		{"an upgrade nobody takes", get + host + "Connection: Upgrade\r\nUpgrade: totally-made-up/1.0\r\n\r\n", nil},
		{"an Upgrade without Connection", get + host + "Upgrade: websocket\r\n\r\n", nil},
		{"an upgrade to h2c", get + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", nil},
		{"HTTP/1.0 that wants to stay", "GET / HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n", nil},
	}
	for _, body := range []string{
		"5\r\nhello\r\n0\r\n\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "005\r\nhello\r\n000\r\n\r\n", "5;ext=value\r\nhello\r\n0;end\r\n\r\n", "5;a;b=\"c;\\\"\"\r\nhello\r\n0\r\n\r\n",
		"5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: b\r\nAuthorization: c\r\nContent-Type: d\r\n\r\n", "0\r\n\r\n",
	} {
		rows = append(rows, conformance{fmt.Sprintf("chunks %.60q", body), chunked(body), nil})
	}
	long := strings.Repeat("x", 0xAB)
	return append(rows, conformance{"hexadecimal digits in both cases", chunked("aB\r\n" + long + "\r\n0\r\n\r\n"), nil})
}

// unfinished requests are waited for; when the client ends, nothing was served.
func unfinishedRequests() []conformance {
	const post, host = "POST / HTTP/1.1\r\n", "Host: a\r\n"
	return []conformance{
		{"nothing", "", nil},
		{"an empty line", "\r\n", nil},
		{"a part of the request line", "GET / HT", nil},
		{"a part of the fields", "GET / HTTP/1.1\r\nHost: a\r\nX: y", nil},
		{"a part of a body", post + host + "Content-Length: 10\r\n\r\nhello", nil},
		{"chunks without a last one", chunked("5\r\nhello\r\n"), nil},
		{"a part of a chunk", chunked("5\r\nhel"), nil},
		{"a trailer without an end", chunked("0\r\nX: y\r\n"), nil},
	}
}

// serverMakers are the ways in which a proxy can serve a client.
var serverMakers = map[string]func(t *testing.T, worker http.HandlerFunc) *house{
	"goroutines": func(t *testing.T, worker http.HandlerFunc) *house {
		return open(t, settings(), app(t, "app.1", worker))
	},
}

// echo answers with the body it got, and counts.
func echo(served *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			served.Add(1)
		}
		_, _ = w.Write(body)
	}
}

func TestRequestsThatCouldBeReadInTwoWaysReachNoWorker(t *testing.T) {
	for by, open := range serverMakers {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			var served atomic.Int32
			h := open(t, echo(&served))
			for _, row := range slices.Concat(badRequests(), badChunks()) {
				want := row.want
				if want == nil {
					want = []int{400}
				}
				c := h.dial()
				go func() { _, _ = io.WriteString(c, row.send) }() // what is refused early is not read whole
				answers, err := io.ReadAll(c)
				_ = c.Close()
				status := 0
				_, _ = fmt.Sscanf(string(answers), "HTTP/1.1 %d ", &status)
				if err != nil || !slices.Contains(want, status) || count(string(answers)) != 1 || !strings.Contains(string(answers), "\r\nConnection: close\r\n") {
					t.Errorf("%s: want %v and the end, got %.200q (%v)", row.name, want, answers, err)
				}
			}
			if n := served.Load(); n != 0 {
				t.Errorf("%d requests reached the worker", n)
			}
		})
	}
}

func TestRequestsThatAreAsTheyShouldBeAreServed(t *testing.T) {
	for by, open := range serverMakers {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			h := open(t, echo(new(atomic.Int32)))
			for _, row := range goodRequests() {
				c := h.dial()
				br := bufio.NewReader(c)
				for _, send := range []string{row.send, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"} {
					_, _ = io.WriteString(c, send)
					resp, err := finalAnswer(br)
					if err != nil || resp.StatusCode != 200 || resp.Close || resp.Header.Get("Date") == "" {
						t.Errorf("%s: %v %v", row.name, resp, err)
						break
					}
					if body := all(t, resp); strings.Contains(send, "hello") && !strings.HasPrefix(body, "he") {
						t.Errorf("%s: the worker got %q", row.name, body)
					}
				}
				_ = c.Close()
			}
		})
	}
}

// count is the number of answers.
func count(answers string) int {
	return len(regexp.MustCompile(`HTTP/1\.1 \d\d\d `).FindAllString(answers, -1))
}

func finalAnswer(br *bufio.Reader) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode >= 200 {
			return resp, err
		}
	}
}

func TestUnfinishedRequestsAreNotServed(t *testing.T) {
	for by, open := range serverMakers {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			var served atomic.Int32
			h := open(t, echo(&served))
			for _, row := range unfinishedRequests() {
				c := h.dial()
				_, _ = io.WriteString(c, row.send)
				_ = c.(*net.TCPConn).CloseWrite()
				answers, err := io.ReadAll(c)
				if err != nil || strings.Contains(string(answers), "HTTP/1.1 2") {
					t.Errorf("%s: %.200q (%v)", row.name, answers, err)
				}
			}
			if n := served.Load(); n != 0 {
				t.Errorf("%d requests were served", n)
			}
		})
	}
}

func TestAConnectionEndsWhenItShould(t *testing.T) {
	for by, open := range serverMakers {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			h := open(t, echo(new(atomic.Int32)))
			for _, send := range []string{
				"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\n\r\n",
				"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
				"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
			} {
				answers, err := h.say(send + "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if err != nil || count(answers) != 1 || !strings.HasPrefix(answers, "HTTP/1.1 200 ") || !strings.Contains(answers, "Connection: close\r\n") {
					t.Errorf("%q: %q (%v)", send, answers, err)
				}
			}
		})
	}
}

func TestAHeadIsReadHoweverItArrives(t *testing.T) {
	for by, open := range serverMakers {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			h := open(t, echo(new(atomic.Int32)))
			const first, second = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhey\r\n0\r\nX: y\r\n\r\n"
			for at := 1; at < len(first+second); at += 3 {
				c := h.dial()
				br := bufio.NewReader(c)
				_ = c.(*net.TCPConn).SetNoDelay(true)
				_, _ = io.WriteString(c, (first + second)[:at])
				if at%2 == 0 {
					time.Sleep(time.Millisecond) // so that most of these arrive in two pieces
				}
				_, _ = io.WriteString(c, (first + second)[at:])
				for _, want := range []string{"hello", "hey"} {
					resp, err := http.ReadResponse(br, nil)
					if err != nil || all(t, resp) != want {
						t.Fatalf("split at %d: %v", at, err)
					}
				}
				_ = c.Close()
			}
		})
	}
}

// TestAnswersThatCouldBeReadInTwoWaysAreNotPassedOn: the client gets a 502, and
// the worker's connection is not used again.
func TestAnswersThatCouldBeReadInTwoWaysAreNotPassedOn(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for by, open := range workerMakers {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			for _, answer := range []string{
				ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", ok + "Content-Length: 5, 5\r\n\r\nhello",
				ok + "Content-Length: +5\r\n\r\nhello", ok + "Content-Length:\r\n\r\n", ok + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
				ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
				ok + "X : y\r\nContent-Length: 0\r\n\r\n", ok + ": y\r\nContent-Length: 0\r\n\r\n", ok + "X: y\r\n z\r\nContent-Length: 0\r\n\r\n", ok + "X\r\nContent-Length: 0\r\n\r\n",
				ok + "X: \x00\r\nContent-Length: 0\r\n\r\n", ok + "X: y\rz\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", ok + "X: y\nContent-Length: 0\r\n\r\n",
				"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "220 ready\r\n",
				"\r\n" + ok + "Content-Length: 0\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", ok + "X: " + strings.Repeat("y", 40_000) + "\r\n\r\n",
				strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100) + ok + "Content-Length: 0\r\n\r\n",
			} {
				h := open(t, answer)
				resp := finalOf(t, h)
				if resp.StatusCode != 502 {
					t.Errorf("%.80q: %d", answer, resp.StatusCode)
				}
			}
		})
	}
}

func TestAnAnswerWithoutADateGetsOne(t *testing.T) {
	for by, open := range workerMakers {
		t.Run(by, func(t *testing.T) {
			resp := finalOf(t, open(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestWhatFollowsAnAnswerIsNotTakenForTheNext: bytes that nobody asked for end the
// worker's connection, so that they answer nobody's request.
func TestWhatFollowsAnAnswerIsNotTakenForTheNext(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for by, open := range workerMakers {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			for _, answer := range []string{
				"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
				"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n",
			} {
				h := open(t, answer+poison)
				c := h.dial()
				br := bufio.NewReader(c)
				for range 3 {
					_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
					resp, err := http.ReadResponse(br, nil)
					if err != nil || resp.StatusCode > 304 {
						t.Fatalf("%q: %v %v", answer, resp, err)
					}
					if body := all(t, resp); body == "poison" {
						t.Fatalf("%q: poisoned", answer)
					}
				}
			}
		})
	}
}

// workerMakers are serverMakers before a worker that gives the same answer to every
// request.
var workerMakers = map[string]func(t *testing.T, answer string) *house{
	"goroutines": func(t *testing.T, answer string) *house { return open(t, settings(), parrot(t, answer)) },
}

func parrot(t *testing.T, answer string) *balance.Endpoint {
	return wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			_, _ = io.WriteString(c, answer)
		}
	})
}

func finalOf(t *testing.T, h *house) *http.Response {
	t.Helper()
	c := h.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := finalAnswer(bufio.NewReader(c))
	if err != nil {
		t.Fatal(err)
	}
	return resp
}
