package proxy

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"slices"
	"testing"
)

// WebSockets over HTTP/2 and HTTP/3 (RFC 8441, RFC 9220) begin with a CONNECT that
// names a protocol, which a client may send when the server's settings allow it.
// Those of net/http's server do not, so that browsers open a connection of HTTP/1.1
// instead; quic-go's always do.

func TestAnHTTP2ClientMayNotOpenWebSocketsAndIsToldSo(t *testing.T) {
	t.Parallel()
	const settingsFrame, enableConnectProtocol, protocolError = 0x4, 0x8, 0x1
	h := open(t, settings(), app(t, "app.1", func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the worker got %s %s", r.Method, r.RequestURI)
	}))
	c := h.dial()
	connect := literally([]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/", ":authority", "a", "sec-websocket-version", "13"})
	_, _ = c.Write(slices.Concat([]byte(clientPreface), rawFrame(settingsFrame, 0, 0, nil), rawFrame(frameHeaders, 0x4, 1, connect)))
	for {
		f, payload, err := readFrame(c)
		switch {
		case err != nil || f.kind == frameHeaders || f.kind == frameGoAway:
			t.Fatalf("%+v %q %v", f, payload, err)
		case f.kind == settingsFrame:
			for setting := range slices.Chunk(payload, 6) {
				if binary.BigEndian.Uint16(setting) == enableConnectProtocol {
					t.Fatalf("SETTINGS_ENABLE_CONNECT_PROTOCOL is %d", setting[5])
				}
			}
		case f.kind == frameReset:
			if !bytes.Equal(payload, []byte{0, 0, 0, protocolError}) {
				t.Fatalf("reset with %x", payload)
			}
			return
		}
	}
}

func TestAnHTTP3ClientThatOpensAWebSocketIsRefused(t *testing.T) {
	t.Parallel()
	h := open(t, settings(), app(t, "app.1", func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the worker got %s %s", r.Method, r.RequestURI)
	}))
	c := h.http3Client(settings())
	str, err := c.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest("CONNECT", "https://127.0.0.1/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Proto = "websocket"
	if err := str.SendRequestHeader(req); err != nil {
		t.Fatal(err)
	}
	resp, err := str.ReadResponse()
	if err != nil || resp.StatusCode != http.StatusNotImplemented {
		t.Fatalf("%v %v", resp, err)
	}
	str.CancelRead(0)
	str.CancelWrite(0)
}
