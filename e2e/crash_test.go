package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// replies collects what clients were told.
type replies struct {
	mu    sync.Mutex
	codes map[int]int
	took  []time.Duration
	wrong []string // the first that were not as they should be
}

// ask asks once over a connection of its own: Go tries again by itself over one that
// was in use.
func (a *replies) ask(url string, want int) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	began := time.Now()
	status, said := 0, ""
	res, err := client.Get(url)
	if err != nil {
		said = err.Error()
	} else {
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		status, said = res.StatusCode, string(b)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.codes[status]++
	a.took = append(a.took, time.Since(began))
	if status != want && len(a.wrong) < 5 {
		a.wrong = append(a.wrong, fmt.Sprintf("%d %s", status, said))
	}
}

func (a *replies) quantile(q float64) time.Duration {
	slices.Sort(a.took)
	return a.took[int(q*float64(len(a.took)-1))]
}

// TestTheSiteStaysUpWhileRequestsKillWorkers: ten times a second somebody asks for
// what ends a worker: by an error that nobody catches, process.exit, SIGKILL, or
// without memory. Who asks for something else must not notice.
func TestTheSiteStaysUpWhileRequestsKillWorkers(t *testing.T) { killByRequests(t) }

func TestSoakTheSiteStaysUpWhileRequestsKillWorkers(t *testing.T) { killByRequests(t) }

func killByRequests(t *testing.T) {
	t.Helper()
	for _, n := range []int{2, 4} {
		t.Run(fmt.Sprint(n, " workers"), func(t *testing.T) {
			w := newWorld(t)
			w.set("NODE_OPTIONS", "--max-old-space-size=32")
			address := "http://127.0.0.1:" + freePort(t)
			s := w.ready("run", "--name", "app", "-w", fmt.Sprint(n), "-p", address[len("http://"):], "--admin", "off", app(t, "killers.js"))
			killers, others := replies{codes: map[int]int{}}, replies{codes: map[int]int{}}
			var clients sync.WaitGroup
			end := make(chan struct{})
			for range 8 {
				clients.Go(func() {
					pace := time.NewTicker(20 * time.Millisecond)
					defer pace.Stop()
					for {
						select {
						case <-end:
							return
						case <-pace.C:
							others.ask(address+"/", http.StatusOK)
						}
					}
				})
			}
			pace := time.NewTicker(100 * time.Millisecond)
			defer pace.Stop()
			lasts := 5 * time.Second
			if soaks(t) {
				lasts = 2 * time.Minute
			}
			began := time.Now()
			for i := 0; time.Since(began) < lasts; i++ {
				<-pace.C
				path := []string{"/crash", "/workerKiller", "/kill", "/oom"}[i%4]
				clients.Go(func() { killers.ask(address+path, http.StatusBadGateway) })
			}
			close(end)
			clients.Wait()
			took := time.Since(began)
			s.stop()
			cores := (s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()).Seconds() / took.Seconds()
			t.Logf("killers were told %v, at most after %v; others %v, p99 %v, at most %v; %.2f processors",
				killers.codes, killers.quantile(1), others.codes, others.quantile(0.99), others.quantile(1), cores)
			if len(killers.codes) != 1 || killers.codes[http.StatusBadGateway] == 0 {
				t.Errorf("killers were told %v, want 502: %q", killers.codes, killers.wrong)
			}
			if len(others.codes) != 1 || others.codes[http.StatusOK] == 0 {
				t.Errorf("others were told %v, want 200: %q", others.codes, others.wrong)
			}
			// Until it is known what kills, at the beginning, all workers may be down at once.
			if p99 := others.quantile(0.99); soaks(t) && p99 > 500*time.Millisecond {
				t.Errorf("the others' p99 is %v", p99)
			}
		})
	}
}
