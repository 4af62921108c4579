package node

import (
	"bufio"
	"crypto/tls"
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

const hello = `
const http = require('http'), cluster = require('cluster');
process.on('message', (m) => console.log('got', JSON.stringify(m)));
const server = http.createServer((req, res) => {
  const s = req.socket;
  res.end(['hello', s.remoteAddress, s.remotePort, s.remoteFamily].join(' '));
});
server.listen(3000, () => console.log('listens', JSON.stringify(server.address()), 'worker', cluster.isWorker, cluster.worker.id,
  'instance', process.env.NODE_APP_INSTANCE, 'left', Object.keys(process.env).filter((k) => /BULSA|NODE_CH|NODE_UN|NODE_OP/.test(k)).join()));
process.send({ cmd: 'MASTER_ID', worker_id: cluster.worker.id });
process.send({ hello: 1 });
`

func TestWorkerListensAndServes(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, hello)})
		r.until("online")
		key := r.key(":3000")
		r.prints(`listens {"address":"127.0.0.1","family":"IPv4","port":3000} worker true 7 instance 3 left` + " \n")
		r.prints(`got {"cmd":"MASTER_ID","master_id":"the-primary"}`)
		r.until(`message {"hello":1}`)
		conn := r.connect(key)
		for range 3 { // keep-alive
			if _, body := get(t, conn, "/"); !strings.HasPrefix(body, "hello") {
				t.Fatalf("body %q", body)
			}
		}
		if r.channel.PID() != r.cmd.Process.Pid {
			t.Errorf("PID %d, want %d", r.channel.PID(), r.cmd.Process.Pid)
		}
		if err := r.channel.Send(map[string]int{"n": 1}); err != nil {
			t.Error(err)
		}
		r.prints(`got {"n":1}`)
	})
}

func TestDisconnectLetsTheWorkerEnd(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, `
const server = require('http').createServer((req, res) => res.end('bye')).listen(3000);
process.on('internalMessage', (m) => { if (m.act === 'disconnect') process.send('asked'); });`)})
		key := r.key(":3000")
		conn := r.connect(key)
		get(t, conn, "/")
		if err := r.channel.Disconnect(); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		r.until("closed " + key)
		r.until("down")
		r.until("exited")
		if !r.cmd.ProcessState.Success() || r.has("disconnecting") {
			t.Errorf("exit: %v, facts %v", r.cmd.ProcessState, r.facts)
		}
	})
}

func TestAnswersAfterDisconnectCloseTheConnection(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, `
const server = require('http').createServer((req, res) => {
  if (req.url !== '/slow') return res.end('next');
  process.on('internalMessage', (m) => m.act === 'disconnect' && setImmediate(() => res.end('late')));
  process.send('slow');
}).listen(3000);`)})
		conn := r.connect(r.key(":3000"))
		io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		r.until(`message "slow"`)
		r.channel.Disconnect()
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.ContentLength != 4 {
			t.Fatalf("answer %v, %v", resp, err)
		}
		if resp, body := get(t, conn, "/next"); !resp.Close || body != "next" {
			t.Errorf("%q keeps the connection alive", body)
		}
	})
}

func TestWorkerKillIsVoluntary(t *testing.T) {
	for _, call := range []string{"kill", "disconnect"} {
		eachNode(t, func(t *testing.T, binary string) {
			r := start(t, setup{binary: binary, dir: app(t, `
const server = require('http').createServer().listen(3000, () => require('cluster').worker.`+call+`());`)})
			r.until("disconnecting")
			r.until("down")
			r.until("exited")
			if !r.cmd.ProcessState.Success() {
				t.Errorf("exit: %v", r.cmd.ProcessState)
			}
		})
	}
}

