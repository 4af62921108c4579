package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/h1"
	"bulsa/internal/proxy/retry"
)

const (
	// fastAnswer is how long a worker may take before the client is watched: the
	// goroutine would cost more than most answers.
	fastAnswer = 20 * time.Millisecond
	// continueAfter is when a client that waits for 100 gets it from the proxy,
	// because the worker does not give it (RFC 9110, section 10.1.1).
	continueAfter = time.Second
	maxInterim    = 16 // 1xx answers before the final one
)

var (
	errMalformed = errors.New("a malformed answer")
	errTooLate   = errors.New("no answer in time")
)

// attempt is one try with one endpoint over one connection.
type attempt struct {
	*exchange
	ep    *balance.Endpoint
	idle  *idleConns
	up    *upstreamConn
	began time.Time
	took  time.Duration // to the head of the answer

	answerSpelled spelling

	inOnePiece bool          // the whole request was one write
	bodyOut    int64         // bytes of the body that have left; valid after sender
	begun      bool          // the worker gave an interim answer, be it balance.Begun
	outcome    retry.Outcome // why there is no answer

	sender sync.WaitGroup
	sent   chan struct{} // closed when the request has gone out, or cannot
	whole  bool          // all of it has; valid after sent
	sentAt time.Time     // valid after sent
}

// attempt sends the request to the endpoint that was decided on and passes the answer
// on. Without an answer it returns what to do then.
func (x *exchange) attempt(d retry.Decision) (result, retry.Decision) {
	a := &attempt{exchange: x, ep: d.Endpoint, began: time.Now()}
	a.idle = x.client.server.pools.of(a.ep, x.route.counters)
	r, ok := a.over(d.Kind == retry.AskAgain)
	if r != unanswered {
		x.try.Release(time.Now(), ok, a.took)
		if !ok {
			a.idle.worker.Errors.Add(1)
		}
		return r, retry.Decision{}
	}
	a.outcome.Lost = a.body != nil && !a.body.rewind()
	next := x.try.Failed(time.Now(), a.outcome)
	if next.Kind != retry.AskAgain {
		a.idle.worker.Errors.Add(1)
	}
	return unanswered, next
}

// over carries the request over an idle connection if there is one, unless a new one
// is wanted.
func (a *attempt) over(fresh bool) (r result, ok bool) {
	a.tries++
	if a.route.Settings.H2C {
		return a.over2()
	}
	if !fresh {
		a.up = a.idle.take(a.began, a.wordDue())
	}
	if a.up == nil {
		up, err := a.idle.connect(a.route.Settings.ConnectTimeout)
		if err != nil {
			return a.failed(retry.Unbegun, "cannot be reached: "+err.Error())
		}
		a.up = up
	}
	return a.run()
}

// failed says why there is no answer.
func (a *attempt) failed(e retry.Ending, reason string) (result, bool) {
	a.outcome = retry.Outcome{Ending: e, Reason: reason}
	return unanswered, false
}

// run carries the request over a.up and the answer back. ok says whether the
// worker is without blame.
func (a *attempt) run() (r result, ok bool) {
	a.use(a.up)
	a.sent, a.begun, a.bodyOut = make(chan struct{}), false, int64(len(a.exchange.whole))
	reusable := false
	if a.body != nil {
		a.body.withhold(a.willTell())
	}
	a.send()
	resp, err := a.awaitAnswer()
	if err == nil {
		if !a.up.reused {
			a.idle.worker.spoke(a.ep, a.up.tells())
		}
		a.hasBegun()
		a.try.Answered()
		reusable, ok = a.answerOver1(resp)
		r = finished
	}
	a.use(nil)
	if reusable {
		a.idle.put(a.up, time.Now())
		return finished, ok
	}
	_ = a.up.Close()
	if a.body != nil {
		a.body.stop()
	}
	a.sender.Wait()
	if err == nil {
		return r, ok
	}
	return a.judge(err)
}

