package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Verdict is what an answer is worth.
type Verdict int

// The verdicts. A lax answer is one that the RFCs allow, and a cautious server
// does not give; it earns nothing, and is no failure.
const (
	Failed Verdict = iota
	Lax
	Passed
)

func (v Verdict) String() string { return [...]string{"failed", "lax", "passed"}[v] }

// Result is how a server did in a Case.
type Result struct {
	Case
	Verdict Verdict
	Got     string
}

// Prober asks one server.
type Prober struct {
	Dial   func() (net.Conn, error)
	Host   string
	Quiet  time.Duration // for which a server that may be silent is listened to
	Settle time.Duration // for which more is waited for on a connection that stays open

	// Patience is for the answer of a server that has to give one.
	Patience time.Duration
}

// Run asks for everything, many things at a time, and returns it in the order of
// the cases.
func (p *Prober) Run() []Result {
	all := cases(p.Host)
	results := make([]Result, len(all))
	slots := make(chan struct{}, 16)
	var running sync.WaitGroup
	for i, c := range all {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			results[i] = p.probe(c)
		})
	}
	running.Wait()
	return results
}

func (p *Prober) probe(c Case) Result {
	conn, err := p.Dial()
	if err != nil {
		return Result{Case: c, Got: err.Error()}
	}
	defer conn.Close()
	patience := p.Patience
	if strings.Contains(c.Want, "wait") {
		patience = p.Quiet
	}
	d := &dialogue{conn: conn, br: bufio.NewReader(conn), patience: patience, settle: p.Settle}
	first := d.ask(c.Send[0])
	v, got := judge(c.Want, first), first.String()
	if v != Failed || len(c.Send) == 1 || c.Then == "" || first.closed || first.status/100 != 2 {
		return Result{c, v, got}
	}
	second := d.ask(fill(c.Send[1], first))
	if second.doubled { // what it is worth, only "*" can say
		second.status = 0
	}
	return Result{c, judge(c.Then, second), got + ", then " + second.String()}
}

// fill puts the first answer's validators into a request.
func fill(send string, a answer) string {
	tag := a.header.Get("ETag")
	if tag == "" {
		tag = `"none"`
	}
	modified := a.header.Get("Last-Modified")
	if modified == "" {
		modified = "Thu, 01 Jan 2099 00:00:00 GMT"
	}
	return strings.NewReplacer("{etag}", strings.TrimPrefix(tag, "W/"), "{modified}", modified, "{tag}", strings.Trim(tag, `W/"`)).Replace(send)
}

// answer is what came back. Its status is 0 when nothing did that is HTTP/1.
type answer struct {
	status  int
	interim bool // answers of 1xx came before
	header  http.Header
	body    string
	doubled bool // another answer came behind it
	closed  bool
}

func (a answer) String() string {
	switch {
	case a.status == 0 && a.closed:
		return "closed"
	case a.status == 0:
		return "silence"
	}
	got := http.StatusText(a.status)
	if got == "" {
		got = "unknown"
	}
	got = string([]byte{byte('0' + a.status/100), byte('0' + a.status/10%10), byte('0' + a.status%10), ' '}) + got
	if a.doubled {
		got += ", and another answer"
	}
	if a.closed {
		got += ", closed"
	}
	return got
}

// dialogue is one connection to the server.
type dialogue struct {
	conn     net.Conn
	br       *bufio.Reader
	patience time.Duration
	settle   time.Duration
}

// ask sends and listens at the same time: who refuses a request early does not
// read it whole.
func (d *dialogue) ask(send string) (a answer) {
	_ = d.conn.SetDeadline(time.Now().Add(d.patience))
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = io.WriteString(d.conn, send) })
	defer sending.Wait()
	defer func() { _ = d.conn.SetWriteDeadline(time.Now()) }()

	method, _, _ := strings.Cut(send, " ")
	for {
		resp, err := http.ReadResponse(d.br, &http.Request{Method: method})
		if err != nil {
			a.closed = d.ended(err)
			return a
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			a.interim = true
			continue
		}
		body, err := io.ReadAll(resp.Body)
		a.status, a.header, a.body = resp.StatusCode, resp.Header, string(body)
		if err != nil {
			a.closed = d.ended(err)
			return a
		}
		break
	}
	if !strings.EqualFold(a.header.Get("Connection"), "close") {
		_ = d.conn.SetReadDeadline(time.Now().Add(d.settle))
	}
	next, err := d.br.Peek(len("HTTP/1.1 "))
	a.closed = err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	a.doubled = len(next) > 0
	if a.doubled && method == http.MethodHead {
		rest, _ := io.ReadAll(d.br)
		a.body, a.doubled = string(next)+string(rest), bytes.HasPrefix(next, []byte("HTTP/1."))
	}
	return a
}

// ended reads what is no HTTP/1 to its end; false if it does not end in time.
func (d *dialogue) ended(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		_, err = io.Copy(io.Discard, d.br)
	}
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// judge finds a in the alternatives of want, which are separated by spaces; behind
// | are those that are lax. An alternative is
//
//	end     nothing came, and the server closed
//	wait    nothing came
//	*       anything
//	400     a status, and 4xx a class of them; !400: any other; !1xx: no interim answer
//
// and after one of the last two what the answer must be, too: +end closed, and no
// second answer behind it; +Name: with this field, -Name: without it; =text with
// this body; ~text with this in it, ^text without it, in lower case. _ is a space.
func judge(want string, a answer) Verdict {
	strict, lax, _ := strings.Cut(want, "|")
	switch {
	case slices.ContainsFunc(strings.Fields(strict), a.matches):
		return Passed
	case slices.ContainsFunc(strings.Fields(lax), a.matches):
		return Lax
	}
	return Failed
}

func (a answer) matches(alternative string) bool {
	switch alternative {
	case "end":
		return a.status == 0 && a.closed
	case "wait":
		return a.status == 0 && !a.closed
	case "!1xx":
		return a.status != 0 && !a.interim
	case "*":
		return true
	}
	at := strings.IndexAny(alternative, "+-=~^")
	if at < 0 {
		at = len(alternative)
	}
	return a.hasStatus(alternative[:at]) && a.has(alternative[at:])
}

func (a answer) hasStatus(pattern string) bool {
	if a.status == 0 {
		return false
	}
	pattern, not := strings.CutPrefix(pattern, "!")
	status := a.String()[:3]
	same := pattern == "*" || pattern == status || pattern == status[:1]+"xx"
	return same != not
}

// has is about what follows a status.
func (a answer) has(rest string) bool {
	if rest == "" {
		return true
	}
	sign, text := rest[0], rest[1:]
	switch sign {
	case '+', '-':
		if text == "end" {
			return a.closed && !a.doubled
		}
		_, there := a.header[http.CanonicalHeaderKey(strings.TrimSuffix(text, ":"))]
		return there == (sign == '+')
	}
	body := strings.ReplaceAll(strings.ToLower(a.body), " ", "_")
	if sign == '=' {
		return body == text
	}
	for _, part := range strings.Split(text, "~") {
		if strings.Contains(body, part) != (sign == '~') {
			return false
		}
	}
	return true
}
