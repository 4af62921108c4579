package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"bulsa/internal/proxy/retry"
)

// over2 carries the request to a worker that speaks HTTP/2 with prior knowledge
// (Settings.H2C) and the answer back: for gRPC. net/http's transport keeps the
// connections; what it sends again by itself is only what the worker has refused
// to look at (GOAWAY, REFUSED_STREAM).
func (a *attempt) over2() (r result, ok bool) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	a.use(closer(func() { cancel(net.ErrClosed) }))
	defer a.use(nil)
	if err := a.letContinue(); err != nil {
		return a.judge2(err, false)
	}
	a.startReader()
	var t tracing
	t.patience = time.AfterFunc(time.Hour, func() {
		if a.route.mayTakeLonger(a.ep) {
			t.patience.Reset(lookAgain)
			return
		}
		cancel(errTooLate)
	})
	defer t.patience.Stop()
	resp, err := a.idle.transport(a.route.Settings.ConnectTimeout).RoundTrip(a.request2(httptrace.WithClientTrace(ctx, a.trace(&t))))
	t.patience.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return a.judge2(err, t.wrote.Load())
	}
	defer resp.Body.Close()
	a.took = time.Since(a.began)
	a.try.Answered()
	_, ok = a.answer(resp, answerBody{resp.Body, func() bool { return false }})
	return finished, ok
}

type closer func()

func (c closer) Close() error {
	c()
	return nil
}

// tracing is what is known of a request that is on its way.
type tracing struct {
	wrote    atomic.Bool // the head has left
	patience *time.Timer // for the answer timeout
}

func (a *attempt) trace(t *tracing) *httptrace.ClientTrace {
	limit := a.route.Settings.AnswerTimeout
	return &httptrace.ClientTrace{
		GetConn:      func(string) { t.wrote.Store(false) },
		WroteHeaders: func() { t.wrote.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) {
			if limit > 0 {
				t.patience.Reset(limit)
			}
		},
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == http.StatusContinue || !a.req.ProtoAtLeast(1, 1) {
				return nil
			}
			return a.tell(code, strconv.Itoa(code)+" "+http.StatusText(code), http.Header(h))
		},
	}
}

// request2 is the request as appendHead writes it, for net/http's transport.
func (a *attempt) request2(ctx context.Context) *http.Request {
	req := &http.Request{
		Method:        a.req.Method,
		URL:           targetURL(string(a.route.appendTarget(nil, requestTarget(a.req)))),
		Host:          a.req.Host,
		Header:        make(http.Header, len(a.req.Header)+6),
		ContentLength: a.req.ContentLength,
	}
	a.fieldsForWorker(func(name, value string) { req.Header[name] = append(req.Header[name], value) })
	if _, told := req.Header["User-Agent"]; !told {
		req.Header["User-Agent"] = nil // or net/http says its own
	}
	if hasToken(a.req.Header["Te"], "trailers") {
		req.Header.Set("Te", "trailers")
	}
	a.body2(req)
	return req.WithContext(ctx)
}

// targetURL is a URL of which net/http makes the same target again.
func targetURL(target string) *url.URL {
	path, query, hasQuery := strings.Cut(target, "?")
	u := &url.URL{Scheme: "http", Host: "worker", RawQuery: query, ForceQuery: hasQuery && query == ""}
	if plain, err := url.PathUnescape(path); err == nil && strings.HasPrefix(path, "//") {
		u.Path, u.RawPath = plain, path
	} else {
		u.Opaque = path // which goes out as it is
	}
	return u
}

// body2 gives the request its body, from the start as often as that is possible.
func (a *attempt) body2(req *http.Request) {
	switch {
	case a.body != nil:
		req.GetBody = func() (io.ReadCloser, error) {
			if !a.body.rewind() {
				return nil, errBodyStopped
			}
			return &replay{a.body, a, req}, nil
		}
		req.Body, _ = req.GetBody()
		req.Trailer = promisedTrailer(a.promised)
	case len(a.exchange.whole) > 0:
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(a.exchange.whole)), nil }
		req.Body, _ = req.GetBody()
	default:
		req.ContentLength = 0
	}
}

func promisedTrailer(names string) http.Header {
	if names == "" {
		return nil
	}
	t := make(http.Header)
	for name := range strings.SplitSeq(names, ", ") {
		t[name] = nil
	}
	return t
}

// replay is the body for one try.
type replay struct {
	*body
	a   *attempt
	req *http.Request
}

func (r *replay) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err == io.EOF {
		for name := range r.req.Trailer {
			r.req.Trailer[name] = r.a.trailer[name]
		}
	}
	return n, err
}

// Close ends a Read.
func (r *replay) Close() error {
	r.stop()
	return nil
}

// judge2 is judge for a try over HTTP/2. wrote: the worker may have seen some of
// the request.
func (a *attempt) judge2(err error, wrote bool) (result, bool) {
	if r, ends := a.clientsFault(); ends {
		return r, true
	}
	var reset streamError
	switch {
	case errors.Is(err, errTooLate):
		return a.failed(retry.Late, "did not answer within "+a.route.Settings.AnswerTimeout.String())
	case !wrote:
		return a.failed(retry.Unbegun, "cannot be reached: "+err.Error())
	case errors.As(err, &reset) && reset.Code == refusedStream:
		return a.failed(retry.Unbegun, "refused the request")
	}
	r, ok := a.failed(retry.Closed, "gave no answer: "+err.Error())
	a.outcome.Seen = true
	return r, ok
}

// refusedStream is how a worker says that it has done nothing (RFC 9113, section 8.7).
const refusedStream = 0x7

// streamError has the shape that net/http's error of the same name fits into by
// errors.As.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream reset with code " + strconv.Itoa(int(e.Code)) }

// transport is made for the first request.
func (i *idleConns) transport(connectTimeout time.Duration) *http.Transport {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.http2 != nil {
		return i.http2
	}
	const unusedFor, ping = 90 * time.Second, 15 * time.Second
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	i.http2 = &http.Transport{
		Protocols: &p,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if connectTimeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, connectTimeout)
				defer cancel()
			}
			return i.endpoint.Config().Connector.Connect(ctx)
		},
		DisableCompression:     true,
		IdleConnTimeout:        unusedFor,
		MaxResponseHeaderBytes: maxAnswerHead,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: ping, PingTimeout: ping},
	}
	return i.http2
}
