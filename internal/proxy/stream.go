package proxy

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"bulsa/internal/proxy/accesslog"
	"bulsa/internal/proxy/h1"
	"bulsa/internal/proxy/reply"
)

// stream is one request of an HTTP/2 or HTTP/3 connection as net/http's servers
// give it. It is the asker of its exchange.
type stream struct {
	client  *client
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	armed   time.Time // the read deadline that is set
	broken  bool      // the stream is to be reset
}

// maxStreams is how many requests one HTTP/2 connection may have in flight.
const maxStreams = 128

// serveStream is the http.Handler of a client's connection.
func (c *client) serveStream(w http.ResponseWriter, r *http.Request) {
	if r.Context().Err() != nil || !c.enterStream() {
		panic(http.ErrAbortHandler) // it was reset, or its connection has ended, before its turn came
	}
	defer c.streams.Done()
	s := &stream{client: c, w: w, r: r, control: http.NewResponseController(w)}
	s.serve()
	if s.broken {
		panic(http.ErrAbortHandler) // net/http's way to say: reset
	}
}

func (s *stream) serve() {
	c := s.client
	e := c.server.entrance(c.id)
	if e == nil { // the listener is closed: its requests go elsewhere
		c.goAway()
		s.broken = true
		return
	}
	if bad := checkStream(s.r); bad != nil {
		s.refuse(e.owner, bad)
		return
	}
	if r := e.ownAnswer(s.r); r != nil {
		s.refuse(e.owner, r)
		return
	}
	host, path := []byte(s.r.Host), requestPath(s.r)
	route := e.target(host, path)
	if route == nil {
		s.refuse(e.owner, e.noRoute(host, path, c.scheme == "https"))
		return
	}
	newExchange(c, s, route, s.r).run()
}

// checkStream refuses what HTTP/2 can carry and HTTP/1.1 cannot, so that nothing
// becomes another request on its way to the worker.
func checkStream(r *http.Request) *reply.Local {
	if r.Method == http.MethodConnect {
		return &reply.Local{Status: http.StatusNotImplemented, Reason: "CONNECT is not supported"}
	}
	if hosts := r.Header["Host"]; r.Host == "" || len(hosts) > 1 || len(hosts) == 1 && hosts[0] != r.Host {
		return reply.BadRequest("not exactly one host") // RFC 9113, section 8.3.1
	}
	if lengths := r.Header["Content-Length"]; len(lengths) > 1 || len(lengths) == 1 && lengths[0] != strconv.FormatInt(r.ContentLength, 10) {
		return faulty(h1.BadLength, 0) // section 8.1.1
	}
	if len(r.Header) > h1.MaxRequestFields {
		return faulty(h1.ManyFields, 0)
	}
	limit := len(r.Method) + len(r.RequestURI) + len(r.Host) + 64 // net/http has seen to the size
	head := fmt.Appendf(make([]byte, 0, limit), "%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", r.Method, r.RequestURI, r.Host)
	var parsed h1.Request
	n, fault := parsed.Parse(head, 2*limit)
	switch {
	case fault != h1.OK:
		return faulty(fault, limit)
	case n != len(head) || string(parsed.Target) != r.RequestURI || string(parsed.Host) != r.Host:
		return reply.BadRequest("a :path or :authority that HTTP/1.1 cannot say")
	}
	return nil
}

// refuse answers what no service takes.
func (s *stream) refuse(route *target, r *reply.Local) {
	a := accesslog.Account{Client: s.client.peer.Addr(), Status: r.Status, Began: time.Now()}
	a.Describe(s.r)
	route.answered(&a)
	s.give(route, r)
}

func (s *stream) give(route *target, r *reply.Local) {
	h := s.w.Header()
	text := r.Describe(h, route.Service, s.client.server.version)
	s.client.ownFields(route, nil, h.Set)
	s.closing()
	h.Set("Content-Length", strconv.Itoa(len(text)))
	s.giveHead(r.Status)
	if s.r.Method != http.MethodHead {
		_, _ = io.WriteString(s.w, text)
	}
}

// giveHead tells the guard which answers of 400 are not net/http's own.
func (s *stream) giveHead(status int) {
	if status == http.StatusBadRequest && s.client.guard != nil {
		s.client.guard.Expect400()
	}
	s.w.WriteHeader(status)
}

