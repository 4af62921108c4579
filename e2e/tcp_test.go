package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lines is a client of a protocol of lines, one connection.
type lines struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialLines(t *testing.T, address string) *lines {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &lines{t, conn, bufio.NewReader(conn)}
}

func (l *lines) say(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l.conn, text); err != nil {
		l.t.Fatal(err)
	}
}

// hears reads a line that ends as given.
func (l *lines) hears(suffix string) string {
	l.t.Helper()
	line, err := l.in.ReadString('\n')
	if err != nil || !strings.HasSuffix(line, suffix) {
		l.t.Fatalf("heard %q, %v, want ...%q", line, err, suffix)
	}
	return line
}

func TestWhatIsNoHTTPReachesItsServer(t *testing.T) {
	server := build(t, filepath.Join("testdata", "lineserver"))
	for name, c := range map[string]struct {
		command  []string
		flags    []string
		greeting string
	}{
		"told that it is tcp":          {[]string{server}, []string{"--protocol", "tcp"}, ""},
		"found out by the first bytes": {[]string{server}, nil, ""},
		"found out as it speaks first": {[]string{server, "first"}, nil, "220 worker"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			address := "127.0.0.1:" + freePort(t)
			args := append([]string{"run", "--name", "app", "-w", "2", "-p", address, "--admin", "off"}, c.flags...)
			w.ready(append(append(args, "--"), c.command...)...)
			for range 2 { // the second one meets what was learned of the first
				client := dialLines(t, address)
				if c.greeting != "" {
					if line := client.hears("\r\n"); !strings.HasPrefix(line, c.greeting) {
						t.Fatalf("the server said %q first", line)
					}
				}
				client.say("*1\r\n")
				client.hears(" *1\r\n")
				client.say("PING two words\r\n")
				client.hears(" PING two words\r\n")
			}
			if ports := w.ps("app")[0].Ports; len(ports) != 1 || !strings.HasSuffix(ports[0], "/tcp") {
				t.Errorf("ps shows %q, which does not say that it is tcp", ports)
			}
		})
	}
}

// A port of HTTP stays one, whatever somebody sends there, and whoever is silent at first.
func TestAPortOfHTTPTakesNothingElse(t *testing.T) {
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	w.ready("run", "--name", "app", "-w", "2", "-p", address, "--admin", "off", build(t, filepath.Join("testdata", "portserver")))
	silent := dialLines(t, address) // as browsers open connections ahead
	if status, _ := get(t, "http://"+address+"/"); status != 200 {
		t.Fatalf("status %d", status)
	}
	odd := dialLines(t, address)
	odd.say("BREW pot\r\n")
	odd.hears("400 Bad Request\r\n")
	record := dialLines(t, address) // the first byte of a record of TLS is none
	record.say("\x16GET / HTTP/1.1\r\n\r\n")
	record.hears("400 Bad Request\r\n")
	silent.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	silent.hears("200 OK\r\n")
}

func TestATCPConnectionWaitsForAWorker(t *testing.T) {
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	late := w.write("late.sh", "while [ ! -e ready ]; do sleep 0.05; done; exec "+build(t, filepath.Join("testdata", "lineserver"))+"\n")
	w.start("run", "--name", "app", "-w", "1", "-p", address, "--protocol", "tcp", "--hold", "1m", "--admin", "off", "--", "sh", late)
	var client *lines
	eventually(t, "the port is open", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(patience))
			t.Cleanup(func() { conn.Close() })
			client = &lines{t, conn, bufio.NewReader(conn)}
		}
		return err == nil
	})
	client.say("first\r\n")
	w.write("ready", "")
	client.hears("1 first\r\n")
}

func TestWorkersAreToldWhoATCPConnectionComesFrom(t *testing.T) {
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	w.write("compose.yaml", fmt.Sprintf(`services:
  app:
    command: %s
    ports: ["%s:4000"]
    x-bulsa: {protocol: {"4000": tcp}, send_proxy: v1}
`, build(t, filepath.Join("testdata", "lineserver")), address))
	w.ready("up", "--admin", "off")
	client := dialLines(t, address)
	client.say("hello\r\n")
	_, port, _ := net.SplitHostPort(client.conn.LocalAddr().String())
	_, own, _ := net.SplitHostPort(address)
	client.hears(fmt.Sprintf("1 PROXY TCP4 127.0.0.1 127.0.0.1 %s %s\r\n", port, own))
	client.hears("1 hello\r\n")
}

