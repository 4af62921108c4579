package inspector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// answerBytes bounds what the inspector may say about itself.
	answerBytes = 1 << 16
	// listPatience is how long it may take: another server of the program's, which
	// opened at the same moment, may never answer.
	listPatience = 500 * time.Millisecond
)

// conn speaks the inspector's protocol (JSON over a WebSocket; the Chrome
// DevTools Protocol and Node's domains). It has no goroutine: messages are read
// while somebody waits for one.
type conn struct {
	ws   *websocket.Conn
	last int                                // number of the last call
	on   func(method string, params []byte) // hears events; nil: nobody does
}

// message is any message of the protocol that the inspector sends.
type message struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// dial finds out the path of the session and opens it. Nothing is asked of the
// program: the inspector answers from a thread of its own.
func dial(ctx context.Context, at netip.AddrPort) (*conn, error) {
	url, err := sessionURL(ctx, at)
	if err != nil {
		return nil, err
	}
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	ws, _, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the inspector at %s: %w", at, err)
	}
	return &conn{ws: ws}, nil
}

// sessionURL asks the inspector for the address of its one session
// (https://nodejs.org/api/inspector.html; /json/list).
func sessionURL(ctx context.Context, at netip.AddrPort) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.String()+"/json/list", nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: listPatience}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("cannot ask the inspector at %s: %w", at, err)
	}
	defer res.Body.Close()
	var sessions []struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, answerBytes)).Decode(&sessions); err != nil || len(sessions) == 0 {
		return "", fmt.Errorf("what listens at %s is no inspector", at)
	}
	return "ws://" + at.String() + "/" + sessions[0].ID, nil
}

// call sends a command and waits for its result, which it decodes into result
// unless that is nil. After an error the connection is of no use any more.
func (c *conn) call(ctx context.Context, method string, params, result any) error {
	c.last++
	id := c.last
	defer c.until(ctx)()
	err := c.ws.WriteJSON(map[string]any{"id": id, "method": method, "params": params})
	for err == nil {
		var m message
		if m, err = c.read(); err != nil || m.ID != id {
			continue
		}
		if m.Error != nil {
			return fmt.Errorf("the inspector refuses %s: %s", method, m.Error.Message)
		}
		if result == nil {
			return nil
		}
		if err = json.Unmarshal(m.Result, result); err == nil {
			return nil
		}
	}
	return lost(ctx, method, err)
}

// until ends reads and writes when ctx does.
func (c *conn) until(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, func() { c.ws.Close() })
	return func() { stop() }
}

// read returns the next message, events through on as well.
func (c *conn) read() (message, error) {
	_, raw, err := c.ws.ReadMessage()
	if err != nil {
		return message{}, err
	}
	var m message
	if err := json.Unmarshal(raw, &m); err != nil {
		return message{}, err
	}
	if m.Method != "" && c.on != nil {
		c.on(m.Method, m.Params)
	}
	return m, nil
}

func lost(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
	}
	if _, ok := errors.AsType[*websocket.CloseError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the program ended, or closed its inspector, while it was looked at")
	}
	return fmt.Errorf("lost the inspector at %s: %w", what, err)
}

func (c *conn) close() { c.ws.Close() }
