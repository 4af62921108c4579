package main

import (
	"fmt"
	"strings"
)

// What follows is not counted, as in the probe: the RFCs allow what it would
// rather not see, or the application decides.

func tolerated(h, host string) []Case {
	ask := func(method, fields, body string) string {
		return method + " / HTTP/1.1\r\n" + h + fields + "\r\n" + body
	}
	return []Case{
		row("COMP-ABSOLUTE-FORM", "9112 3.2.2", "2xx | 400 end", "GET http://"+host+"/ HTTP/1.1\r\n"+h+"\r\n"),
		row("SMUG-ABSOLUTE-URI-HOST-MISMATCH", "9112 3.2.2", cautious, "GET http://other.example.com/ HTTP/1.1\r\n"+h+"\r\n"),
		row("COMP-GET-WITH-CL-BODY", "9110 9.3.1", cautious, get(h, "Content-Length: 5\r\n")+"hello"),
		row("COMP-METHOD-TRACE", "9110 9.3.8", "405 501 end | 2xx", ask("TRACE", "", "")),
		row("COMP-TRACE-WITH-BODY", "9110 9.3.8", "400 405 501 end | 2xx", ask("TRACE", "Content-Length: 5\r\n", "hello")),
		row("COMP-TRACE-SENSITIVE", "9110 9.3.8", "405 501 end 2xx^secret-token-123 | 2xx", ask("TRACE", "Authorization: Bearer secret-token-123\r\n", "")),
		row("COMP-HTTP10-NO-HOST", "9112 3.2", cautious, "GET / HTTP/1.0\r\n\r\n"),
		row("COMP-HTTP12-VERSION", "9112 2.3", "end | 2xx 505", "GET / HTTP/1.2\r\n"+h+"\r\n"),
		row("COMP-DATE-FORMAT", "9110 5.6.7", "2xx+Date: | 2xx", get(h, "")),
		row("COMP-RANGE-INVALID", "9110 14.2", "2xx-Content-Range: 416 | *", get(h, "Range: bytes=abc-xyz\r\n")),
		row("COMP-ACCEPT-NONSENSE", "9110 12.5.1", "406 | 2xx end", get(h, "Accept: application/x-nonsense\r\n")),
		row("COMP-POST-UNSUPPORTED-CT", "9110 15.5.16", "415 2xx | *", post(h, "Content-Length: 5\r\nContent-Type: application/x-nonsense\r\n", "hello")),
		row("MAL-RANGE-OVERLAPPING", "9110 14.2", "end | 200 206 400 416 431", get(h, "Range: bytes=0-"+strings.Repeat(",0-", 999)+"\r\n")),
		row("SMUG-TRANSFER_ENCODING", "9110 5.1", cautious, post(h, "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello")),
		row("SMUG-CHUNKED-WITH-PARAMS", "9112 7", cautious, post(h, "Transfer-Encoding: chunked;ext=val\r\nContent-Length: 5\r\n", "hello")),
		row("SMUG-TE-TAB-BEFORE-VALUE", "9110 5.5", cautious, post(h, "Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n", "hello")),
		row("SMUG-CL-COMMA-SAME", "9110 8.6", cautious, post(h, "Content-Length: 5, 5\r\n", "hello")),
		row("SMUG-CL-COMMA-TRIPLE", "9110 8.6", cautious, post(h, "Content-Length: 5, 5, 5\r\n", "hello")),
		row("SMUG-EXPECT-100-CL", "9110 10.1.1", cautious, post(h, "Content-Length: 5\r\nExpect: 100-continue\r\n", "hello")),
		row("SMUG-HEAD-CL-BODY", "9110 9.3.2", cautious, ask("HEAD", "Content-Length: 5\r\n", "hello")),
		row("SMUG-OPTIONS-CL-BODY", "9110 9.3.7", cautious, ask("OPTIONS", "Content-Length: 5\r\n", "hello")),
		row("NORM-CASE-TE", "9110 5.1", "4xx 5xx end 2xx^transfer-encoding: | 2xx", "POST /echo HTTP/1.1\r\n"+h+"TRANSFER-ENCODING: chunked\r\n\r\nB\r\nhello world\r\n0\r\n\r\n"),
	}
}

// trailers must not be taken for fields of the head (RFC 9110, section 6.5.1).
func trailers(h string) (all []Case) {
	for _, c := range []struct{ name, field string }{
		{"SMUG-TRAILER-CL", "Content-Length: 50"},
		{"SMUG-TRAILER-TE", "Transfer-Encoding: chunked"},
		{"SMUG-TRAILER-HOST", "Host: evil.example.com"},
		{"SMUG-TRAILER-AUTH", "Authorization: Bearer evil"},
		{"SMUG-TRAILER-CONTENT-TYPE", "Content-Type: text/evil"},
	} {
		all = append(all, row(c.name, "9110 6.5.1", cautious, chunked(h, "5\r\nhello\r\n0\r\n"+c.field+"\r\n\r\n")))
	}
	return all
}

