package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

// ownPort is a program that binds a port of its own, and shares it with nobody.
const ownPort = `
import http.server, sys
class Server(http.server.ThreadingHTTPServer): allow_reuse_address = True
Server(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
`

// TestAProgramOnItsOwnPortIsRestarted: nothing is published, so nobody tells bulsa that
// the successor would find the port in use. It looks, and has the old one end first.
func TestAProgramOnItsOwnPortIsRestarted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	script := w.write("server.py", ownPort)
	w.ready("run", "--name", "own", "--admin", "off", "--", "python3", script, port)
	url := fmt.Sprintf("http://127.0.0.1:%s/", port)
	serves := func() bool {
		res, err := http.Get(url)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	eventually(t, "it serves", serves)
	old := w.ps("own")[0].PID
	w.must("restart", "-p", "own")
	rows := w.ps("own")
	if len(rows) != 1 || rows[0].State != "ready" || rows[0].PID == old || rows[0].Restarts != 0 {
		t.Errorf("after the restart: %+v", rows)
	}
	eventually(t, "the new one serves", serves)
}

// askingServer connects to its port to see whether it is free, as is-port-reachable and
// tcp-port-used do, and takes any other one when somebody accepts.
const askingServer = `
const net = require('net'), http = require('http'), port = Number(process.argv[2]);
const listen = (n) => http.createServer((q, s) => s.end('asked')).listen(n);
const c = net.connect(port, '127.0.0.1', () => { c.end(); listen(0); }).on('error', () => listen(port));
`

// TestAProgramThatLooksWhetherItsPortIsFreeIsReached: bulsa listens there, so it is not.
func TestAProgramThatLooksWhetherItsPortIsFreeIsReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	script := w.write("asking.js", askingServer)
	w.ready("run", "--name", "asking", "--admin", "off", "-p", fmt.Sprintf("%s:%s", port, port), "-w", "2", "--", "node", script, port)
	for range 2 {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%s/", port))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("status %s", res.Status)
		}
		w.must("restart", "-p", "asking")
	}
}
