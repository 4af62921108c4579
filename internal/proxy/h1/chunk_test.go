package h1

import (
	"strings"
	"testing"
)

// decode feeds a body in pieces of the given size.
func decode(body string, piece int) (data, trailer, rest string, _ Fault) {
	var c Chunks
	for at := 0; at < len(body); {
		end := min(at+piece, len(body))
		for at < end && !c.Done() {
			d, n, fault := c.Next([]byte(body[at:end]))
			if fault != OK {
				return data, "", "", fault
			}
			data += string(d)
			at += n
		}
		if c.Done() {
			return data, string(c.Trailer), body[at:], OK
		}
	}
	return data, "", "incomplete", OK
}

func TestAChunkedBodyIsDecodedHoweverItIsSplit(t *testing.T) {
	for _, c := range []struct{ body, data, trailer string }{
		{"0\r\n\r\n", "", ""},
		{"5\r\nhello\r\n0\r\n\r\n", "hello", ""},
		{"00000A\r\nhelloworld\r\na\r\nhelloworld\r\n000\r\n\r\n", "helloworldhelloworld", ""},
		{"1;a\r\nx\r\n1;a=b;c\r\ny\r\n1 ; a = \"b;\\\"\r\"\r\nz\r\n0\r\n\r\n", "", "fault"},
		{"1;a\r\nx\r\n1;a=b;c\r\ny\r\n1 ;\ta = \"b;\\\"\t\" ;d\r\nz\r\n0;e\r\n\r\n", "xyz", ""},
		{"0\r\nX-Sum: 1\r\nContent-Length: 5\r\nhost: a\r\nX-Forwarded-For: b\r\nEmpty:\r\n\r\n", "", "X-Sum: 1\r\nEmpty:\r\n"},
	} {
		for piece := 1; piece <= len(c.body)+4; piece++ {
			data, trailer, rest, fault := decode(c.body+"NEXT", piece)
			if c.trailer == "fault" {
				if fault != BadChunk {
					t.Errorf("%q by %d: %v", c.body, piece, fault)
				}
			} else if data != c.data || trailer != c.trailer || rest != "NEXT" || fault != OK {
				t.Errorf("%q by %d: %q, %q, %q, %v", c.body, piece, data, trailer, rest, fault)
			}
		}
	}
}

// faultyChunks are the bodies that are refused, by what is wrong with them.
func faultyChunks() map[Fault][]string {
	return map[Fault][]string{
		BadChunk: {
			"\r\n", "x\r\n", "+5\r\nhello\r\n", "-1\r\n", "0x5\r\nhello\r\n", "0_5\r\nhello\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\t\r\nhello\r\n",
			"5\nhello\r\n", "5\r\nhello\n0\r\n", "5\r\nhelloXX0\r\n", "5\r\nhello\rX", "5\rhello", "5\r\r\nhello", "1000000000000000\r\n", "fffffffffffffffff\r\n",
			"5;\r\nhello\r\n", "5;;a\r\n", "5;a=\r\n", "5;=b\r\n", "5;a\x00\r\n", "5;a\n", "5;a\rb\r\n", "5;a=\"b\r\n", "5;a=\"b\n\"\r\n", "5;a=\"b\\\n\"\r\n", "5;a b\r\n", "5;a=b c\r\n",
			"5;\xff\r\n", "5,a\r\n", "\r\n0\r\n\r\n", "5.0\r\n", "５\r\n", "5;a=\"b\"c\r\n", "0\r\n\rX", "0\r\nA: b\r\n\rX", "0\r\nA: b\rX",
		},
		LongChunkExtensions: {"5;" + strings.Repeat("a", 5000), strings.Repeat("1;a=bcdefgh\r\nx\r\n", 1000)},
		BadTrailer: {
			"0\r\n: b\r\n\r\n", "0\r\nA : b\r\n\r\n", "0\r\nA\r\n\r\n", "0\r\nA: b\r\n c\r\n\r\n", "0\r\nA: \x00\r\n\r\n", "0\r\n\n", "0\r\nA: b\n\r\n",
			"0\r\n" + strings.Repeat("A: bcdefgh\r\n", 1000),
		},
	}
}

func TestChunksThatTwoParsersCouldReadDifferentlyAreFaults(t *testing.T) {
	for want, bodies := range faultyChunks() {
		for _, body := range bodies {
			for _, piece := range []int{1, 7, 1 << 20} {
				if _, _, _, fault := decode(body, piece); fault != want {
					t.Errorf("%.60q by %d: %v, want %v", body, piece, fault, want)
				}
			}
		}
	}
}
