package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"bulsa/internal/proxy/accesslog"
	"bulsa/internal/proxy/h1"
	"bulsa/internal/proxy/limit"
	"bulsa/internal/proxy/reply"
	"bulsa/internal/proxy/retry"
)

// exchange is one request and its answer, over as many attempts as it takes.
type exchange struct {
	client  *client
	asker   asker
	route   *target
	req     *http.Request
	upgrade string // the protocol that the client asks for, or ""
	expects bool   // the client waits for 100 before it sends the body
	keep    bool   // the client's connection may carry another request

	whole    []byte      // the whole body, when it came with the head
	body     *body       // else, when there is one
	promised string      // names of the fields that the client wants to send after the body
	trailer  http.Header // those that came; written before body tells its end
	began    time.Time
	status   int   // of the answer that was begun; 0: none
	bodySent int64 // bytes of its body

	try    retry.Try
	turn   chan struct{} // in the line: it may be worth another look
	worker string        // the last that was asked
	tries  int           // endpoints asked, one twice where a fresh connection was needed

	session session

	reader  sync.WaitGroup // the goroutine that reads the body and then watches the client
	reading bool
	start   chan struct{} // closed when the body may be read: at once, or with the 100
	started sync.Once
	gone    chan struct{} // closed when the client has left, or all is over
	left    sync.Once

	mu       sync.Mutex
	up       io.Closer // the attempt that the client's leaving cuts off
	deserted bool      // the client has left
	over     bool      // the reader is being stopped
}

// behindHead is how long a short body may lag behind its head and still be sent
// with it: most clients write the two one right after the other.
const behindHead = 20 * time.Millisecond

// result is how an attempt ended.
type result int

const (
	finished   result = iota // answered, whole or not, or the client has left
	refused                  // the client's body is at fault
	unanswered               // there is an outcome that says why
)

func newExchange(c *client, from asker, route *target, req *http.Request) *exchange {
	x := &exchange{
		client: c, asker: from, route: route, req: req, began: time.Now(),
		keep:  !req.Close && !c.last(),
		start: make(chan struct{}),
		gone:  make(chan struct{}),
	}
	r := retry.Request{Line: []byte(x.what()), Client: x.clientAddr(), Idempotent: retry.Idempotent(req.Method), Hasty: c.held || c.leaving}
	if r.Hasty {
		c.held = false
	}
	if name := route.Settings.Sticky; name != "" {
		if cookie, err := req.Cookie(name); err == nil {
			r.Sticky = cookie.Value
		}
	}
	var worker string
	if x.session, worker = route.sessionOf([]byte(req.RequestURI), x.began); worker != "" {
		r.Sticky = worker
	}
	if hasToken(req.Header["Connection"], "upgrade") && req.ProtoMajor == 1 && req.ProtoMinor == 1 {
		if p := req.Header.Get("Upgrade"); !strings.EqualFold(p, "h2c") {
			x.upgrade = p
		}
	}
	r.Upgrade = x.upgrade != ""
	x.try.Begin(x.began, route.tries, r)
	return x
}

// run answers the request; true when the client's connection may carry another.
func (x *exchange) run() bool {
	x.route.began()
	defer x.route.ended()
	bad := x.takeBody()
	if bad == nil {
		bad = x.forward()
	}
	if bad != nil {
		x.refuse(bad)
	}
	x.stopReader()
	a := x.account()
	x.try.End()
	if x.status == http.StatusSwitchingProtocols { // counted at its head
		x.route.logged(a)
	} else {
		x.route.answered(a)
	}
	return x.keep
}

// account is the request in figures, once it is over.
func (x *exchange) account() *accesslog.Account {
	a := &accesslog.Account{
		Client: x.try.Request.Client, Status: x.status, Sent: x.bodySent,
		Began: x.began, Took: time.Since(x.began), Worker: x.worker, Attempts: x.tries, Session: x.session.named,
	}
	a.Describe(x.req)
	return a
}

// takeBody looks at what the request carries. A body that has come with the head
// needs no goroutine and can be sent again.
func (x *exchange) takeBody() *reply.Local {
	req, limit := x.req, x.route.Settings.MaxBody
	if expect := req.Header.Get("Expect"); expect != "" && req.ProtoAtLeast(1, 1) {
		if !strings.EqualFold(expect, "100-continue") {
			x.keep = x.keep && req.ContentLength == 0
			return &reply.Local{Status: http.StatusExpectationFailed, Reason: "an unknown expectation"}
		}
		x.expects = req.ContentLength != 0
	}
	switch {
	case limit > 0 && req.ContentLength > limit:
		x.keep = false
		return x.bodyRefusal(errBodyTooLarge)
	case req.ContentLength == 0:
		return nil
	}
	if x.whole = x.asker.shortBody(req, x.expects); x.whole != nil {
		x.expects = false // it did not wait
		return nil
	}
	x.body, x.promised = newBody(), trailerNames(req.Trailer)
	if !x.expects {
		x.startBody()
	}
	x.startReader()
	return nil
}

func (x *exchange) chunked() bool { return x.req.ContentLength < 0 }

// startBody lets the client's body be read.
func (x *exchange) startBody() { x.started.Do(func() { close(x.start) }) }

// startReader starts the one goroutine that reads from the client while the
// request is on its way: its body, then the end of the stream.
func (x *exchange) startReader() {
	if x.reading || x.req == nil || !x.asker.hears() && x.body == nil {
		return
	}
	x.reading = true
	x.reader.Go(func() {
		if x.body != nil && !x.readBody() || !x.asker.hears() {
			return
		}
		if x.armRead(time.Time{}) && x.asker.awaitEnd(x.gone) {
			x.clientLeft()
		}
	})
}