func TestAddressesToListenOn(t *testing.T) {
	unixPath := filepath.Join(t.TempDir(), "app.sock")
	cases := []struct{ name, call, address, printed string }{
		{"any port", `listen(0)`, ":40000", `{"address":"127.0.0.1","family":"IPv4","port":40000}`},
		{"IPv6", `listen(3000, '::1')`, "::1:3000", `{"address":"::1","family":"IPv6","port":3000}`},
		{"IPv4", `listen({ port: 3000, host: '127.0.0.1' })`, "127.0.0.1:3000", `{"address":"127.0.0.1","family":"IPv4","port":3000}`},
		{"unix path", `listen('` + unixPath + `')`, unixPath + ":-1", `"` + unixPath + `"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, binary string) {
				r := start(t, setup{binary: binary, dir: app(t, `
const s = require('http').createServer((q, a) => a.end('ok')); s.`+c.call+`; s.on('listening', () => console.log('at', JSON.stringify(s.address())));`),
					answer: func(a Ask) Grant {
						g := grantAsAsked(a)
						if a.Address != "" {
							g.Host = a.Address
						}
						return g
					}})
				if _, body := get(t, r.connect(r.key(c.address)), "/"); body != "ok" {
					t.Errorf("body %q", body)
				}
				r.prints("at " + c.printed)
			})
		})
	}
}

func TestTwoPortsAndAUsedOne(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, `
const http = require('http');
for (const p of [3001, 3002]) http.createServer((q, a) => a.end('port ' + p)).listen(p);
http.createServer().listen(3001).on('error', (e) => console.log('twice', e.code));
http.createServer().listen(3003).on('error', (e) => console.log('used', e.code));`),
			answer: func(a Ask) Grant {
				if a.Port == 3003 {
					return Grant{Errno: syscall.EACCES}
				}
				return grantAsAsked(a)
			}})
		for _, port := range []string{"3001", "3002"} {
			if _, body := get(t, r.connect(r.key(":"+port)), "/"); body != "port "+port {
				t.Errorf("body %q", body)
			}
		}
		r.prints("twice EADDRINUSE")
		r.prints("used EACCES")
	})
}

func TestSharedSocket(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		u, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		r := start(t, setup{binary: binary, dir: app(t, `
require('http').createServer((q, a) => a.end(q.socket.remoteAddress)).listen(+process.env.TCP);
const d = require('dgram').createSocket('udp4'); d.on('message', (m, from) => d.send('echo ' + m, from.port, from.address)); d.bind(3053, '127.0.0.1');`),
			env: []string{fmt.Sprintf("TCP=%d", l.Addr().(*net.TCPAddr).Port)},
			answer: func(a Ask) Grant {
				if a.UDP() {
					return Grant{Shared: descriptor(t, u.(*net.UDPConn)), Host: "127.0.0.1", Port: 3053}
				}
				return Grant{Shared: descriptor(t, l.(*net.TCPListener)), Host: "127.0.0.1", Port: a.Port}
			}})
		r.wait("two listenings", func() bool { return len(r.keys) == 2 })
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); string(body) != "127.0.0.1" {
			t.Errorf("body %q", body)
		}
		udp, err := net.Dial("udp4", u.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		udp.SetDeadline(time.Now().Add(patience))
		io.WriteString(udp, "hi")
		buf := make([]byte, 100)
		if n, err := udp.Read(buf); err != nil || string(buf[:n]) != "echo hi" {
			t.Errorf("datagram %q, %v", buf[:n], err)
		}
	})
}

func descriptor(t *testing.T, c syscall.Conn) (fd uintptr) {
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(f uintptr) { fd = f })
	return fd
}

func TestHTTPSConnectionsArePassedAndTicketsAreShared(t *testing.T) {
	cert, key := certificate(t)
	eachNode(t, func(t *testing.T, binary string) {
		dir := app(t, `
const fs = require('fs');
require('https').createServer({ key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') },
  (q, a) => a.end([q.socket.remoteAddress, q.socket.isSessionReused()].join(' '))).listen(3443);`)
		write(t, dir, "cert.pem", cert)
		write(t, dir, "key.pem", key)
		primary := NewPrimary("p")
		config := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(4), ServerName: "app"}
		for i, want := range []string{"127.0.0.1 false", "127.0.0.1 true"} {
			r := start(t, setup{binary: binary, dir: dir, primary: primary})
			k := r.key(":3443")
			client, server := tcpPair(t)
			if err := passConn(within(t), r.channel, server); err == nil {
				t.Fatal("passed to a wrong key")
			}
			raw, _ := server.SyscallConn()
			var passed error
			raw.Control(func(fd uintptr) { passed = r.channel.Pass(within(t), k, fd) })
			if passed != nil {
				t.Fatal(passed)
			}
			server.Close()
			conn := tls.Client(client, config)
			if _, body := get(t, conn, "/", "Forwarded: for=6.6.6.6"); body != want {
				t.Errorf("worker %d: %q, want %q", i+1, body, want)
			}
			if !r.asks[0].TLS {
				t.Error("the ask does not say that the server speaks TLS")
			}
		}
	})
}

func tcpPair(t *testing.T) (client net.Conn, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	client.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { client.Close(); accepted.Close() })
	return client, accepted.(*net.TCPConn)
}

func TestModules(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		dir := t.TempDir()
		write(t, dir, "package.json", `{"type":"module"}`)
		write(t, dir, "app.js", `
import http from 'node:http'; import cluster from 'node:cluster';
await new Promise((r) => setImmediate(r));
http.createServer((q, a) => a.end('worker ' + cluster.worker.id + q.socket.remoteAddress)).listen(3000);`)
		r := start(t, setup{binary: binary, dir: dir})
		if _, body := get(t, r.connect(r.key(":3000")), "/", "X-Forwarded-For: 6.6.6.6, 192.0.2.1"); body != "worker 7192.0.2.1" {
			t.Errorf("body %q", body)
		}
	})
}

func TestKilledWorkerFailsWaitingConnections(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, `
require('http').createServer((q, a) => { process.kill(process.pid, 'SIGSTOP'); a.end(); }).listen(3000);`)})
		key := r.key(":3000")
		io.WriteString(r.connect(key), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		var waiting []<-chan error
		for range 20 {
			done := make(chan error, 1)
			waiting = append(waiting, done)
			go func() {
				conn, err := r.channel.Connect(within(t), key)
				if err == nil {
					conn.Close()
				}
				done <- err
			}()
		}
		r.cmd.Process.Kill()
		for _, done := range waiting {
			if err := <-done; err != nil && !errors.Is(err, ErrDown) {
				t.Error(err)
			}
		}
		r.until("down")
	})
}

func TestUnknownServerRefuses(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, hello)})
		r.key(":3000")
		if _, err := r.channel.Connect(within(t), "nothing"); !errors.Is(err, ErrRefused) {
			t.Errorf("error %v", err)
		}
	})
}

func TestListenMode(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		socket := filepath.Join(t.TempDir(), "w.sock")
		os.WriteFile(socket, nil, 0o600) // left behind
		r := start(t, setup{binary: binary, mode: "listen", socket: socket, dir: app(t, `
const http = require('http');
const s = http.createServer((q, a) => a.end('one ' + q.socket.remoteAddress)).listen(3000, '0.0.0.0', () => console.log('at', JSON.stringify(s.address())));
http.createServer((q, a) => a.end('two')).listen({ port: '3001' });`)})
		r.until("listening 0.0.0.0:3000")
		r.until("listening :3001")
		r.prints(`at {"address":"0.0.0.0","family":"IPv4","port":3000}`)
		for path, want := range map[string]string{socket: "one 192.0.2.9", socket + ".2": "two"} {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			if _, body := get(t, conn, "/", `Forwarded: for="192.0.2.9:1"`); body != want {
				t.Errorf("body %q, want %q", body, want)
			}
			conn.Close()
		}
		r.channel.Disconnect()
		r.until("exited")
	})
}
