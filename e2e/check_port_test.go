package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestACommandCheckReachesItsOwnWorker: a check that is written as for a
// container asks localhost, and must reach the worker that it checks.
func TestACommandCheckReachesItsOwnWorker(t *testing.T) {
	t.Parallel()
	const app = `require('http').createServer((q, a) => a.end('process ' + process.pid)).listen(process.env.PORT)`
	target, published, same := freePort(t), freePort(t), freePort(t)
	for name, c := range map[string]struct{ ports, asks, mode string }{
		"on the port behind the published one":           {published + ":" + target, target, "auto"},
		"on the published port":                          {published + ":" + target, published, "auto"},
		"on the one port, inside and outside":            {same + ":" + same, same, "auto"},
		"of a program that listens on a port of its own": {published + ":" + target, target, "port"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write("app.js", app)
			w.write("bulsa.yaml", fmt.Sprintf(`
services:
  app:
    command: node app.js
    ports: ["127.0.0.1:%s"]
    deploy: {replicas: 2}
    healthcheck: {test: "curl -sf --max-time 5 http://127.0.0.1:%s/", interval: 500ms, timeout: 30s}
    x-bulsa: {node: %s}
`, c.ports, c.asks, c.mode))
			w.ready("up", "--admin", "off")
			for _, row := range w.ps("") {
				log := w.checked(row.Name, 3).Health.Log
				if last := log[len(log)-1]; last.Output != fmt.Sprintf("process %d", row.PID) {
					t.Errorf("the check of %s, process %d, says %q", row.Name, row.PID, last.Output)
				}
			}
			public, _, _ := strings.Cut(c.ports, ":")
			if status, body := get(t, "http://127.0.0.1:"+public+"/"); status != 200 {
				t.Errorf("a client gets %d %s", status, body)
			}
		})
	}
}