// A net.Server of a Node worker gets whole connections, with their clients' addresses.
func TestAServerOfNodeThatIsNoHTTPServerGetsItsConnections(t *testing.T) {
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	script := w.write("mail.js", `require('net').createServer((s) => {
  s.on('error', () => {});
  s.write('220 ' + s.remotePort + '\r\n');
  s.on('data', (d) => s.write('250 ' + d));
}).listen(3000)`)
	w.ready("run", "--name", "app", "-w", "2", "-p", address, "--admin", "off", script)
	for range 4 {
		client := dialLines(t, address)
		_, port, _ := net.SplitHostPort(client.conn.LocalAddr().String())
		client.hears("220 " + port + "\r\n")
		client.say("EHLO x\r\n")
		client.hears("250 EHLO x\r\n")
	}
}

func TestTLSIsTakenOffATCPConnection(t *testing.T) {
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	authority := newAuthority(t)
	authority.files(w, "site", "localhost")
	w.write("compose.yaml", fmt.Sprintf(`services:
  app:
    command: %s
    ports: ["%s:4000"]
    x-bulsa: {protocol: tcp, tls: {certificates: [{cert: site.pem, key: site.key}]}}
`, build(t, filepath.Join("testdata", "lineserver")), address))
	w.ready("up", "--admin", "off")
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: authority.pool, ServerName: "localhost", NextProtos: []string{"postgresql"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := &lines{t, conn, bufio.NewReader(conn)}
	client.say("hello\r\n")
	client.hears("1 hello\r\n")
}

func TestNoNewTCPConnectionIsRefusedWhenRandomServersAreKilled(t *testing.T) { killTCPServers(t) }

func TestSoakNoNewTCPConnectionIsRefusedWhenRandomServersAreKilled(t *testing.T) { killTCPServers(t) }

func killTCPServers(t *testing.T) {
	t.Helper()
	t.Parallel()
	n := 60
	if soaks(t) {
		n = 1000
	}
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	w.ready("run", "--name", "app", "-w", "4", "-p", address, "--protocol", "tcp", "--admin", "off", "--", build(t, filepath.Join("testdata", "lineserver")))
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	var answered, refused, cut atomic.Int64
	var firstRefusal atomic.Value
	for range 32 {
		clients.Go(func() {
			for ctx.Err() == nil {
				conn, err := net.DialTimeout("tcp", address, patience)
				if err != nil {
					refused.Add(1)
					firstRefusal.CompareAndSwap(nil, err.Error())
					continue
				}
				_ = conn.SetDeadline(time.Now().Add(patience))
				in := bufio.NewReader(conn)
				for i := range 5 {
					_, err := io.WriteString(conn, "ping\r\n")
					if err == nil {
						_, err = in.ReadString('\n')
					}
					if err != nil {
						if cut.Add(1); i == 0 && os.IsTimeout(err) {
							refused.Add(1)
							firstRefusal.CompareAndSwap(nil, err.Error())
						}
						break
					}
					answered.Add(1)
					time.Sleep(10 * time.Millisecond) // a client's own pace
				}
				conn.Close()
			}
		})
	}
	killRandomWorkers(t, w, n)
	stop()
	clients.Wait()
	t.Logf("%d lines answered, %d connections cut with their server, %d refused (%v)", answered.Load(), cut.Load(), refused.Load(), firstRefusal.Load())
	if refused.Load() > 0 || answered.Load() == 0 {
		t.Errorf("%d new connections were refused or not served", refused.Load())
	}
}

// Each of two ports reaches its own target, in whatever order and whoever listens there.
func TestTwoPortsReachTheirOwnTargets(t *testing.T) {
	w := newWorld(t)
	first, second, target, debug, inspector, app, asked := freePort(t), freePort(t), freePort(t), freePort(t), freePort(t), freePort(t), freePort(t)
	w.write("web.js", "require('http').createServer((q, r) => r.end('the app')).listen(process.env.PORT || "+asked+")")
	w.write("compose.yaml", fmt.Sprintf(`services:
  lines:
    command: %[1]s %[2]s
    ports: ["127.0.0.1:%[3]s:4000", "127.0.0.1:%[4]s:%[2]s"]
  web:
    command: node --inspect=127.0.0.1:%[5]s web.js
    ports: ["127.0.0.1:%[6]s:%[7]s", "127.0.0.1:%[8]s:%[5]s"]
`, build(t, filepath.Join("testdata", "lineserver")), target, first, second, inspector, app, asked, debug))
	w.ready("up", "--admin", "off")
	for _, port := range []string{first, second} {
		client := dialLines(t, "127.0.0.1:"+port)
		client.say("hello\r\n")
		client.hears("1 hello\r\n")
	}
	if _, text := get(t, "http://127.0.0.1:"+app+"/"); text != "the app" {
		t.Errorf("the app's port answers %q", text)
	}
	if _, text := get(t, "http://127.0.0.1:"+debug+"/json/version"); !strings.Contains(text, "node.js") {
		t.Errorf("the inspector's port answers %q", text)
	}
}