// judge says what a try without an answer means.
func (a *attempt) judge(err error) (r result, ok bool) {
	if r, ends := a.clientsFault(); ends {
		return r, true
	}
	switch {
	case errors.Is(err, errTooLate):
		r, ok = a.failed(retry.Late, "did not answer within "+a.route.Settings.AnswerTimeout.String())
	case errors.Is(err, errMalformed):
		r, ok = a.failed(retry.Malformed, "gave "+err.Error())
	default:
		s := retry.Sent{
			Some: a.up.wrote.Load(), Whole: a.inOnePiece, Unread: a.up.leftUnread(err),
			Told: a.up.tells(), WillTell: a.willTell(), Due: a.wordDue(), Begun: a.begun, Died: a.up.died(), Mortal: tellsOfDeath(a.up.Conn),
		}
		if !a.try.Request.Idempotent && s.Ending() != retry.Unbegun {
			s.NoHead = a.up.unread(err) > a.bodyOut
		}
		a.outcome, r, ok = s.Outcome(ended(a.begun)), unanswered, false
	}
	a.outcome.Reused = a.up.reused
	if a.up.reused && !a.up.knows() {
		a.outcome.Reuse = &a.idle.worker.reuse
	}
	return r, ok
}

// clientsFault says whether the client is why there is no answer.
func (a *attempt) clientsFault() (r result, ends bool) {
	if a.isDeserted() {
		a.desert()
		return finished, true
	}
	if a.body != nil {
		if _, err := a.body.state(); err != nil {
			return refused, true
		}
	}
	return 0, false
}

// willTell says whether the worker is to say that it has begun the request, as it
// promised or did on the last connection if this one is new. Until then all of the
// body is kept.
func (a *attempt) willTell() bool {
	return a.wordDue() && (a.up.tells() || !a.up.reused && a.idle.worker.greets(a.ep, a.up.promised()))
}

// wordDue: a worker that tells what it begins tells of this request.
func (a *attempt) wordDue() bool {
	return a.upgrade == "" && retry.WordDue(a.try.Request.Idempotent, a.req.ContentLength)
}

// ended is how a worker ended an attempt before its answer.
func ended(begun bool) string {
	if begun {
		return "began the request and closed the connection before it answered"
	}
	return "closed the connection before it answered"
}

// send writes the head, and with it or in a goroutine the body.
func (a *attempt) send() {
	if d := a.route.Settings.AnswerTimeout; d > 0 {
		_ = a.up.SetWriteDeadline(time.Now().Add(d))
	}
	head := append(a.appendHead(make([]byte, 0, 1024)), a.exchange.whole...)
	_, err := a.up.Write(head)
	a.inOnePiece = err == nil && a.body == nil && len(head) <= onePiece
	if a.body == nil || err != nil {
		a.hasSent(err == nil)
		return
	}
	a.sender.Go(func() {
		err := a.sendBody()
		a.hasSent(err == nil)
		if err != nil && !errors.Is(err, errBodyStopped) {
			a.giveUp()
		}
	})
}

func (a *attempt) hasSent(whole bool) {
	a.whole, a.sentAt = whole, time.Now()
	close(a.sent)
}

// giveUp ends the wait for an answer when the client's body is at fault; a
// worker that takes no more of it may still answer.
func (a *attempt) giveUp() {
	if _, err := a.body.state(); err != nil {
		_ = a.up.Close()
	}
}

