package main

import (
	"fmt"
	"slices"
	"strings"
)

// Case is one exchange with a server and what it is worth. The names are those of
// Http11Probe (github.com/MDA2AV/Http11Probe, commits 09a1f5b7 and 12c26d8a), so
// that results can be compared with what it publishes.
type Case struct {
	Name string
	RFC  string   // "9112 3.2": section 3.2 of RFC 9112
	Send []string // a second part is sent when the first is answered and the connection is open
	Want string   // of the first answer, see judge
	Then string   // of the second answer; "": there must be none
	Note bool     // it is reported and not counted
}

// cases are all of them, for the server that is known as host.
func cases(host string) []Case {
	h := "Host: " + host + "\r\n"
	all := slices.Concat(
		lines(h), targets(h), hosts(h, host), fields(h), bodies(h), methods(h), upgrades(h), answers(h),
		lengths(h), codings(h), chunks(h), smuggled(h), desynced(h), oversized(h), malformed(h), normalized(h),
	)
	for _, c := range slices.Concat(tolerated(h, host), trailers(h), unread(h), conditional(h), cookies(h)) {
		c.Note = true
		all = append(all, c)
	}
	return all
}

func row(name, rfc, want string, send ...string) Case {
	return Case{Name: name, RFC: rfc, Want: want, Send: send}
}

// post is a request for / with these fields, which end in CR LF, and this body.
func post(h, fields, body string) string {
	return "POST / HTTP/1.1\r\n" + h + fields + "\r\n" + body
}

func get(h, fields string) string { return "GET / HTTP/1.1\r\n" + h + fields + "\r\n" }

func chunked(h, body string) string { return post(h, "Transfer-Encoding: chunked\r\n", body) }

const (
	refused  = "400 end"       // and nothing else will do
	cautious = "400 end | 2xx" // the RFCs leave the choice
	closed   = "400 end *+end" // or at least closed
	awaited  = "400 end wait"  // incomplete, so nothing may have been served
	unknown  = "400 501 end"   // a coding that nobody knows
	doubtful = "400 end | 2xx 4xx"
)

// lines are about line ends and the request line.
func lines(h string) []Case {
	get := func(first, end string) string { return first + end + h + "\r\n" }
	return []Case{
		row("COMP-BASELINE", "9110 9.3.1", "2xx", get("GET / HTTP/1.1", "\r\n")),
		row("RFC9112-2.2-BARE-LF-REQUEST-LINE", "9112 2.2", cautious, get("GET / HTTP/1.1", "\n")),
		row("RFC9112-2.2-BARE-LF-HEADER", "9112 2.2", cautious, "GET / HTTP/1.1\r\n"+strings.TrimSuffix(h, "\r\n")+"\nX-Test: value\r\n\r\n"),
		row("RFC9112-3-CR-ONLY-LINE-ENDING", "9112 2.2", "400", get("GET / HTTP/1.1", "\r")),
		row("COMP-LEADING-CRLF", "9112 2.2", cautious, "\r\n\r\n"+get("GET / HTTP/1.1", "\r\n")),
		row("COMP-WHITESPACE-BEFORE-HEADERS", "9112 2.2", refused, get("GET / HTTP/1.1", "\r\n \r\n")),
		row("RFC9112-3-MULTI-SP-REQUEST-LINE", "9112 3", cautious, get("GET  / HTTP/1.1", "\r\n")),
		row("COMP-REQUEST-LINE-TAB", "9112 3", cautious, get("GET\t/ HTTP/1.1", "\r\n")),
		row("RFC9112-3-MISSING-TARGET", "9112 3", refused, get("GET HTTP/1.1", "\r\n")),
		row("RFC9112-2.3-INVALID-VERSION", "9112 2.3", "400 505 end", get("GET / HTTP/9.9", "\r\n")),
		row("RFC9112-2.3-HTTP09-REQUEST", "9112 2.3", awaited, "GET /\r\n"),
		row("COMP-VERSION-MISSING-MINOR", "9112 2.3", refused, get("GET / HTTP/1", "\r\n")),
		row("COMP-VERSION-LEADING-ZEROS", "9112 2.3", refused, get("GET / HTTP/01.01", "\r\n")),
		row("COMP-VERSION-WHITESPACE", "9112 2.3", refused, get("GET / HTTP/ 1.1", "\r\n")),
		row("COMP-VERSION-CASE", "9112 2.3", refused, get("GET / http/1.1", "\r\n")),
	}
}

