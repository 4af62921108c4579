package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"bulsa/internal/proxy/flood"
)

// http3Client is a connection of HTTP/3 to the house.
func (h *house) http3Client(s Settings) *http3.ClientConn {
	h.t.Helper()
	trusted := h.secure(s)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	served := make(chan error, 1)
	go func() { served <- h.server.ServeHTTP3(ctx, "app:80", pc) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			h.t.Error(err)
		}
	})
	conn, err := quic.DialAddr(h.t.Context(), pc.LocalAddr().String(), &tls.Config{RootCAs: trusted, NextProtos: []string{http3.NextProtoH3}}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	return new(http3.Transport).NewClientConn(conn)
}

// askHTTP3 sends a request and leaves it open.
func askHTTP3(t *testing.T, c *http3.ClientConn, path string) (*http3.RequestStream, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	str, err := c.OpenRequestStream(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest("GET", "https://127.0.0.1"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return str, errors.Join(str.SendRequestHeader(req), str.Close())
}

func giveUp(str *http3.RequestStream) {
	str.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
	str.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
}

// waiting is a worker that answers at /now, and elsewhere when the client has left.
func waiting(began chan<- struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/now" {
			began <- struct{}{}
			<-r.Context().Done()
		}
	}
}

func TestAnHTTP3ClientThatGivesUpAllItAsksForIsCutOff(t *testing.T) {
	if goroutines {
		return // has been seen: its clients are on goroutines anyway
	}
	t.Parallel()
	began := make(chan struct{}, 2*maxStreams)
	h := open(t, settings(), app(t, "app.1", waiting(began)))
	c := h.http3Client(settings())
	for n := range 5000 {
		str, err := askHTTP3(t, c, "/")
		if err == nil {
			select {
			case <-began:
				giveUp(str)
				continue
			case <-c.Context().Done():
				err = context.Cause(c.Context())
			}
		}
		var closed *quic.ApplicationError
		if !errors.As(err, &closed) || closed.ErrorCode != excessiveLoad || n < flood.Free || n > 1000 {
			t.Fatalf("after %d requests: %v", n, err)
		}
		eventually(t, "the log says why", func() bool { return strings.Contains(h.log.String(), errGivenUp.Error()) })
		return
	}
	t.Fatal("never cut off")
}

func TestAnHTTP3ClientMayGiveUpAsMuchAsItWaitsFor(t *testing.T) {
	if goroutines {
		return // has been seen: its clients are on goroutines anyway
	}
	t.Parallel()
	began := make(chan struct{}, 1)
	h := open(t, settings(), app(t, "app.1", waiting(began)))
	c := h.http3Client(settings())
	for n := range 2 * flood.Free {
		for _, path := range []string{"/now", "/"} {
			str, err := askHTTP3(t, c, path)
			if err != nil {
				t.Fatalf("request %d: %v", n, err)
			}
			if path == "/" {
				<-began
				giveUp(str)
				continue
			}
			if resp, err := str.ReadResponse(); err != nil || resp.StatusCode != 200 {
				t.Fatalf("request %d: %v %v", n, resp, err)
			}
		}
	}
}
