package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ledger is the file in which ledger.js writes down every request that it begins.
type ledger struct {
	t    *testing.T
	path string
}

// counts is how often each request was begun, by its id.
func (l ledger) counts() map[string]int {
	l.t.Helper()
	b, err := os.ReadFile(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	n := map[string]int{}
	for id := range strings.FieldsSeq(string(b)) {
		n[id]++
	}
	return n
}

// mustHaveBegun is for requests that were lost and are not in the ledger, with what
// the client was told. The ledger's line comes a little after the worker's word that
// it begins: a kill between the two, microseconds in a worker that is warm and
// milliseconds at its first request, looks from here as if it had not begun. Where
// processors are short the word itself makes it likely: it wakes bulsa, which the
// kernel runs in the worker's place. What no worker gave its word for must not be lost.
func mustHaveBegun(t *testing.T, lost map[string]string, kills int) {
	t.Helper()
	for id, why := range lost {
		if strings.Contains(why, "502") && !strings.Contains(why, "began the request") {
			t.Errorf("%s was lost, and no worker had begun it: %s", id, why)
		} else {
			t.Logf("%s was lost before the ledger's line: %s", id, why)
		}
	}
	if len(lost) > max(kills/4, 1) {
		t.Errorf("%d requests were lost before the ledger's line", len(lost))
	}
}

// ledgers runs ledger.js as service app.
func ledgers(t *testing.T, workers int, environment, extension string) (*world, ledger, string) {
	t.Helper()
	l := ledger{t: t, path: filepath.Join(t.TempDir(), "ledger")}
	w, _, address := service(t, "ledger.js", fmt.Sprintf("    deploy: {replicas: %d}", workers),
		fmt.Sprintf("    environment: {LEDGER: %q, %s}", l.path, environment), "    x-bulsa: {"+extension+"}")
	return w, l, address
}

// once asks once over client and never again by itself: Go tries a request
// without a body again where a reused connection ends, so each has one that
// cannot be read twice.
func once(client *http.Client, method, url string) (status int, body string, err error) {
	return upload(client, method, url, 4, 4)
}

// upload is once with a body of size bytes; length is what the head says, -1: chunks.
func upload(client *http.Client, method, url string, size, length int64) (status int, body string, err error) {
	req, err := http.NewRequest(method, url, io.LimitReader(zeros{}, size))
	if err != nil {
		return 0, "", err
	}
	req.ContentLength = length
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestADeathInTheMiddleOfARequest: what may happen twice is asked of another
// worker; what may not is answered with 502, once.
func TestADeathInTheMiddleOfARequest(t *testing.T) {
	t.Parallel()
	_, l, address := ledgers(t, 2, "", "")
	client := &http.Client{Timeout: patience}
	for method, want := range map[string]struct{ status, begun int }{
		"GET": {200, 2}, "PUT": {200, 2}, "DELETE": {200, 2}, "POST": {502, 1}, "PATCH": {502, 1},
	} {
		status, body, err := once(client, method, "http://"+address+"/deadly?id="+method)
		if err != nil || status != want.status || status == 200 && !strings.HasSuffix(body, "got 4") {
			t.Errorf("%s: %d %q %v, want %d", method, status, body, err, want.status)
		}
		if status == 502 && !strings.HasPrefix(body, "502 app: app.") {
			t.Errorf("%s: %q does not say who", method, body)
		}
		if n := l.counts()[method]; n != want.begun {
			t.Errorf("%s was begun %d times, want %d", method, n, want.begun)
		}
	}
}

// TestConnectionsThatEndWhileIdle: Node closes an idle connection at the moment
// when a request is on its way. The request has not been seen then, so even a
// POST goes over another connection.
func TestConnectionsThatEndWhileIdle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ environment, path string }{
		"after 1 ms":  {`KEEPALIVE: "1"`, "/"},
		"after 20 ms": {`KEEPALIVE: "20"`, "/"},
		"unread":      {"", "/deaf"},
	} {
		t.Run(name, func(t *testing.T) {
			_, l, address := ledgers(t, 2, c.environment, "")
			var asked atomic.Int64
			var clients sync.WaitGroup
			for range 8 {
				clients.Go(func() {
					client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
					defer client.CloseIdleConnections()
					for range 40 {
						method := []string{"GET", "POST"}[rand.IntN(2)]
						id := fmt.Sprint(method, asked.Add(1))
						if status, body, err := once(client, method, "http://"+address+c.path+"?id="+id); status != 200 {
							t.Errorf("%s: %d %q %v", id, status, body, err)
						}
						time.Sleep(rand.N(25 * time.Millisecond)) // so that requests and ends meet
					}
				})
			}
			clients.Wait()
			for id, n := range l.counts() {
				if n != 1 {
					t.Errorf("%s was begun %d times", id, n)
				}
			}
		})
	}
}

// TestAConnectionThatEndsAtItsSecondRequest: the worker has seen that request.
// What may happen twice is asked again; a POST is lost, but not done twice.
func TestAConnectionThatEndsAtItsSecondRequest(t *testing.T) {
	t.Parallel()
	_, l, address := ledgers(t, 2, "", "")
	client := &http.Client{Timeout: patience}
	lost := 0
	for i := range 60 {
		method := []string{"GET", "POST"}[i%2]
		id := fmt.Sprint(method, i)
		status, body, err := once(client, method, "http://"+address+"/once?id="+id)
		switch n := l.counts()[id]; {
		case status == 200 && (method == "GET" || n == 1):
		case status == 502 && method == "POST" && n == 1:
			lost++
		default:
			t.Errorf("%s: %d %q %v, begun %d times", id, status, body, err, n)
		}
	}
	if lost == 0 {
		t.Error("no POST met the end of its connection: the test shows nothing")
	}
}