func targets(h string) []Case {
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\n" + h + "\r\n" }
	return []Case{
		row("RFC9112-3.2-FRAGMENT-IN-TARGET", "9112 3.2", cautious, get("/path#frag")),
		row("COMP-SPACE-IN-TARGET", "9112 3.2", refused, get("/pa th")),
		row("COMP-ASTERISK-WITH-GET", "9112 3.2.4", refused, get("*")),
		row("COMP-OPTIONS-STAR", "9112 3.2.4", "2xx", "OPTIONS * HTTP/1.1\r\n"+h+"\r\n"),
		row("COMP-LONG-URL-OK", "9112 3", "!414 | end", get("/"+strings.Repeat("a", 7900))),
		row("MAL-NUL-IN-URL", "9112 3.2", refused, get("/\x00test")),
		row("MAL-NON-ASCII-URL", "9112 3.2", refused, get("/caf\xc3\xa9")),
		row("MAL-URL-OVERLONG-UTF8", "3986 3.3", refused, get("/\xc0\xaf")),
		row("MAL-URL-BACKSLASH", "3986 3.3", doubtful, get(`/path\file`)),
		row("MAL-URL-PERCENT-NULL", "3986 2.1", doubtful, get("/path%00.html")),
		row("MAL-URL-PERCENT-CRLF", "3986 2.1", doubtful, get("/path%0d%0aX-Injected:%20true")),
	}
}

func hosts(h, host string) []Case {
	get := func(h string) string { return "GET / HTTP/1.1\r\n" + h + "\r\n" }
	return []Case{
		row("RFC9112-7.1-MISSING-HOST", "9112 3.2", "400", get("")),
		row("RFC9110-5.4-DUPLICATE-HOST", "9112 3.2", "400", get(h+"Host: other.example.com\r\n")),
		row("COMP-DUPLICATE-HOST-SAME", "9112 3.2", "400", get(h+h)),
		row("COMP-HOST-WITH-USERINFO", "9112 3.2", refused, get("Host: user@"+host+"\r\n")),
		row("COMP-HOST-WITH-PATH", "9112 3.2", refused, get("Host: "+host+"/path\r\n")),
		row("COMP-HOST-EMPTY-VALUE", "9112 3.2", refused, get("Host: \r\n")),
		row("SMUG-MULTIPLE-HOST-COMMA", "9110 7.2", refused, get("Host: "+host+", other.example.com\r\n")),
	}
}

func fields(h string) []Case {
	return []Case{
		row("RFC9112-5.1-OBS-FOLD", "9112 5.2", "400", get(h, "X-Test: value\r\n continued\r\n")),
		row("RFC9110-5.6.2-SP-BEFORE-COLON", "9112 5.1", "400", get(h, "X-Test : value\r\n")),
		row("RFC9112-5-EMPTY-HEADER-NAME", "9112 5", refused, get(h, ": empty-name\r\n")),
		row("RFC9112-5-INVALID-HEADER-NAME", "9110 5.1", refused, get(h, "Bad[Name: value\r\n")),
		row("RFC9112-5-HEADER-NO-COLON", "9112 5", refused, get(h, "NoColonHere\r\n")),
		row("MAL-NON-ASCII-HEADER-NAME", "9110 5.1", refused, get(h, "X-T\xc3\xabst: value\r\n")),
		row("MAL-CONTROL-CHARS-HEADER", "9110 5.5", refused, get(h, "X-Test: abc\x07\x08\x0bdef\r\n")),
		row("MAL-NUL-IN-HEADER-VALUE", "9110 5.5", refused, get(h, "X-Test: val\x00ue\r\n")),
		row("SMUG-BARE-CR-HEADER-VALUE", "9112 2.2", refused, post(h, "Content-Length: 5\r\nX-Test: val\rue\r\n", "hello")),
		row("COMP-EXPECT-UNKNOWN", "9110 10.1.1", "417 end | 2xx", get(h, "Expect: 200-ok\r\n")),
		row("COMP-DUPLICATE-CT", "9110 5.3", cautious, post(h, "Content-Length: 5\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\n", "hello")),
	}
}

