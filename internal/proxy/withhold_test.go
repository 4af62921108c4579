package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"bulsa/internal/balance"
)

const longUpload = 4 << 20 // far more than is remembered

// upload sends a long body, by length or in chunks, and listens at the same time.
func upload(t *testing.T, h *house, method, framing string) (status int, answer string) {
	t.Helper()
	c := h.dial()
	go func() { // what is answered early is not read whole
		body, head := strings.Repeat("x", longUpload), fmt.Sprintf("Content-Length: %d\r\n\r\n", longUpload)
		if framing == "chunks" {
			body, head = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", longUpload, body), "Transfer-Encoding: chunked\r\n\r\n"
		}
		_, _ = io.WriteString(c, method+" / HTTP/1.1\r\nHost: a\r\n"+head+body)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, all(t, resp)
}

// takeUpload is a worker that begins a request, reads it and answers.
func takeUpload(c net.Conn, br *bufio.Reader) {
	_, _ = io.WriteString(c, balance.Begun)
	if body, err := readWhole(br); err == nil && len(body) == longUpload {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
	}
}

func TestALongBodyIsKeptUntilTheWorkerHasBegun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, framing string
		begins          bool
		want            int
	}{
		{"POST", "length", false, 200}, {"POST", "chunks", false, 200}, {"POST", "length", true, 502}, {"POST", "chunks", true, 502},
		{"PUT", "length", false, 200}, {"DELETE", "chunks", false, 200}, {"PUT", "length", true, 502}, {"PUT", "chunks", true, 502},
	} {
		t.Run(fmt.Sprintf("%s, %s, begun: %t", c.method, c.framing, c.begins), func(t *testing.T) {
			worker := wire(t, "app.1", func(n int, conn net.Conn, br *bufio.Reader) {
				if n > 1 {
					takeUpload(conn, br)
					return
				}
				if c.begins {
					_, _ = io.WriteString(conn, balance.Begun)
					_, _ = io.CopyN(io.Discard, br, longUpload/2)
					return
				}
				_, _ = io.CopyN(io.Discard, br, replayLimit)
				_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				if n, _ := io.Copy(io.Discard, br); n > readAtMost {
					t.Errorf("%d bytes more came before the word", n)
				}
			})
			h := open(t, settings(), endpoint("app.1", telling{worker.Config().Connector.(dialer)}))
			if status, answer := upload(t, h, c.method, c.framing); status != c.want || status == 502 && !strings.Contains(answer, "began the request") {
				t.Errorf("%d %s", status, answer)
			}
		})
	}
}

// readAtMost is what may be read of a client in one go.
const readAtMost = 128 << 10

func TestAWorkerThatNeverBeginsALongBodyIs504(t *testing.T) {
	t.Parallel()
	s := settings()
	s.AnswerTimeout = 200 * time.Millisecond
	worker := wire(t, "app.1", func(_ int, _ net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) })
	h := open(t, s, endpoint("app.1", telling{worker.Config().Connector.(dialer)}))
	if status, answer := upload(t, h, "POST", "chunks"); status != http.StatusGatewayTimeout {
		t.Errorf("%d %s", status, answer)
	}
}

func TestALongBodyGoesToAWorkerThatAnswersWithoutAWord(t *testing.T) {
	t.Parallel()
	worker := wire(t, "app.1", func(_ int, conn net.Conn, br *bufio.Reader) {
		_, _ = io.CopyN(io.Discard, br, 1000)
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!")
		_, _ = io.Copy(io.Discard, br)
	})
	h := open(t, settings(), endpoint("app.1", telling{worker.Config().Connector.(dialer)}))
	if status, answer := upload(t, h, "PUT", "length"); status != 413 || answer != "no!" {
		t.Errorf("%d %s", status, answer)
	}
}