// TestWhatADeafWorkerNeverBeganIsNotLost: many POSTs wait for a worker whose loop
// is busy, over connections that it knows and over new ones; then it is killed.
func TestWhatADeafWorkerNeverBeganIsNotLost(t *testing.T) {
	t.Parallel()
	const posts = 60
	w, l, address := ledgers(t, 2, "", "balance: round_robin, timeouts: {connect: 60s}, "+unwatched)
	blocked := deafen(t, l, address)

	var clients sync.WaitGroup
	for i := range posts {
		clients.Go(func() {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			id := fmt.Sprint("post", i)
			if status, body, err := once(client, "POST", "http://"+address+"/?id="+id); status != 200 {
				t.Errorf("%s: %d %q %v", id, status, body, err)
			}
		})
	}
	var victim row
	eventually(t, "half of the POSTs wait for the deaf worker", func() bool {
		for _, r := range w.ps("") {
			if r.InFlight > 1 && r.InFlight >= posts/2 {
				victim = r
			}
		}
		return victim.PID != 0 && len(l.counts()) >= 1+posts-victim.InFlight
	})
	t.Logf("%s has %d requests", victim.Name, victim.InFlight)
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	blocked.refused(http.StatusBadGateway, victim.Name)
	counts := l.counts()
	if len(counts) != posts+1 {
		t.Errorf("%d requests were begun, want %d", len(counts), posts+1)
	}
	for id, n := range counts {
		if n != 1 {
			t.Errorf("%s was begun %d times", id, n)
		}
	}
}

// unwatched has requests go to a deaf worker, however slowly they come: else it is
// spared once it has been silent for a while.
const unwatched = "event_loop: {monitor: off}"

// deafen has one of the workers, which all have spoken, hear nothing any more. The
// request that does it is never answered.
func deafen(t *testing.T, l ledger, address string) *talk {
	t.Helper()
	warm := &http.Client{Timeout: patience, Transport: &http.Transport{}}
	var warming sync.WaitGroup
	for range 20 { // so that there are idle connections
		warming.Go(func() { once(warm, "GET", "http://"+address+"/") })
	}
	warming.Wait()
	warm.CloseIdleConnections()
	blocked := dial(t, address)
	blocked.ask("POST", "/block?id=block")
	eventually(t, "one worker is deaf", func() bool { return l.counts()["block"] == 1 })
	return blocked
}

// TestALongUploadThatADeafWorkerNeverBeganIsNotLost, whatever its method and framing.
func TestALongUploadThatADeafWorkerNeverBeganIsNotLost(t *testing.T) {
	t.Parallel()
	const size = 256 << 10
	w, l, address := ledgers(t, 2, "", "balance: round_robin, "+unwatched)
	blocked := deafen(t, l, address)
	var clients sync.WaitGroup
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		for _, length := range []int64{size, -1} {
			clients.Go(func() {
				client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				status, body, err := upload(client, method, fmt.Sprintf("http://%s/?id=%s%d", address, method, length), size, length)
				if status != 200 || !strings.HasSuffix(body, fmt.Sprint(" got ", size)) {
					t.Errorf("%s, length %d: %d %q %v", method, length, status, body, err)
				}
			})
		}
	}
	var victim row
	eventually(t, "all but those of the deaf worker are begun", func() bool {
		for _, r := range w.ps("") {
			if r.InFlight > 1 {
				victim = r
			}
		}
		return victim.InFlight > 1 && len(l.counts()) == 1+8-(victim.InFlight-1)
	})
	t.Logf("%s has %d requests", victim.Name, victim.InFlight)
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	blocked.refused(http.StatusBadGateway, victim.Name)
}

// TestPOSTsUnderKills: a POST is lost only when it had begun, and none runs twice.
func TestPOSTsUnderKills(t *testing.T) { postUnderKills(t) }

func TestSoakPOSTsUnderKills(t *testing.T) { postUnderKills(t) }

func postUnderKills(t *testing.T) {
	t.Helper()
	w, l, address := ledgers(t, 4, "", "")
	stop := make(chan struct{})
	var asked, lost atomic.Int64
	var unseen sync.Map
	var clients sync.WaitGroup
	for c := range 16 {
		clients.Go(func() {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				id := fmt.Sprintf("%d-%d", c, i)
				asked.Add(1)
				if status, body, err := once(client, "POST", "http://"+address+"/?id="+id); status != 200 {
					lost.Add(1)
					unseen.Store(id, fmt.Sprint(status, body, err))
				}
			}
		})
	}
	killRandomWorkers(t, w, kills(t, 15, 60))
	close(stop)
	clients.Wait()
	counts := l.counts()
	for id, n := range counts {
		if n > 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}
	missing := map[string]string{}
	unseen.Range(func(id, why any) bool {
		if counts[id.(string)] == 0 {
			missing[id.(string)] = why.(string)
		}
		return true
	})
	t.Logf("%d POSTs, %d lost, %d of them not in the ledger", asked.Load(), lost.Load(), len(missing))
	mustHaveBegun(t, missing, kills(t, 15, 60))
}
