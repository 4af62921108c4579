package accesslog

import (
	"net/http"
	"net/netip"
	"time"
	"unsafe"
)

// Account is what is known of a request when it is over. Whoever gives it keeps
// its bytes, which are read before Write returns.
type Account struct {
	Client   netip.Addr // invalid for a unix socket
	Method   []byte     // empty, as are the next four, where no request could be read
	Target   []byte     // as the client wrote it
	Proto    string     // HTTP/1.1
	Host     []byte
	Referer  []byte
	Agent    []byte
	Status   int // 499: the client left before the answer
	Sent     int64
	Began    time.Time
	Took     time.Duration
	Worker   string // the last that was asked; "": none
	Attempts int
	Session  bool // it named a session of engine.io
}

// Describe takes what the client said from its request.
func (a *Account) Describe(r *http.Request) {
	a.Method, a.Target, a.Proto, a.Host = bytesOf(r.Method), bytesOf(r.RequestURI), r.Proto, bytesOf(r.Host)
	a.Referer, a.Agent = bytesOf(r.Header.Get("Referer")), bytesOf(r.Header.Get("User-Agent"))
}

// bytesOf are the bytes of s, to be read only.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