// readBody is false when there is nothing to watch any more.
func (x *exchange) readBody() bool {
	select {
	case <-x.start:
	case <-x.gone:
		return false
	}
	set := &x.route.Settings
	patience, rate := set.IdleTimeout, set.MinRate
	if set.H2C && x.chunked() { // gRPC: a stream of messages, which may be silent for long
		patience, rate = 0, 0
	}
	if rate > 0 && (patience <= 0 || patience > limit.Window) {
		patience = limit.Window
	}
	src := &limit.Reader{Reader: x.asker.bodyOf(x.req, &x.trailer), Least: rate}
	err := x.body.fill(src, set.MaxBody, func() { x.armRead(deadline(patience)) })
	if err != nil && x.asker.leftBy(err) {
		x.clientLeft()
	}
	return err == nil
}

// armRead sets the client's read deadline unless stopReader was called.
func (x *exchange) armRead(until time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.asker.setReadDeadline(until)
	return true
}

// stopReader takes the client's connection back for the next request.
func (x *exchange) stopReader() {
	if !x.reading {
		return
	}
	x.reading = false
	if x.body != nil {
		if done, err := x.body.state(); !done || err != nil {
			x.keep = false
		}
		x.body.close()
	}
	x.mu.Lock()
	x.over = true
	x.asker.setReadDeadline(past())
	x.mu.Unlock()
	x.left.Do(func() { close(x.gone) })
	x.reader.Wait()
	x.asker.setReadDeadline(time.Time{})
}

// clientLeft cuts off the attempt at hand: nobody waits for its answer.
func (x *exchange) clientLeft() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return
	}
	x.deserted = true
	x.left.Do(func() { close(x.gone) })
	if x.up != nil {
		_ = x.up.Close()
	}
}

func (x *exchange) isDeserted() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.deserted
}

// use makes up what the client's leaving closes; nil: nothing.
func (x *exchange) use(up io.Closer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.up = up
	if up != nil && x.deserted {
		_ = up.Close()
	}
}

// forward tries endpoints until one has answered; else it says why none has.
func (x *exchange) forward() *reply.Local {
	d := retry.Decision{Kind: retry.Look}
	for {
		if d.Kind == retry.Look {
			d = x.look()
		}
		switch {
		case x.isDeserted():
			if x.try.Endpoint() != nil {
				x.try.Release(time.Now(), true, 0)
			}
			x.desert()
			return nil
		case d.Kind == retry.Refuse:
			return refusalOf(d.Refusal)
		}
		x.worker = d.Endpoint.Config().Worker
		var r result
		switch r, d = x.attempt(d); r {
		case finished:
			return nil
		case refused:
			_, err := x.body.state()
			return x.bodyRefusal(err)
		}
	}
}

func refusalOf(r retry.Refusal) *reply.Local {
	return &reply.Local{Status: r.Status, Reason: r.Reason, RetryAfter: r.RetryAfter}
}

// look waits until an endpoint is to be asked, or the request to be refused.
func (x *exchange) look() retry.Decision {
	for {
		switch d := x.try.Next(time.Now()); d.Kind {
		case retry.StandIn:
			x.standIn()
		case retry.Wait:
			x.startReader()
			if !x.rest(d.Changed, time.Until(d.Until)) {
				return retry.Decision{Kind: retry.Refuse, Refusal: x.try.GiveUp()}
			}
		default:
			return d
		}
	}
}

func (x *exchange) standIn() {
	turn := make(chan struct{}, 1)
	x.turn = turn
	x.try.Join(time.Now(), func() {
		select {
		case turn <- struct{}{}:
		default:
		}
	})
}

// desert ends an exchange whose client has left before the answer.
func (x *exchange) desert() {
	x.keep = false
	if x.status == 0 {
		x.status = statusClientGone
	}
}

// rest is false when the client has left meanwhile, or was cut off.
func (x *exchange) rest(changed <-chan struct{}, pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-changed:
	case <-x.turn:
	case <-t.C:
	case <-x.gone:
		return false
	case <-x.client.server.cutOff:
		return false
	}
	return true
}

// what is the request, for messages; "" for a connection that is passed on.
func (x *exchange) what() string {
	if x.req == nil {
		return ""
	}
	return fmt.Sprintf("%s %.200s", x.req.Method, requestTarget(x.req))
}

func (x *exchange) bodyRefusal(err error) *reply.Local {
	switch {
	case errors.Is(err, errBodyTooLarge):
		return &reply.Local{Status: http.StatusRequestEntityTooLarge, Reason: fmt.Sprintf("the body is larger than %d bytes", x.route.Settings.MaxBody)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &reply.Local{Status: http.StatusRequestTimeout, Reason: "the body of the request stopped arriving"}
	case errors.Is(err, limit.ErrTooSlow):
		return &reply.Local{Status: http.StatusRequestTimeout, Reason: fmt.Sprintf("the body arrives more slowly than %d bytes per second", x.route.Settings.MinRate)}
	}
	var fault h1.Fault
	if errors.As(err, &fault) {
		return faulty(fault, 0)
	}
	return reply.BadRequest("a malformed body")
}

// refuse answers in the worker's place.
func (x *exchange) refuse(r *reply.Local) {
	x.status = r.Status
	x.stopReader()
	if r.Status >= http.StatusInternalServerError {
		x.client.server.log.Warn("request not answered", "service", x.route.Service, "status", r.Status, "error", r.Reason)
	}
	x.asker.decline(x, r)
}