// closing asks the client to send no more requests on this connection, by GOAWAY,
// when the server is shutting down.
func (s *stream) closing() {
	if s.client.server.closing.Load() {
		s.w.Header().Set("Connection", "close") // net/http makes GOAWAY of it
	}
}

func (s *stream) decline(x *exchange, r *reply.Local) { s.give(x.route, r) }

// shortBody is nil: what has come of a stream cannot be seen.
func (s *stream) shortBody(*http.Request, bool) []byte { return nil }

func (s *stream) bodyOf(req *http.Request, trailer *http.Header) io.Reader {
	return &streamBody{req, trailer}
}

// streamBody is a request's body whose trailer is told at its end.
type streamBody struct {
	req     *http.Request
	trailer *http.Header
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.req.Body.Read(p)
	if err == io.EOF {
		*b.trailer = b.req.Trailer
	}
	return n, err
}

func (s *stream) leftBy(error) bool { return s.r.Context().Err() != nil }

func (s *stream) hears() bool { return true }

func (s *stream) awaitEnd(stop <-chan struct{}) bool {
	select {
	case <-s.r.Context().Done():
		return true
	case <-stop:
		return false
	}
}

// setReadDeadline bothers the server only when the deadline has moved enough to
// matter: each change is a message to its loop.
func (s *stream) setReadDeadline(t time.Time) {
	const matters = time.Second
	if d := t.Sub(s.armed); !t.IsZero() && d >= 0 && d < matters || t.Equal(s.armed) {
		return
	}
	s.armed = t
	_ = s.control.SetReadDeadline(t)
}

func (s *stream) interim(status int, _ string, h http.Header) error {
	if status == http.StatusContinue {
		return nil // the server gives it when the body is read
	}
	own := s.w.Header()
	forClient(h, func(name string, values []string) { own[name] = values })
	s.w.WriteHeader(status)
	clear(own)
	return s.r.Context().Err()
}

func (s *stream) begin(a *attempt, resp *http.Response) answerer {
	h := s.w.Header()
	forClient(resp.Header, func(name string, values []string) { h[name] = values })
	if _, told := h["Content-Type"]; !told {
		h["Content-Type"] = nil // the server must not guess one
	}
	if resp.ContentLength >= 0 && !a.bodyless(resp) {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	} else if v := resp.Header["Content-Length"]; len(v) > 0 && a.bodyless(resp) && resp.StatusCode != http.StatusNoContent {
		h["Content-Length"] = v[:1]
	}
	if cookie := a.stickyCookie(); cookie != "" {
		h.Add("Set-Cookie", cookie)
	}
	s.client.ownFields(a.route, h, h.Set)
	s.closing()
	s.giveHead(resp.StatusCode)
	return &answer2{stream: s, ends: a.bodyless(resp) || resp.ContentLength == 0, stall: cmp.Or(a.route.Settings.WriteTimeout, a.route.Settings.IdleTimeout)}
}

// answer2 writes an answer to a stream.
type answer2 struct {
	*stream
	ends    bool          // with its head, which gRPC tells from one with an empty body
	stall   time.Duration // how long a write may take
	stalled *time.Timer   // resets the stream when the client does not read
}

func (w *answer2) hasBody() bool { return !w.ends }

// watched does what may wait for the client, but not for longer than stall.
func (w *answer2) watched(do func() error) error {
	if w.stall > 0 {
		if w.stalled == nil {
			w.stalled = time.AfterFunc(w.stall, func() { _ = w.control.SetWriteDeadline(past()) })
		} else {
			w.stalled.Reset(w.stall)
		}
		defer w.stalled.Stop()
	}
	return do()
}

func (w *answer2) Write(p []byte) (n int, err error) {
	err = w.watched(func() error {
		n, err = w.w.Write(p)
		return err
	})
	return n, err
}

// Flush leaves a head that is all to the end of the handler, which sends it as the
// stream's last frame.
func (w *answer2) Flush() error {
	if w.ends {
		return nil
	}
	return w.watched(w.control.Flush)
}

func (w *answer2) end(trailer http.Header) error {
	h := w.w.Header()
	for name, values := range trailer {
		if allowedTrailer(name) {
			h[http.TrailerPrefix+name] = values
		}
	}
	return nil
}

func (w *answer2) breakOff() { w.broken = true }
