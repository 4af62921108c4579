package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestModes: every way to serve a Node app's listen() does, by the flag and by
// the file.
func TestModes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode    string
		worker  bool // it is a cluster worker
		client  bool // it sees its client's address
		believe bool // it believes that it listens on the port it asked for
	}{
		{"auto", true, true, true},
		{"proxyfd", true, true, true},
		{"rr", true, true, true},
		{"shared", true, true, true},
		{"listen", true, true, true},
		{"port", false, false, false},
		{"off", false, false, false},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.binary = raced
			port := freePort(t)
			args := []string{"--node", c.mode, "-w", "2"}
			if c.worker {
				w.set("LISTEN", port)
			} else {
				args = append(args, "-p", "127.0.0.1:"+port)
			}
			w.run(append(args, app(t, "whoami.js"))...)
			for number, a := range everybody(t, "http://127.0.0.1:"+port, 2) {
				if a.IsWorker != c.worker || c.worker != (a.Master != "") {
					t.Errorf("worker %s: cluster.isWorker is %t, primary %q", number, a.IsWorker, a.Master)
				}
				if at, ok := a.Address.(map[string]any); !ok || (fmt.Sprint(at["port"]) == port) != c.believe {
					t.Errorf("worker %s believes that it listens on %v", number, a.Address)
				}
			}
			conn := connect(t, port)
			if a := decode(t, over(t, conn)); c.client {
				// On a socket for both families Node shows IPv4 so, bulsa or not.
				own(t, c.mode, conn, strings.TrimPrefix(a.RemoteAddress, "::ffff:"), a.RemotePort)
			} else if list := a.Headers["x-forwarded-for"]; list != "127.0.0.1" {
				t.Errorf("X-Forwarded-For: %q", list)
			}
			w.must("restart")
			everybody(t, "http://127.0.0.1:"+port, 2)
		})
	}
	t.Run("shared cannot change the port", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.do("run", "-d", "--name", "app", "--admin", "off", "--node", "shared", "-p", "127.0.0.1:"+freePort(t)+":3000", app(t, "whoami.js"))
		w.do("down", "-p", "app")
		if r.status != 1 || !strings.Contains(r.stderr, "publish 3000:3000") {
			t.Errorf("status %d, %q", r.status, r.stderr)
		}
	})
	t.Run("auto goes on to whole connections", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		port := freePort(t)
		w.set("LISTEN", port)
		w.run("-w", "2", "-e", "NODE_OPTIONS=--require "+app(t, "pipeless.js"), app(t, "whoami.js"))
		eventually(t, "a worker has answered", func() bool {
			r, err := http.Get("http://127.0.0.1:" + port)
			if err != nil {
				return false
			}
			r.Body.Close()
			return r.StatusCode == http.StatusOK
		})
		everybody(t, "http://127.0.0.1:"+port, 2)
		if events := w.must("events", "-p", "app"); !strings.Contains(events, "connections whole") {
			t.Errorf("no event says so: %s", events)
		}
	})
	t.Run("in the file", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		port := freePort(t)
		w.write("bulsa.yaml", fmt.Sprintf(`
services:
  app:
    command: node %s
    ports: ["127.0.0.1:%s:3000"]
    deploy: {replicas: 2}
    x-bulsa: {node: port}
`, app(t, "whoami.js"), port))
		w.ready("up", "--admin", "off")
		for number, a := range everybody(t, "http://127.0.0.1:"+port, 2) {
			if a.IsWorker {
				t.Errorf("worker %s is a cluster worker", number)
			}
		}
	})
}

func connect(t *testing.T, port string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// over asks for / over a connection, which ends with the answer, and returns the body.
func over(t *testing.T, conn net.Conn) string {
	t.Helper()
	fmt.Fprintf(conn, "GET / HTTP/1.0\r\nHost: app\r\n\r\n")
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(conn); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(answer.String(), "\r\n\r\n")
	return body
}

// TestReusePort: every worker binds the port itself, and the kernel spreads. Node
// knows reusePort since 22.12.
func TestReusePort(t *testing.T) {
	t.Parallel()
	for _, node := range nodes(t) {
		major, minor := version(t, node)
		if major < 22 || major == 22 && minor < 12 {
			continue
		}
		t.Run(fmt.Sprintf("%d", major), func(t *testing.T) {
			w := newWorld(t)
			w.binary = raced
			port := freePort(t)
			w.set("PATH", filepath.Dir(node)+":"+os.Getenv("PATH"))
			w.set("LISTEN", fmt.Sprintf(`{"port": %s, "reusePort": true}`, port))
			w.run("-w", "2", app(t, "whoami.js"))
			everybody(t, "http://127.0.0.1:"+port, 2)
		})
	}
}

// TestNothingIsLostThatADeadWorkerHasNotTaken: connections that were handed to a
// worker which did not take them any more go to another, with what is on them.
func TestNothingIsLostThatADeadWorkerHasNotTaken(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"proxyfd", "rr"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			port := freePort(t)
			w.set("LISTEN", port)
			w.run("-w", "2", "--node", mode, "--balance", "round_robin", app(t, "whoami.js"))
			victim := w.ps("")[0].PID
			if err := syscall.Kill(victim, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			const requests = 20
			var all sync.WaitGroup
			lost := make(chan string, requests)
			answered := make(chan struct{}, requests)
			for i := range requests {
				all.Go(func() {
					if err := post(port, strconv.Itoa(i)); err != nil {
						lost <- err.Error()
					}
					answered <- struct{}{}
				})
			}
			for range requests / 2 { // the other worker has answered its half: the rest waits
				<-answered
			}
			if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			all.Wait()
			close(lost)
			for what := range lost {
				t.Error(what)
			}
		})
	}
}

// post sends text to /echo over a connection of its own.
func post(port, text string) error {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Post("http://127.0.0.1:"+port+"/echo", "text/plain", strings.NewReader(text))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || b.String() != text {
		return fmt.Errorf("%s: %q came back as %q", res.Status, text, b.String())
	}
	return nil
}
