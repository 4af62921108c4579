package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// finder is a program of testdata/ports, in a folder of its own: a watcher sees
// what changes there.
func (w *world) finder(name string) string {
	w.t.Helper()
	folder, err := filepath.Abs(filepath.Join("testdata", "ports"))
	if err != nil {
		w.t.Fatal(err)
	}
	needsPackages(w.t, folder)
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(folder, "node_modules"), filepath.Join(w.dir, "node_modules")); err != nil {
		w.t.Fatal(err)
	}
	return w.write(name, string(text))
}

// taken says whether somebody listens on a port of this machine.
func taken(port string) bool {
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// tryGet is one answer over a connection of its own; an error is one of the connection.
func tryGet(url string) (body string, err error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// TestAPortThatWasLookedForFirst is one that the app has listened on and closed before.
func TestAPortThatWasLookedForFirst(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"get-port", "get-port, any", "detect-port", "portfinder"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			public, wanted := freePort(t), freePort(t)
			w.set("WAY", way)
			w.set("WANTED", wanted)
			w.run("-w", "2", "-p", "127.0.0.1:"+public, w.finder("find.mjs"))
			status, body := get(t, "http://127.0.0.1:"+public)
			if status != http.StatusOK || !strings.HasPrefix(body, "found ") || way != "get-port, any" && body != "found "+wanted {
				t.Errorf("the published port answers %d %q", status, body)
			}
			if taken(wanted) {
				t.Errorf("port %s is open as well", wanted)
			}
		})
	}
}

// TestAPortThatIsClosedIsFree for a child, and to be opened again.
func TestAPortThatIsClosedIsFree(t *testing.T) {
	t.Parallel()
	t.Run("for a child", func(t *testing.T) {
		w := newWorld(t)
		public := freePort(t)
		w.run("-w", "2", "-p", "127.0.0.1:"+public, w.finder("child.js"))
		answers(t, "http://127.0.0.1:"+public, "the child")
	})
	for _, published := range []bool{false, true} {
		t.Run(fmt.Sprintf("to be opened again, published %v", published), func(t *testing.T) {
			w := newWorld(t)
			listen, public := freePort(t), freePort(t)
			w.set("LISTEN", listen)
			args := []string{"-w", "1"}
			if published {
				args = append(args, "-p", "127.0.0.1:"+public)
			} else {
				public = listen
			}
			w.run(append(args, w.finder("again.js"))...)
			for n := 1; n <= 3; n++ {
				answers(t, "http://127.0.0.1:"+public, fmt.Sprintf("opened %d", n))
				answers(t, "http://127.0.0.1:"+public+"/again", fmt.Sprintf("opened %d", n))
				eventually(t, "it is open again", func() bool {
					body, err := tryGet("http://127.0.0.1:" + public)
					return err == nil && body == fmt.Sprintf("opened %d", n+1)
				})
			}
			if published && taken(listen) {
				t.Errorf("port %s is open as well", listen)
			}
		})
	}
}

// TestAWatcherStartsTheAppAgain: the next process has the published port, too.
func TestAWatcherStartsTheAppAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public, listen := freePort(t), freePort(t)
	w.set("LISTEN", listen)
	script := w.finder("again.js")
	w.run("-w", "1", "-p", "127.0.0.1:"+public, "--", "node_modules/.bin/nodemon", "--quiet", "--watch", script, script)
	answers(t, "http://127.0.0.1:"+public, "opened 1")
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	w.write("again.js", strings.ReplaceAll(string(text), "opened", "edited"))
	eventually(t, "the edited app answers", func() bool {
		body, err := tryGet("http://127.0.0.1:" + public)
		return err == nil && body == "edited 1"
	})
	if taken(listen) {
		t.Errorf("port %s is open as well", listen)
	}
}

// TestAHelperThatListensFirst is not what the published port leads to.
func TestAHelperThatListensFirst(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"0", "1500"} {
		t.Run(after+" ms before the app", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			public, helper := freePort(t), freePort(t)
			w.set("HELPER", helper)
			w.set("AFTER", after)
			w.run("-w", "2", "-p", "127.0.0.1:"+public, w.finder("helper.js"))
			answers(t, "http://127.0.0.1:"+public, "application")
			answers(t, "http://127.0.0.1:"+helper, "figures")
			if events := w.must("events", "-p", "app"); strings.Count(events, "is reached at 127.0.0.1:"+helper) != 1 {
				t.Errorf("events:\n%s", events)
			}
		})
	}
}

// TestAUnixSocketThatTheAppClearsAway before it listens is there after every restart.
func TestAUnixSocketThatTheAppClearsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "app.sock")
	script := w.write("app.js", fmt.Sprintf(`
const fs = require('fs');
fs.rmSync(%q, { force: true });
require('http').createServer((req, res) => res.end('here')).listen(%[1]q);`, path))
	w.run("-w", "2", script)
	for range 3 {
		if got := body(t, overUnix(path), "http://app/"); got != "here" {
			t.Errorf("answer %q", got)
		}
		w.must("restart", "-p", "app")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a path that somebody else has removed is there again", func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
	if got := body(t, overUnix(path), "http://app/"); got != "here" {
		t.Errorf("answer %q", got)
	}
}

// TestAnAddressOfUDPThatOthersHaveToo is shared where the app allows it.
func TestAnAddressOfUDPThatOthersHaveToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	share := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(err, raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) }))
	}}
	other, err := share.ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, port, _ := net.SplitHostPort(other.LocalAddr().String())
	w.set("LISTEN", port)
	w.run("-w", "2", w.write("app.js", `
const socket = require('dgram').createSocket({ type: 'udp4', reuseAddr: true });
socket.on('message', (text, from) => socket.send('bulsa: ' + text, from.port, from.address));
socket.bind(Number(process.env.LISTEN), '127.0.0.1');`))
	conn, err := net.Dial("udp4", other.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(conn, "hello")
	b := make([]byte, 100)
	if n, err := conn.Read(b); err != nil || string(b[:n]) != "bulsa: hello" { // the last to bind gets it
		t.Errorf("answer %q, %v", b[:n], err)
	}
}

// TestInspectorsCountUp from the port that was asked for.
func TestInspectorsCountUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public := freePort(t)
	first := 9300 + os.Getpid()%300*2
	script := w.write("app.js", `require('http').createServer((req, res) => res.end(require('inspector').url())).listen(process.env.PORT)`)
	w.run("-w", "2", "-p", "127.0.0.1:"+public, "--", "node", fmt.Sprintf("--inspect=%d", first), script)
	seen := map[string]bool{}
	eventually(t, "both workers have answered", func() bool {
		_, answer := get(t, "http://127.0.0.1:"+public)
		seen[strings.SplitN(strings.TrimPrefix(answer, "ws://127.0.0.1:"), "/", 2)[0]] = true
		return len(seen) == 2
	})
	if !seen[fmt.Sprint(first)] || !seen[fmt.Sprint(first+1)] {
		t.Errorf("inspectors at %v, want %d and %d", seen, first, first+1)
	}
}