// bodies are those that have to be read, and read whole.
func bodies(h string) []Case {
	return []Case{
		row("COMP-POST-CL-BODY", "9112 6.2", "2xx=hello", post(h, "Content-Length: 5\r\n", "hello")),
		row("COMP-POST-CL-ZERO", "9112 6.2", "2xx end", post(h, "Content-Length: 0\r\n", "")),
		row("COMP-POST-NO-CL-NO-TE", "9112 6.3", "2xx end", post(h, "", "")),
		row("COMP-POST-CL-UNDERSEND", "9112 6.2", awaited, post(h, "Content-Length: 10\r\n", "hello")),
		row("COMP-CHUNKED-BODY", "9112 7.1", "2xx=hello", chunked(h, "5\r\nhello\r\n0\r\n\r\n")),
		row("COMP-CHUNKED-MULTI", "9112 7.1", "2xx=hello_world", chunked(h, "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")),
		row("COMP-CHUNKED-EMPTY", "9112 7.1", "2xx end", chunked(h, "0\r\n\r\n")),
		row("COMP-CHUNKED-NO-FINAL", "9112 7.1", awaited, chunked(h, "5\r\nhello\r\n")),
		row("COMP-CHUNKED-EXTENSION", "9112 7.1.1", "2xx=hello | 400 end", chunked(h, "5;ext=value\r\nhello\r\n0\r\n\r\n")),
		row("COMP-CHUNKED-TRAILER-VALID", "9112 7.1.2", "2xx=hello", chunked(h, "5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n")),
		row("COMP-CHUNKED-HEX-UPPERCASE", "9112 7.1", "2xx=helloworld", chunked(h, "A\r\nhelloworld\r\n0\r\n\r\n")),
		row("COMP-RANGE-POST", "9110 14.2", "2xx-Content-Range:", post(h, "Content-Length: 5\r\nRange: bytes=0-10\r\n", "hello")),
		row("MAL-POST-CL-HUGE-NO-BODY", "9112 6.2", "400 413 end wait", post(h, "Content-Length: 999999999\r\n", "")),
	}
}