// unread have a body that some servers leave in the connection, where it becomes
// the beginning of the next request.
func unread(h string) []Case {
	next := get(h, "")
	prefix := "GET / HTTP/1.1\r\n" + h
	after := func(name, rfc, want, then, first, second string) Case {
		return Case{Name: name, RFC: rfc, Want: want, Then: then, Send: []string{first, second}}
	}
	return []Case{
		after("SMUG-GET-CL-PREFIX-DESYNC", "9110 9.3.1", closed, "2xx 400 | *", get(h, fmt.Sprintf("Content-Length: %d\r\n", len(prefix)))+prefix, "\r\n"+next),
		after("SMUG-CL0-BODY-POISON", "9112 6.2", closed, "| * end", post(h, "Content-Length: 0\r\n", "X"), next),
		after("SMUG-GET-CL-BODY-DESYNC", "9110 9.3.1", closed, "2xx | *", get(h, "Content-Length: 5\r\n")+"hello", next),
		after("SMUG-OPTIONS-CL-BODY-DESYNC", "9110 9.3.7", closed, "2xx | *", "OPTIONS / HTTP/1.1\r\n"+h+"Content-Length: 5\r\n\r\nhello", next),
		after("SMUG-EXPECT-100-CL-DESYNC", "9110 10.1.1", "417 "+closed, "2xx | *", post(h, "Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"), next),
		after("SMUG-PIPELINE-SAFE", "9112 9.3", "| 2xx+end", "2xx | *", next, next),
	}
}

// conditional requests are answered by the application. {etag} and {modified} are
// those of the first answer.
func conditional(h string) (all []Case) {
	for _, c := range []struct{ name, rfc, then, fields string }{
		{"CAP-ETAG-304", "9110 13.1.2", "304 | 2xx end", "If-None-Match: {etag}"},
		{"CAP-LAST-MODIFIED-304", "9110 13.1.3", "304 | 2xx end", "If-Modified-Since: {modified}"},
		{"CAP-ETAG-IN-304", "9110 15.4.5", "304+ETag: | *", "If-None-Match: {etag}"},
		{"CAP-INM-PRECEDENCE", "9110 13.1.2", "304 | 2xx end", "If-None-Match: {etag}\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"},
		{"CAP-INM-WILDCARD", "9110 13.1.2", "304 | 2xx end", "If-None-Match: *"},
		{"CAP-IMS-FUTURE", "9110 13.1.3", "2xx | 304 end", "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"},
		{"CAP-IMS-INVALID", "9110 13.1.3", "2xx | 304 end", "If-Modified-Since: not-a-date"},
		{"CAP-INM-UNQUOTED", "9110 8.8.3", "2xx | 304 end", "If-None-Match: {tag}"},
		{"CAP-ETAG-WEAK", "9110 13.1.2", "304 | 2xx end", "If-None-Match: W/{etag}"},
	} {
		first := get(h, "Connection: keep-alive\r\n")
		all = append(all, Case{Name: c.name, RFC: c.rfc, Want: "| 2xx+end", Then: c.then, Send: []string{first, get(h, c.fields+"\r\n")}})
	}
	return all
}

func cookies(h string) (all []Case) {
	var pairs strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&pairs, "k%d=v%d; ", i, i)
	}
	ask := func(path, fields string) string { return "GET " + path + " HTTP/1.1\r\n" + h + fields + "\r\n" }
	for _, c := range []struct{ name, want, path, fields string }{
		{"COOK-ECHO", "2xx~cookie: | end", "/echo", "Cookie: foo=bar"},
		{"COOK-OVERSIZED", "400 431 2xx end", "/echo", "Cookie: big=" + strings.Repeat("A", 64<<10)},
		{"COOK-EMPTY", "400 2xx end", "/echo", "Cookie: "},
		{"COOK-NUL", "400 2xx^\x00 end", "/echo", "Cookie: foo=\x00bar"},
		{"COOK-CONTROL-CHARS", "400 2xx^\x01 end", "/echo", "Cookie: foo=\x01\x02\x03"},
		{"COOK-MANY-PAIRS", "400 431 2xx end", "/echo", "Cookie: " + strings.TrimSuffix(pairs.String(), "; ")},
		{"COOK-MALFORMED", "400 2xx end", "/echo", "Cookie: ===;;;"},
		{"COOK-MULTI-HEADER", "2xx~a=1~b=2 | 2xx 400 end", "/echo", "Cookie: a=1\r\nCookie: b=2"},
		{"COOK-PARSED-BASIC", "2xx~foo=bar | 400 404 end", "/cookie", "Cookie: foo=bar"},
		{"COOK-PARSED-MULTI", "2xx~a=1~b=2~c=3 | 400 404 end", "/cookie", "Cookie: a=1; b=2; c=3"},
		{"COOK-PARSED-EMPTY-VAL", "2xx 400 | 404 end", "/cookie", "Cookie: foo="},
		{"COOK-PARSED-SPECIAL", "2xx 400 | 404 end", "/cookie", "Cookie: a=hello world; b=x=y"},
	} {
		all = append(all, row(c.name, "6265 4.2", c.want, ask(c.path, c.fields+"\r\n")))
	}
	return all
}
