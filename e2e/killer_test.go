package e2e

import (
	"net/http"
	"testing"
	"time"
)

// killers is an app whose routes end its process in all the ways that a bug, or the
// article's workerKiller, does.
const killers = `
const http = require('http')
http.createServer((q, s) => {
  switch (q.url) {
    case '/exit': return process.exit(1)
    case '/answer': s.end('bye\n'); return setImmediate(() => process.exit(1))
    case '/throw': return setTimeout(() => undefinedFunction(), 1)
    case '/kill': return process.kill(process.pid, 'SIGKILL')
  }
  s.end('ok\n')
}).listen(3000)
`

// TestRequestsThatKillDoNotStopTheSite: against two workers, more deaths than the crash
// budget. They are the requests', so nobody is given up, and who asks for something
// else is answered.
func TestRequestsThatKillDoNotStopTheSite(t *testing.T) {
	t.Parallel()
	for path, calls := range map[string]int{"/answer": 45, "/exit": 15, "/throw": 15, "/kill": 15} {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			address := "127.0.0.1:" + freePort(t)
			w.ready("run", "--name", "app", "-w", "2", "-p", address, "--admin", "off", w.write("app.js", killers))
			client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
			began := time.Now()
			for range calls {
				res, err := client.Get("http://" + address + path)
				if err != nil {
					continue // it broke off
				}
				res.Body.Close()
				if res.StatusCode == http.StatusServiceUnavailable {
					t.Fatalf("%s: %s", path, res.Status)
				}
			}
			t.Logf("%d calls in %s", calls, time.Since(began).Round(time.Millisecond))
			if status, body := get(t, "http://"+address+"/"); status != http.StatusOK {
				t.Errorf("%d: %s", status, body)
			}
			for _, r := range w.ps("app") {
				if r.State == "failed" {
					t.Errorf("%s counts as failed: %s", r.Name, r.Cause)
				}
			}
		})
	}
}
