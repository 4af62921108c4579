package proxy

import (
	"net/http"
	"net/netip"
	"time"
	"unsafe"
)

// account is what is known of a request when it is over. Whoever gives it keeps
// its bytes, which are read before answered returns.
type account struct {
	client   netip.Addr // invalid for a unix socket
	method   []byte     // empty, as are the next four, where no request could be read
	target   []byte     // as the client wrote it
	proto    string     // HTTP/1.1
	host     []byte
	referer  []byte
	agent    []byte
	status   int // 499: the client left before the answer
	sent     int64
	began    time.Time
	took     time.Duration
	worker   string // the last that was asked; "": none
	attempts int
	session  bool // it named a session of engine.io
}

// describe takes what the client said from its request.
func (a *account) describe(r *http.Request) {
	a.method, a.target, a.proto, a.host = bytesOf(r.Method), bytesOf(r.RequestURI), r.Proto, bytesOf(r.Host)
	a.referer, a.agent = bytesOf(r.Header.Get("Referer")), bytesOf(r.Header.Get("User-Agent"))
}

// began counts a request in. It is owed an ended.
func (t *target) began() { t.counters.tries.InFlight.Add(1) }

func (t *target) ended() { t.counters.tries.InFlight.Add(-1) }

// answered counts an answer and writes it into the access log.
func (t *target) answered(a *account) {
	t.counters.count(a.status, a.took)
	t.learn(a)
	if a.session && a.status == http.StatusBadRequest {
		t.counters.lostSessions.Add(1)
		t.counters.lastLost.Store(time.Now().UnixNano())
	}
	t.logged(a)
}

// logged is for an answer that was counted before it was over: an upgrade.
func (t *target) logged(a *account) {
	if log := t.Settings.AccessLog; log != nil {
		log.write(t.Service, a)
	}
}

// bytesOf are the bytes of s, to be read only.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
