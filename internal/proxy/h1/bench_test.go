package h1

import "testing"

const (
	shortRequest = "GET /13 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"

	browserRequest = "GET /13 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: keep-alive\r\n" +
		"sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n" +
		"Referer: http://127.0.0.1/some/page.html\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n" +
		"Cookie: session=abcdef0123456789abcdef0123456789; theme=dark; _ga=GA1.1.123456789.1700000000\r\n\r\n"

	nodeAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n" +
		"Date: Thu, 20 Nov 2025 10:00:00 GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nX-A: b\r\n\r\n"

	chunkedBody = "5\r\nhello\r\n6;a=b\r\n world\r\n1000\r\n"
)

func localOrigin() *Origin {
	return &Origin{Addr: []byte("127.0.0.1"), Node: []byte("127.0.0.1:54321"), Proto: "http", Port: []byte("8080")}
}

func BenchmarkShortRequest(b *testing.B)   { benchmarkRequest(b, shortRequest) }
func BenchmarkBrowserRequest(b *testing.B) { benchmarkRequest(b, browserRequest) }

func benchmarkRequest(b *testing.B, head string) {
	var r Request
	in, out, forward := []byte(head), make([]byte, 0, 4096), &Forward{Origin: localOrigin()}
	b.ReportAllocs()
	for b.Loop() {
		if n, fault := r.Parse(in, DefaultHead); n == 0 {
			b.Fatal(fault)
		}
		out = r.AppendTo(out[:0], forward)
	}
}

func BenchmarkAnswer(b *testing.B) {
	var r Request
	_, _ = r.Parse([]byte(shortRequest), DefaultHead)
	var a Answer
	in, out := []byte(nodeAnswer), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if n, fault := a.Parse(in, &r, DefaultHead); n == 0 {
			b.Fatal(fault)
		}
		out = a.AppendTo(out[:0], &Reply{Body: a.BodyFor(&r)})
	}
}

func BenchmarkChunks(b *testing.B) {
	in := append([]byte(chunkedBody), make([]byte, 0x1000)...)
	in = append(in, "\r\n0\r\n\r\n"...)
	var c Chunks
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		c.Reset()
		for rest := in; !c.Done(); {
			_, n, fault := c.Next(rest)
			if fault != OK {
				b.Fatal(fault)
			}
			rest = rest[n:]
		}
	}
}
