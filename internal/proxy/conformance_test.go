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

// sample is something that a client may send.
type sample struct{ name, send string }

// faultySample is a sample that reaches no worker and ends the connection; want are
// the statuses that it may be answered with.
type faultySample struct {
	want string
	name string
	send string
}

func badRequests() []faultySample {
	const get, post, host = "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "Host: a\r\n"
	long := strings.Repeat("A", 100_000)
	rows := []faultySample{
		// Lines: RFC 9112, sections 2.2 and 3.
		{"400", "bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"},
		{"400", "bare LF after a field", get + "Host: a\nX: y\r\n\r\n"},
		{"400", "bare LF as the empty line", get + host + "\n"},
		{"400", "bare LF everywhere", "GET / HTTP/1.1\nHost: a\n\n"},
		{"400", "bare CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n"},
		{"400", "bare CR after a field", get + "Host: a\rX: y\r\n\r\n"},
		{"400", "CR CR LF", get + "Host: a\r\r\n\r\n"},
		{"400", "two spaces before the target", "GET  / HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "two spaces before the version", "GET /  HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "a tab before the target", "GET\t/ HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "a tab before the version", "GET /\tHTTP/1.1\r\n" + host + "\r\n"},
		{"400", "a space before the method", " " + get + host + "\r\n"},
		{"400", "a space after the version", "GET / HTTP/1.1 \r\n" + host + "\r\n"},
		{"400", "only spaces", "   \r\n\r\n"},
		{"400", "no target", "GET HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "HTTP/0.9", "GET /\r\n"},
		{"400", "HTTP/0.9 with an empty line", "GET /\r\n\r\n"},
		{"400", "a method that is no token", "GE(T / HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "a long method", long + " / HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "garbage", "\x8f\x02\xe1\x00\x17\xff\x80\x90garbage\r\n\r\n"},
		{"400", "two empty lines before the request line", "\r\n\r\n" + get + host + "\r\n"},
		{"400", "a protocol name in lower case", "GET / http/1.1\r\n" + host + "\r\n"},
		{"400", "no minor version", "GET / HTTP/1\r\n" + host + "\r\n"},
		{"400", "leading zeros in the version", "GET / HTTP/01.01\r\n" + host + "\r\n"},
		{"400", "a space in the version", "GET / HTTP/ 1.1\r\n" + host + "\r\n"},
		{"400", "a comma in the version", "GET / HTTP/1,1\r\n" + host + "\r\n"},
		{"400", "letters in the version", "GET / HTTP/x.y\r\n" + host + "\r\n"},
		{"400", "another protocol", "GET / RTSP/1.0\r\n" + host + "\r\n"},
		{"505", "an unknown major version", "GET / HTTP/9.9\r\n" + host + "\r\n"},
		{"505", "HTTP/2 in words", "GET / HTTP/2.0\r\n" + host + "\r\n"},

		// Targets: RFC 9112, section 3.2.
		{"400", "a fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "a space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "NUL in the target", "GET /\x00a HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "DEL in the target", "GET /\x7fa HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "CR in the target", "GET /a\rb HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "UTF-8 in the target", "GET /caf\xc3\xa9 HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "overlong UTF-8 in the target", "GET /\xc0\xae\xc0\xae/ HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "an escaped NUL", "GET /a%00b HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "escaped line ends in the path", "GET /a%0d%0aX-Y:%20z HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "a backslash in the path", "GET /a\\b HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "half an escape", "GET /a%4 HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "an escape without digits", "GET /%zz HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "* with GET", "GET * HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "* with POST", "POST * HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "a relative path", "GET a/b HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "an authority with GET", "GET a:80 HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "another scheme", "GET ftp://a/ HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "a scheme without an authority", "GET http:/a HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "an empty authority", "GET http:///a HTTP/1.1\r\n" + host + "\r\n"},
		{"400", "user information in the target", "GET http://u:p@a/ HTTP/1.1\r\n" + host + "\r\n"},
		{"414", "a target of 100 KB", "GET /" + long + " HTTP/1.1\r\n" + host + "\r\n"},
		{"501", "CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"},

		// Host: RFC 9110, section 7.2, and RFC 9112, section 3.2.
		{"400", "no Host", get + "\r\n"},
		{"400", "no Host with an absolute target", "GET http://a/ HTTP/1.1\r\n\r\n"},
		{"400", "an empty Host", get + "Host:\r\n\r\n"},
		{"400", "a Host of spaces", get + "Host:   \r\n\r\n"},
		{"400", "two Hosts", get + host + "Host: b\r\n\r\n"},
		{"400", "the same Host twice", get + host + host + "\r\n"},
		{"400", "two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" + host + "Host: b\r\n\r\n"},
		{"400", "a list of Hosts", get + "Host: a, b\r\n\r\n"},
		{"400", "Host with user information", get + "Host: u@a\r\n\r\n"},
		{"400", "Host with a path", get + "Host: a/b\r\n\r\n"},
		{"400", "Host with a query", get + "Host: a?b\r\n\r\n"},
		{"400", "Host with a fragment", get + "Host: a#b\r\n\r\n"},
		{"400", "Host with a scheme", get + "Host: http://a\r\n\r\n"},
		{"400", "Host with a space", get + "Host: a b\r\n\r\n"},
		{"400", "Host with a backslash", get + "Host: a\\b\r\n\r\n"},
		{"400", "Host with letters for a port", get + "Host: a:http\r\n\r\n"},
		{"400", "Host with two ports", get + "Host: a:80:80\r\n\r\n"},
		{"400", "Host with a port that is too high", get + "Host: a:65536\r\n\r\n"},
		{"400", "Host that is only a port", get + "Host: :80\r\n\r\n"},
		{"400", "Host with an open bracket", get + "Host: [::1\r\n\r\n"},
		{"400", "Host with UTF-8", get + "Host: b\xc3\xbccher\r\n\r\n"},
		{"400", "Host before a space before the colon", get + "Host : a\r\n\r\n"},
		{"400", "a malformed Host beside an absolute target", "GET http://a/ HTTP/1.1\r\nHost: b/c\r\n\r\n"},

		// Fields: RFC 9112, section 5, and RFC 9110, section 5.5.
		{"400", "a space before the colon", get + host + "X : y\r\n\r\n"},
		{"400", "a tab before the colon", get + host + "X\t: y\r\n\r\n"},
		{"400", "an empty name", get + host + ": y\r\n\r\n"},
		{"400", "no colon", get + host + "NoColonHere\r\n\r\n"},
		{"400", "brackets in a name", get + host + "X[Y: z\r\n\r\n"},
		{"400", "UTF-8 in a name", get + host + "X-T\xc3\xabst: y\r\n\r\n"},
		{"400", "NUL in a name", get + host + "X\x00Y: z\r\n\r\n"},
		{"400", "a tab in a name", get + host + "Content\tLength: 5\r\n\r\n"},
		{"400", "a folded line", get + host + "X: y\r\n z\r\n\r\n"},
		{"400", "a line folded by a tab", get + host + "X: y\r\n\tz\r\n\r\n"},
		{"400", "a space before the first field", get + " " + host + "\r\n"},
		{"400", "a line of spaces before the fields", get + " \r\n" + host + "\r\n"},
		{"400", "NUL in a value", get + host + "X: y\x00z\r\n\r\n"},
		{"400", "control characters in a value", get + host + "X: a\x07\x08\x0bb\r\n\r\n"},
		{"400", "DEL in a value", get + host + "X: a\x7fb\r\n\r\n"},
		{"400", "bare CR in a value", post + host + "Content-Length: 5\r\nX: val\rue\r\n\r\nhello"},
		{"431", "a name of 100 KB", get + host + long + ": y\r\n\r\n"},
		{"431", "a value of 100 KB", get + host + "X: " + long + "\r\n\r\n"},
		{"431", "10,000 fields", get + host + strings.Repeat("X: y\r\n", 10_000) + "\r\n"},
		{"431", "1001 fields", get + host + strings.Repeat("X: y\r\n", 1000) + "\r\n"},
		{"431", "many long fields", get + host + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 17) + "\r\n"},

		// Content-Length: RFC 9110, section 8.6.
		{"400", "two lengths", post + host + "Content-Length: 5\r\nContent-Length: 10\r\n\r\nhelloworld"},
		{"400", "the same length twice", post + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
		{"400", "two lengths and a request", post + host + "Content-Length: 4\r\nContent-Length: 31\r\n\r\nPINGGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"400", "an underscore for the hyphen of a second length", post + host + "Content-Length: 11\r\nContent_Length: 99\r\n\r\nhello world"},
		{"400", "a length and one with a space before the colon", post + host + "Content-Length: 11\r\nContent-Length : 5\r\n\r\nhello world"},
		{"400", "a length behind two spaces", post + host + "Content-Length:  5\r\n\r\nhello"},
		{"400", "a length behind a tab", post + host + "Content-Length:\t5\r\n\r\nhello"},
		{"400", "a length before a space", post + host + "Content-Length: 5 \r\n\r\nhello"},
		{"400", "two Content-Types", post + host + "Content-Type: text/plain\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello"},
		{"400", "a length far too high", post + host + "Content-Length: 99999999999999999999\r\n\r\n"},
		{"400", "a length of 2^64", post + host + "Content-Length: 18446744073709551616\r\n\r\n"},

		// Transfer-Encoding: RFC 9112, sections 6.1 and 6.3.
		{"400", "chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"400", "chunked in HTTP/1.0 with a length", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"},
		{"400", "two codings", post + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"},
		{"400", "chunked twice", post + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"400", "chunked is not the last", post + host + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"},
		{"400", "an underscore for the hyphen", post + host + "Transfer_Encoding: chunked\r\n\r\nB\r\nhello world\r\n0\r\n\r\n"},
		{"400", "an underscore beside a length", post + host + "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"},
		{"501", "an unknown coding", post + host + "Transfer-Encoding: gzip\r\n\r\n"},
		{"501", "an unknown coding before chunked", post + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
		{"501", "identity", post + host + "Transfer-Encoding: identity\r\n\r\n"},

		// Upgrade and Expect: RFC 9110, sections 7.8 and 10.1.1.
		{"400", "an upgrade with a body", get + host + "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello"},
		{"400", "an upgrade with chunks", get + host + "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"417", "an unknown expectation", get + host + "Expect: 200-ok\r\n\r\n"},
		{"417", "an obfuscated expectation", post + host + "Expect: y 100-continue\r\nContent-Length: 5\r\n\r\nhello"},
		{"417", "two expectations", post + host + "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"},
	}
	for _, length := range []string{"", "abc", "+5", "-1", "-0", "0x5", "0o5", "1_0", "1 0", "5, 10", "5, 5", "5, 5, 5", "5;", "5.0", "5e0", "\"5\"", "005", "00", "0200", "5\x0b", "\xa05"} {
		rows = append(rows, faultySample{"400", "length " + length, post + host + "Content-Length: " + length + "\r\n\r\nhello"})
	}
	for _, coding := range []string{"", ", chunked", "chunked,", "chunked, chunked", "\x0bchunked", "\x0cchunked", "chunked\x00", "\r\n chunked"} {
		rows = append(rows, faultySample{"400", "coding " + coding, post + host + "Transfer-Encoding: " + coding + "\r\n\r\n0\r\n\r\n"})
	}
	for _, coding := range []string{"xchunked", "chunkedx", "chunked;ext=val", "chunked;q=1", "\"chunked\"", "chunked\xa0", "\xffchunked", "c hunked", "[chunked]"} {
		rows = append(rows, faultySample{"400 501", "coding " + coding, post + host + "Transfer-Encoding: " + coding + "\r\n\r\n0\r\n\r\n"})
	}
	return append(rows, smuggling()...)
}

// smuggling hides a request in a body that two parsers would end in two places.
func smuggling() (rows []faultySample) {
	hidden := "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
	lengths := []string{fmt.Sprint(len(hidden)), "4", "0", "6", fmt.Sprintf("+%d", len(hidden)), fmt.Sprintf("%dx", len(hidden))}
	for _, coding := range []string{"Transfer-Encoding: chunked", "transfer-encoding: Chunked", "Transfer-Encoding: chunked ", "Transfer-Encoding:\tchunked", "Transfer-Encoding: , chunked",
		"Transfer-Encoding: chunked,", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding : chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity",
		"Transfer-Encoding: identity", "Transfer-Encoding: ", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "X: y\nTransfer-Encoding: chunked", "Transfer-Encoding: \x0bchunked"} {
		for _, length := range lengths {
			length = "Content-Length: " + length
			for _, fields := range []string{coding + "\r\n" + length, length + "\r\n" + coding} {
				rows = append(rows, faultySample{"400", fmt.Sprintf("smuggled by %q", fields), "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n\r\n" + hidden})
			}
		}
	}
	return rows
}

func badChunks() (rows []faultySample) {
	for _, body := range []string{
		"+5\r\nhello\r\n", "-1\r\nhello\r\n", "0x5\r\nhello\r\n", "1_0\r\nhello world!!!!!\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\t\r\nhello\r\n", "\r\nhello\r\n", "x\r\n", "g\r\n",
		"5\nhello\r\n", "5\rhello\r\n", "5\r\nhello\n", "5\r\nhello", "5\r\nhello!!\r\n", "5\r\nhell\r\n", "5;\r\nhello\r\n", "5;\nhello\r\n", "5;a\nhello\r\n", "5;bad[=x\r\nhello\r\n",
		"5;\x00ext\r\nhello\r\n", "5;a\rX\r\nhello\r\n", "5;a=\r\nhello\r\n", "5;=b\r\nhello\r\n", "5;a=\"b\r\nhello\r\n", "5;a b\r\nhello\r\n", "5;" + strings.Repeat("a", 5000) + "\r\nhello\r\n",
		"ffffffffffffffff\r\nhello\r\n", "10000000000000005\r\nhello\r\n", "00000000000000000005\r\nhello\r\n", "5,\r\nhello\r\n", "5.\r\nhello\r\n", "\xef\xbc\x95\r\nhello\r\n",
	} {
		rows = append(rows, faultySample{"400", fmt.Sprintf("chunk %.40q", body), chunked(body + "0\r\n\r\n")})
	}
	for _, end := range []string{"0\r\n\n", "0\n\r\n", "0\r\n\rX", "0\r\nA : b\r\n\r\n", "0\r\n: b\r\n\r\n", "0\r\nA\r\n\r\n", "0\r\nA: b\n\r\n", "0\r\nA: b\r\n c\r\n\r\n", "0\r\nA: \x00\r\n\r\n", "0\r\n" + strings.Repeat("A: bcdefgh\r\n", 1000) + "\r\n"} {
		rows = append(rows, faultySample{"400", fmt.Sprintf("end %.40q", end), chunked("5\r\nhello\r\n" + end)})
	}
	return rows
}

func chunked(body string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body
}

// goodRequests get the echo of "hello", if they have a body.
func goodRequests() []sample {
	const get, post, host = "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "Host: a\r\n"
	rows := []sample{
		{"GET", get + host + "\r\n"},
		{"an empty line before the request line", "\r\n" + get + host + "\r\n"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n"},
		{"an absolute target", "GET http://a/ HTTP/1.1\r\n" + host + "\r\n"},
		{"an absolute target for another host", "GET http://b.example/ HTTP/1.1\r\n" + host + "\r\n"},
		{"an absolute target without a path", "GET http://a HTTP/1.1\r\n" + host + "\r\n"},
		{"an unknown method", "FOOBAR / HTTP/1.1\r\n" + host + "\r\n"},
		{"a method in lower case", "get / HTTP/1.1\r\n" + host + "\r\n"},
		{"a higher minor version", "GET / HTTP/1.2\r\n" + host + "\r\n"},
		{"a target of 7,900 bytes", "GET /" + strings.Repeat("a", 7900) + " HTTP/1.1\r\n" + host + "\r\n"},
		{"escapes in the target", "GET /caf%C3%A9%20?q=100%&r=[]|{}^` HTTP/1.1\r\n" + host + "\r\n"},
		{"an address with a port in Host", get + "Host: 127.0.0.1:8080\r\n\r\n"},
		{"IPv6 in Host", get + "Host: [::1]:8080\r\n\r\n"},
		{"an underscore in Host", get + "Host: my_service\r\n\r\n"},
		{"white space around values", get + "Host:a\r\nX:  y\t \r\nY:\r\n\r\n"},
		{"UTF-8 in a value", get + host + "X: caf\xc3\xa9\r\n\r\n"},
		{"any token for a name", get + host + "!#$%&'*+-.^_`|~09azAZ: y\r\n\r\n"},
		{"100 fields", get + host + strings.Repeat("X: y\r\n", 99) + "\r\n"},
		{"names in any case", "POST / HTTP/1.1\r\nHOST: a\r\ncontent-LENGTH: 5\r\n\r\nhello"},
		{"a length of 0", post + host + "Content-Length: 0\r\n\r\n"},
		{"neither length nor coding", post + host + "\r\n"},
		{"a length", post + host + "Content-Length: 5\r\n\r\nhello"},
		{"a length without white space", post + host + "Content-Length:5\r\n\r\nhello"},
		{"a body with GET", get + host + "Content-Length: 5\r\n\r\nhello"},
		{"a body with OPTIONS", "OPTIONS / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello"},
		{"a body that is a request", post + host + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(get+host+"\r\n"), get+host+"\r\n")},
		{"an expectation", post + host + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"},
		{"TRACE", "TRACE / HTTP/1.1\r\n" + host + "\r\n"},
		{"DELETE", "DELETE / HTTP/1.1\r\n" + host + "\r\n"},
		{"a Range with POST", post + host + "Content-Length: 5\r\nRange: bytes=0-10\r\n\r\nhello"},
		{"the same Content-Type twice", post + host + "Content-Type: text/plain\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"},
		{"line ends in a query", "GET /?a=b%0D%0Ac\\d HTTP/1.1\r\n" + host + "\r\n"},
		{"an upgrade nobody takes", get + host + "Connection: Upgrade\r\nUpgrade: totally-made-up/1.0\r\n\r\n"},
		{"an Upgrade without Connection", get + host + "Upgrade: websocket\r\n\r\n"},
		{"an upgrade to h2c", get + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"},
		{"HTTP/1.0 that wants to stay", "GET / HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n"},
	}
	for _, body := range []string{
		"5\r\nhello\r\n0\r\n\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "005\r\nhello\r\n000\r\n\r\n", "5;ext=value\r\nhello\r\n0;end\r\n\r\n", "5;a;b=\"c;\\\"\"\r\nhello\r\n0\r\n\r\n",
		"5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: b\r\nAuthorization: c\r\nContent-Type: d\r\n\r\n", "0\r\n\r\n",
	} {
		rows = append(rows, sample{fmt.Sprintf("chunks %.60q", body), chunked(body)})
	}
	long := strings.Repeat("x", 0xAB)
	return append(rows, sample{"hexadecimal digits in both cases", chunked("aB\r\n" + long + "\r\n0\r\n\r\n")})
}

// unfinished requests are waited for; when the client ends, nothing was served.
func unfinishedRequests() []sample {
	const post, host = "POST / HTTP/1.1\r\n", "Host: a\r\n"
	rows := []sample{
		{"an empty line", "\r\n"},
		{"a part of a body", post + host + "Content-Length: 10\r\n\r\nhello"},
		{"chunks without a last one", chunked("5\r\nhello\r\n")},
		{"a part of a chunk", chunked("5\r\nhel")},
		{"a trailer without an end", chunked("0\r\nX: y\r\n")},
	}
	const whole = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
	for n := range whole {
		rows = append(rows, sample{fmt.Sprintf("%q", whole[:n]), whole[:n]})
	}
	return rows
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
	t.Parallel()
	var served atomic.Int32
	h := open(t, settings(), app(t, "app.1", echo(&served)))
	for _, row := range slices.Concat(badRequests(), badChunks()) {
		c := h.dial()
		go func() { _, _ = io.WriteString(c, row.send) }() // what is refused early is not read whole
		answers, err := io.ReadAll(c)
		_ = c.Close()
		status, _, _ := strings.Cut(strings.TrimPrefix(string(answers), "HTTP/1.1 "), " ")
		if err != nil || !slices.Contains(strings.Fields(row.want), status) || count(string(answers)) != 1 || !strings.Contains(string(answers), "\r\nConnection: close\r\n") {
			t.Errorf("%s: want %s and the end, got %.200q (%v)", row.name, row.want, answers, err)
		}
	}
	if n := served.Load(); n != 0 {
		t.Errorf("%d requests reached the worker", n)
	}
}

func TestRequestsThatAreAsTheyShouldBeAreServed(t *testing.T) {
	t.Parallel()
	h := open(t, settings(), app(t, "app.1", echo(new(atomic.Int32))))
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
	t.Parallel()
	var served atomic.Int32
	h := open(t, settings(), app(t, "app.1", echo(&served)))
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
}

func TestAConnectionEndsWhenItShould(t *testing.T) {
	t.Parallel()
	h := open(t, settings(), app(t, "app.1", echo(new(atomic.Int32))))
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
}

func TestAHeadIsReadHoweverItArrives(t *testing.T) {
	t.Parallel()
	h := open(t, settings(), app(t, "app.1", echo(new(atomic.Int32))))
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
}

// TestAnswersThatCouldBeReadInTwoWaysAreNotPassedOn: the client gets a 502, and
// the worker's connection is not used again.
func TestAnswersThatCouldBeReadInTwoWaysAreNotPassedOn(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
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
		h := open(t, settings(), parrot(t, answer))
		resp := finalOf(t, h)
		if resp.StatusCode != 502 {
			t.Errorf("%.80q: %d", answer, resp.StatusCode)
		}
	}
}

func TestAnAnswerWithoutADateGetsOne(t *testing.T) {
	t.Parallel()
	resp := finalOf(t, open(t, settings(), parrot(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
	if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
		t.Fatal(err)
	}
}

// TestWhatFollowsAnAnswerIsNotTakenForTheNext: bytes that nobody asked for end the
// worker's connection, so that they answer nobody's request.
func TestWhatFollowsAnAnswerIsNotTakenForTheNext(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	t.Parallel()
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n",
	} {
		h := open(t, settings(), parrot(t, answer+poison))
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
}

// parrot is a worker that gives the same answer to every request.
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
