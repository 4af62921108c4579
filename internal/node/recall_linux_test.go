package node

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// blocking is an app whose loop /block blocks until the file that it names exists.
const blocking = `
const fs = require('fs');
const cell = new Int32Array(new SharedArrayBuffer(4));
require('http').createServer((q, a) => {
  console.log('got ' + q.url);
  if (q.url.startsWith('/block')) {
    fs.writeSync(1, 'blocked\n');
    while (!fs.existsSync(q.url.slice(6))) Atomics.wait(cell, 0, 0, 5);
  }
  a.end('done ' + q.url);
}).listen(3000);`

func TestARequestIsRecalledFromABlockedWorker(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, blocking)})
		key := r.key(":3000")
		recalled, blocker := r.connect(key), r.connect(key)
		get(t, recalled, "/first")

		release := filepath.Join(t.TempDir(), "go")
		if _, err := io.WriteString(blocker, "GET /block"+release+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r.prints("blocked")
		const request = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
		if _, err := io.WriteString(recalled, request); err != nil {
			t.Fatal(err)
		}
		if n := recalled.(*upstream).Recall(len(request)); n != len(request) {
			t.Fatalf("%d of %d bytes came back", n, len(request))
		}
		if n := blocker.(*upstream).Recall(100); n != 0 {
			t.Errorf("%d bytes came back that the worker has read", n)
		}
		if err := os.WriteFile(release, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		// The connection is as good as before, and the worker knows nothing of it.
		if _, body := get(t, recalled, "/third"); body != "done /third" {
			t.Errorf("body %q", body)
		}
		r.prints("got /third")
		r.mu.Lock()
		defer r.mu.Unlock()
		if text := r.output.String(); strings.Contains(text, "/second") {
			t.Errorf("the worker got the request that was recalled: %s", text)
		}
	})
}

func TestNothingIsRecalledFromAWorkerThatIsGone(t *testing.T) {
	r := start(t, setup{binary: "node", dir: app(t, blocking)})
	conn := r.connect(r.key(":3000"))
	get(t, conn, "/first")
	r.cmd.Process.Kill()
	r.until("exited")
	if n := conn.(*upstream).Recall(10); n != 0 {
		t.Errorf("%d bytes came back", n)
	}
}
