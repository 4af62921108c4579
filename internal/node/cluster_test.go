package node

import (
	"syscall"
	"testing"
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
			_, body := get(t, conn, "/", `Forwarded: for=6.6.6.6, for="192.0.2.7:4711";proto=http`)
			if body != "hello 192.0.2.7 4711 IPv4" {
				t.Fatalf("body %q", body)
			}
		}
		if r.channel.PID() != r.cmd.Process.Pid {
			t.Errorf("PID %d, want %d", r.channel.PID(), r.cmd.Process.Pid)
		}
		if err := r.channel.Disconnect(); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		r.until("down")
		r.until("exited")
		if !r.cmd.ProcessState.Success() {
			t.Errorf("exit: %v", r.cmd.ProcessState)
		}
	})
}

func TestUsedPortReachesTheApplication(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary,
			dir:    app(t, `require('net').createServer().listen(3000).on('error', (e) => console.log('error', e.code, e.syscall))`),
			answer: func(Ask) Grant { return Grant{Errno: syscall.EADDRINUSE} }})
		r.prints("error EADDRINUSE")
	})
}