func (a *attempt) sendBody() error {
	p := make([]byte, 16<<10)
	for {
		n, err := a.body.Read(p)
		if n > 0 {
			_ = a.up.SetWriteDeadline(deadline(a.route.Settings.IdleTimeout))
			if err := a.writePart(p[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && a.chunked():
			n, err := a.up.Write(appendTrailer(nil, a.trailer))
			a.bodyOut += int64(n)
			return err
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

func (a *attempt) writePart(p []byte) error {
	if a.chunked() {
		p = appendChunk(make([]byte, 0, len(p)+16), p)
	}
	n, err := a.up.Write(p)
	a.bodyOut += int64(n)
	return err
}

func appendChunk(b, p []byte) []byte {
	b = strconv.AppendInt(b, int64(len(p)), 16)
	b = append(b, "\r\n"...)
	b = append(b, p...)
	return append(b, "\r\n"...)
}

// awaitAnswer returns the head of the final answer, or of a 101, and passes
// interim ones on.
func (a *attempt) awaitAnswer() (*http.Response, error) {
	var head h1.Answer
	to := h1.Request{Method: []byte(a.req.Method)}
	if a.upgrade != "" {
		to.Upgrade = []byte(a.upgrade)
	}
	parse := func(b []byte, limit int) (int, h1.Fault) { return head.Parse(b, &to, limit) }
	for range maxInterim {
		seen, err := a.awaitHead(parse)
		var fault h1.Fault
		switch {
		case errors.As(err, &fault):
			return nil, fmt.Errorf("%w: %w", errMalformed, fault)
		case err != nil:
			return nil, err
		case string(seen) == balance.Begun:
			_, _ = a.up.br.Discard(len(seen))
			a.hasBegun()
			continue
		}
		a.answerSpelled = spellingOf(head.Fields)
		resp, err := http.ReadResponse(a.up.br, a.req)
		switch {
		case err != nil:
			return nil, errMalformed
		case resp.StatusCode >= http.StatusOK, resp.StatusCode == http.StatusSwitchingProtocols:
			a.took = time.Since(a.began)
			return resp, nil
		}
		a.hasBegun()
		if resp.StatusCode == http.StatusContinue {
			err = a.letContinue()
		} else {
			err = a.passInterim(resp)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errMalformed
}

func (a *attempt) hasBegun() {
	if a.begun = true; a.body != nil {
		a.body.withhold(false)
	}
}

// awaitHead waits for a whole head. It wakes to start watching the client, to
// give a 100 that the worker does not give, and for the answer timeout.
func (a *attempt) awaitHead(parse func(b []byte, limit int) (int, h1.Fault)) ([]byte, error) {
	next := fastAnswer
	for {
		_ = a.up.SetReadDeadline(deadline(next))
		head, err := readHead(a.up.br, parse)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return head, err
		}
		a.startReader()
		if a.expects && time.Since(a.began) >= continueAfter {
			if err := a.letContinue(); err != nil {
				return nil, err
			}
		}
		if next, err = a.patience(); err != nil {
			return nil, err
		}
	}
}

// patience is how long to wait until the next look; 0: for ever.
func (a *attempt) patience() (time.Duration, error) {
	limit := a.route.Settings.AnswerTimeout
	select {
	case <-a.sent:
	default:
		if a.body == nil || limit <= 0 {
			return continueAfter / 4, nil
		}
		if since := a.body.withheldSince(); !since.IsZero() && time.Since(since) > limit {
			return 0, errTooLate
		}
		return continueAfter / 4, nil
	}
	if limit <= 0 {
		return 0, nil
	}
	left := time.Until(a.sentAt.Add(limit))
	if left <= 0 && a.route.mayTakeLonger(a.ep) {
		return lookAgain, nil
	}
	if left <= 0 {
		return 0, errTooLate
	}
	return left, nil
}

// letContinue gives a waiting client its 100, once.
func (a *attempt) letContinue() error {
	if !a.expects {
		return nil
	}
	a.expects = false
	defer a.startBody()
	return a.tell(http.StatusContinue, "100 Continue", nil)
}

func (a *attempt) passInterim(resp *http.Response) error {
	if !a.req.ProtoAtLeast(1, 1) {
		return nil
	}
	return a.tell(resp.StatusCode, resp.Status, resp.Header)
}

// tell gives an interim answer; a client that cannot be told has left.
func (a *attempt) tell(status int, reason string, h http.Header) error {
	err := a.asker.interim(status, reason, h)
	if err != nil {
		a.clientLeft()
	}
	return err
}