func methods(h string) []Case {
	ask := func(method string) string { return method + " / HTTP/1.1\r\n" + h + "\r\n" }
	return []Case{
		row("COMP-METHOD-CONNECT", "9110 9.3.6", "400 405 501 end", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"),
		row("COMP-METHOD-CASE", "9110 9.1", "400 405 501 end | 2xx", ask("get")),
		row("COMP-UNKNOWN-METHOD", "9110 9.1", "400 405 501 end | 2xx", ask("FOOBAR")),
		row("COMP-405-ALLOW", "9110 15.5.6", "405+Allow: | !405", ask("DELETE")),
		row("COMP-HEAD-NO-BODY", "9110 9.3.2", "2xx=", ask("HEAD")),
		row("COMP-NO-CL-IN-204", "9110 8.6", "204-Content-Length: | !204", ask("OPTIONS")),
		row("COMP-OPTIONS-ALLOW", "9110 9.3.7", "2xx+Allow: | 2xx", ask("OPTIONS")),
	}
}

func upgrades(h string) []Case {
	const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	const socket = "Connection: Upgrade\r\nUpgrade: websocket\r\n" + key + "Sec-WebSocket-Version: "
	return []Case{
		row("COMP-UPGRADE-POST", "6455 4.1", "!101 end", post(h, socket+"13\r\n", "")),
		row("COMP-UPGRADE-MISSING-CONN", "9110 7.8", "!101 end", get(h, "Upgrade: websocket\r\n"+key+"Sec-WebSocket-Version: 13\r\n")),
		row("COMP-UPGRADE-UNKNOWN", "9110 7.8", "!101 end", get(h, "Connection: Upgrade\r\nUpgrade: totally-made-up/1.0\r\n")),
		row("COMP-UPGRADE-INVALID-VER", "6455 4.4", "426 3xx 4xx 5xx end | 2xx", get(h, socket+"99\r\n")),
		row("COMP-UPGRADE-HTTP10", "9110 7.8", "!101 end", "GET / HTTP/1.0\r\n"+h+socket+"13\r\n\r\n"),
	}
}

// answers are about what comes back, and whether the connection stays.
func answers(h string) []Case {
	return []Case{
		row("COMP-CONNECTION-CLOSE", "9112 9.6", "2xx+end", get(h, "Connection: close\r\n")),
		row("COMP-HTTP10-DEFAULT-CLOSE", "9112 9.3", "2xx+end | 2xx", "GET / HTTP/1.0\r\n"+h+"\r\n"),
		row("COMP-DATE-HEADER", "9110 6.6.1", "2xx+Date:", get(h, "")),
		row("COMP-CONTENT-TYPE", "9110 8.3", "2xx+Content-Type: | 2xx", get(h, "")),
		row("COMP-NO-1XX-HTTP10", "9110 15.2", "!1xx end wait", "POST / HTTP/1.0\r\n"+h+"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"),
	}
}

func lengths(h string) (all []Case) {
	all = []Case{
		row("SMUG-DUPLICATE-CL", "9110 8.6", refused, post(h, "Content-Length: 5\r\nContent-Length: 10\r\n", "helloworld")),
		row("RFC9112-6.1-CL-NON-NUMERIC", "9112 6.3", refused, post(h, "Content-Length: abc\r\n", "")),
	}
	for _, c := range []struct{ name, rfc, want, value, body string }{
		{"RFC9112-6.1-CL-PLUS-SIGN", "9110 8.6", refused, " +5", "hello"},
		{"SMUG-CL-COMMA-DIFFERENT", "9110 8.6", refused, " 5, 10", "hello"},
		{"SMUG-CL-OCTAL", "9110 8.6", refused, " 0o5", "hello"},
		{"SMUG-CL-HEX-PREFIX", "9110 8.6", refused, " 0x5", "hello"},
		{"SMUG-CL-INTERNAL-SPACE", "9110 8.6", refused, " 1 0", "hello12345"},
		{"SMUG-CL-UNDERSCORE", "9110 8.6", refused, " 1_0", "helloworld"},
		{"SMUG-CL-NEGATIVE", "9110 8.6", refused, " -1", ""},
		{"SMUG-CL-NEGATIVE-ZERO", "9110 8.6", refused, " -0", ""},
		{"MAL-CL-EMPTY", "9110 8.6", refused, " ", ""},
		{"MAL-CL-OVERFLOW", "9110 8.6", refused, " 99999999999999999999", ""},
		{"SMUG-CL-LEADING-ZEROS", "9110 8.6", cautious, " 005", "hello"},
		{"SMUG-CL-LEADING-ZEROS-OCTAL", "9110 8.6", cautious, " 0200", strings.Repeat("A", 200)},
		{"SMUG-CL-DOUBLE-ZERO", "9110 8.6", cautious, " 00", ""},
		{"SMUG-CL-TRAILING-SPACE", "9110 5.5", cautious, " 5 ", "hello"},
		{"SMUG-CL-EXTRA-LEADING-SP", "9110 5.5", cautious, "  5", "hello"},
		{"MAL-CL-TAB-BEFORE-VALUE", "9110 5.5", cautious, "\t5", "hello"},
	} {
		all = append(all, row(c.name, c.rfc, c.want, post(h, "Content-Length:"+c.value+"\r\n", c.body)))
	}
	return all
}

// codings come with a length of 5, which one of two parsers could go by.
func codings(h string) (all []Case) {
	all = []Case{
		row("COMP-UNKNOWN-TE-501", "9112 6.1", unknown, post(h, "Transfer-Encoding: gzip\r\n", "")),
		row("SMUG-TE-NOT-FINAL-CHUNKED", "9112 6.3", refused, post(h, "Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
		row("SMUG-TE-HTTP10", "9112 6.1", refused, "POST / HTTP/1.0\r\n"+h+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"),
	}
	for _, c := range []struct{ name, rfc, want, field string }{
		{"SMUG-TE-XCHUNKED", "9112 6.1", unknown, ": xchunked"},
		{"SMUG-TE-IDENTITY", "9112 7", unknown, ": identity"},
		{"SMUG-TE-TRAILING-SPACE", "9112 6.1", "400 501 end | 2xx+end", ": chunked "},
		{"SMUG-TE-SP-BEFORE-COLON", "9112 5.1", refused, " : chunked"},
		{"SMUG-TE-EMPTY-VALUE", "9112 6.1", refused, ": "},
		{"SMUG-TE-VTAB", "9112 6.1", refused, ": \x0bchunked"},
		{"SMUG-TE-FORMFEED", "9112 6.1", refused, ": \x0cchunked"},
		{"SMUG-TE-NULL", "9110 5.5", refused, ": chunked\x00"},
		{"SMUG-TE-OBS-FOLD", "9112 5.2", "400 end | 2xx+end", ":\r\n chunked"},
		{"SMUG-TE-DUPLICATE-HEADERS", "9112 6.1", refused, ": chunked\r\nTransfer-Encoding: identity"},
		{"SMUG-TE-DOUBLE-CHUNKED", "9112 6.1", cautious, ": chunked, chunked"},
		{"SMUG-TE-CASE-MISMATCH", "9112 6.1", cautious, ": Chunked"},
		{"SMUG-TE-LEADING-COMMA", "9110 5.6.1", cautious, ": , chunked"},
		{"SMUG-TE-TRAILING-COMMA", "9110 5.6.1", cautious, ": chunked,"},
	} {
		all = append(all, row(c.name, c.rfc, c.want, post(h, "Transfer-Encoding"+c.field+"\r\nContent-Length: 5\r\n", "hello")))
	}
	return all
}

func chunks(h string) (all []Case) {
	for _, c := range []struct{ name, rfc, want, body string }{
		{"SMUG-CHUNK-BARE-SEMICOLON", "9112 7.1.1", refused, "5;\r\nhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-EXT-INVALID-TOKEN", "9112 7.1.1", refused, "5;bad[=x\r\nhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-EXT-CTRL", "9112 7.1.1", refused, "5;\x00ext\r\nhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-EXT-CR", "9112 2.2", refused, "5;a\rX\r\nhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-EXT-LF", "9112 7.1.1", cautious, "5;\nhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-LF-TERM", "9112 7.1", cautious, "5\r\nhello\n0\r\n\r\n"},
		{"SMUG-CHUNK-LF-TRAILER", "9112 7.1", cautious, "5\r\nhello\r\n0\r\n\n"},
		{"SMUG-CHUNK-BARE-CR-TERM", "9112 2.2", refused, "5\rhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-MISSING-TRAILING-CRLF", "9112 7.1", refused, "5\r\nhello0\r\n\r\n"},
		{"SMUG-CHUNK-SPILL", "9112 7.1", refused, "5\r\nhello!!\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-UNDERSCORE", "9112 7.1", refused, "1_0\r\nhello world!!!!!\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-HEX-PREFIX", "9112 7.1", refused, "0x5\r\nhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-SIZE-PLUS", "9112 7.1", refused, "+5\r\nhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-NEGATIVE", "9112 7.1", refused, "-1\r\nhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-LEADING-SP", "9112 7.1", refused, " 5\r\nhello\r\n0\r\n\r\n"},
		{"SMUG-CHUNK-SIZE-TRAILING-OWS", "9112 7.1", refused, "5 \r\nhello\r\n0\r\n\r\n"},
		{"MAL-CHUNK-SIZE-OVERFLOW", "9112 7.1", refused, "FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n"},
		{"MAL-CHUNK-EXT-64K", "9112 7.1.1", "400 431 end | 2xx", "5;ext=" + strings.Repeat("a", 64<<10) + "\r\nhello\r\n0\r\n\r\n"},
	} {
		all = append(all, row(c.name, c.rfc, c.want, chunked(h, c.body)))
	}
	return all
}

// smuggled hide a whole request behind the end that one of two parsers sees. A
// second answer says that it was served.
func smuggled(h string) (all []Case) {
	hidden := func(method string) string { return "0\r\n\r\n" + method + " / HTTP/1.1\r\n" + h + "\r\n" }
	for _, c := range []struct{ name, rfc, method, length, coding string }{
		{"SMUG-CLTE-SMUGGLED-GET", "9112 6.1", "GET", "%d", ": chunked"},
		{"SMUG-CLTE-SMUGGLED-HEAD", "9112 6.1", "HEAD", "%d", ": chunked"},
		{"SMUG-CLTE-SMUGGLED-GET-CL-PLUS", "9112 6.1", "GET", "+%d", ": chunked"},
		{"SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC", "9112 6.1", "GET", "%dx", ": chunked"},
		{"SMUG-CLTE-SMUGGLED-GET-TE-OBS-FOLD", "9112 5.2", "GET", "%d", ":\r\n chunked"},
		{"SMUG-CLTE-SMUGGLED-GET-TE-TRAILING-SPACE", "9112 6.1", "GET", "%d", ": chunked "},
		{"SMUG-CLTE-SMUGGLED-GET-TE-LEADING-COMMA", "9112 6.1", "GET", "%d", ": , chunked"},
		{"SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH", "9112 6.1", "GET", "%d", ": Chunked"},
		{"SMUG-TE-DUPLICATE-HEADERS-SMUGGLED-GET", "9112 6.1", "GET", "%d", ": chunked\r\nTransfer-Encoding: identity"},
	} {
		body := hidden(c.method)
		length := "Content-Length: " + fmt.Sprintf(c.length, len(body)) + "\r\n"
		coding := "Transfer-Encoding" + c.coding + "\r\n"
		if strings.Contains(c.name, "TE-OBS") || strings.Contains(c.name, "DUPLICATE") {
			length, coding = coding, length
		}
		all = append(all, row(c.name, c.rfc, closed, post(h, length+coding, body)))
	}
	inner := get(h, "Content-Length: 7\r\n") // takes the chunk's end for its body
	size := fmt.Sprintf("%x\r\n", len(inner))
	short := "PING" + get(h, "")
	return append(all,
		row("SMUG-TECL-SMUGGLED-GET", "9112 6.1", closed,
			post(h, fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: %d\r\n", len(size)), size+inner+"\r\n0\r\n\r\n")),
		row("SMUG-DUPLICATE-CL-SMUGGLED-GET", "9110 8.6", closed,
			post(h, fmt.Sprintf("Content-Length: 4\r\nContent-Length: %d\r\n", len(short)), short)))
}

// desynced leave a connection of which two parsers think differently. It must not
// be used again.
func desynced(h string) []Case {
	next := get(h, "")
	const body = "D\r\nhello-bananas\r\n0\r\n\r\n"
	return []Case{
		row("SMUG-CL-TE-BOTH", "9112 6.1", cautious, post(h, fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", len(body)), body)),
		row("SMUG-CLTE-PIPELINE", "9112 6.1", closed+" | 2xx", post(h, "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
		row("SMUG-TECL-PIPELINE", "9112 6.1", closed+" | 2xx", post(h, "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n", "0\r\n\r\n")),
		row("SMUG-CLTE-CONN-CLOSE", "9112 6.1", closed, post(h, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), next),
		row("SMUG-TECL-CONN-CLOSE", "9112 6.1", closed, post(h, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), next),
		row("SMUG-CLTE-DESYNC", "9112 6.1", closed, post(h, "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nX"), next),
		row("SMUG-TECL-DESYNC", "9112 6.1", closed, post(h, "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n", "0\r\n\r\nX"), next),
		row("SMUG-CHUNK-INVALID-SIZE-DESYNC", "9112 7.1", closed, chunked(h, "+0\r\n\r\nX"), next),
		row("SMUG-OPTIONS-TE-OBS-FOLD", "9112 5.2", closed, "OPTIONS / HTTP/1.1\r\n"+h+"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nhello", next),
	}
}

func oversized(h string) []Case {
	long := strings.Repeat("A", 100_000)
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, "X-H-%d: value\r\n", i)
	}
	return []Case{
		row("MAL-LONG-URL", "9112 3", "400 414 431 end", "GET /"+long+" HTTP/1.1\r\n"+h+"\r\n"),
		row("MAL-LONG-HEADER-NAME", "9110 5.4", "400 431 end", get(h, long+": val\r\n")),
		row("MAL-LONG-HEADER-VALUE", "9110 5.4", "400 431 end", get(h, "X-Big: "+long+"\r\n")),
		row("MAL-LONG-METHOD", "9112 3", refused, long+" / HTTP/1.1\r\n"+h+"\r\n"),
		row("MAL-MANY-HEADERS", "6585 5", "400 431 end", get(h, many.String())),
	}
}

// malformed are hardly requests.
func malformed(h string) []Case {
	garbage := make([]byte, 256)
	for i := range garbage {
		garbage[i] = byte(i*167 + 89)
	}
	return []Case{
		row("MAL-BINARY-GARBAGE", "9112 2.2", "400 end wait *+end", string(garbage)),
		row("MAL-INCOMPLETE-REQUEST", "9112 2.2", "400 end wait *+end", "GET / HTTP/1.1\r\n"+h+"X-Test: value"),
		row("MAL-EMPTY-REQUEST", "9112 2.2", "400 end wait *+end", ""),
		row("MAL-WHITESPACE-ONLY-LINE", "9112 2.2", awaited, "   \r\n\r\n"),
		row("MAL-H2-PREFACE", "9113 3.4", "400 505 end wait", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	}
}

// normalized have fields that some servers take for others. /echo shows what the
// application got.
func normalized(h string) []Case {
	echo := func(fields, body string) string { return "POST /echo HTTP/1.1\r\n" + h + fields + "\r\n" + body }
	const dropped = "4xx 5xx end 2xx^"
	return []Case{
		row("NORM-UNDERSCORE-CL", "9110 5.1", dropped+"99 | 2xx~content_length:_99", echo("Content-Length: 11\r\nContent_Length: 99\r\n", "hello world")),
		row("NORM-SP-BEFORE-COLON-CL", "9112 5.1", dropped+":_5", echo("Content-Length: 11\r\nContent-Length : 5\r\n", "hello world")),
		row("NORM-TAB-IN-NAME", "9110 5.1", dropped+"99", echo("Content-Length: 11\r\nContent\tLength: 99\r\n", "hello world")),
		row("NORM-UNDERSCORE-TE", "9110 5.1", dropped+"chunked | 2xx~transfer_encoding:", echo("Transfer_Encoding: chunked\r\n", "B\r\nhello world\r\n0\r\n\r\n")),
	}
}
