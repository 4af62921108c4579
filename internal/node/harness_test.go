package node

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const patience = 60 * time.Second

// eachNode runs a test with the node on PATH and with every binary in
// BULSA_TEST_NODES.
func eachNode(t *testing.T, test func(t *testing.T, binary string)) {
	t.Helper()
	binary, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not on PATH")
	}
	binaries := []string{binary}
	for _, b := range filepath.SplitList(os.Getenv("BULSA_TEST_NODES")) {
		if b != "" {
			binaries = append(binaries, b)
		}
	}
	for _, b := range binaries {
		out, err := exec.Command(b, "--version").Output()
		if err != nil {
			t.Fatalf("%s --version: %v", b, err)
		}
		t.Run(strings.TrimSpace(string(out)), func(t *testing.T) { test(t, b) })
	}
}

// rig is one worker under test.
type rig struct {
	t       *testing.T
	channel *Channel // of the process that joined last
	all     []*Channel
	cmd     *exec.Cmd
	exited  chan struct{}

	mu     sync.Mutex
	facts  []string
	keys   map[string]string // address asked for -> key
	asks   []Ask
	output bytes.Buffer
	notify chan struct{}
	answer func(Ask) Grant
}

type setup struct {
	primary *Primary
	binary  string
	mode    string
	args    []string // after node; files are relative to dir
	command []string // instead of node args
	env     []string
	dir     string
	socket  string
	port    int // what Node programs are told as PORT
	answer  func(Ask) Grant
	loop    bool // its loop may be asked
}

func grantAsAsked(a Ask) Grant {
	port := a.Port
	if port == 0 {
		port = 40000 + a.Index
	}
	return Grant{Host: "127.0.0.1", Port: port}
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// app writes a program and returns its folder.
func app(t *testing.T, source string) string {
	dir := t.TempDir()
	write(t, dir, "app.js", source)
	return dir
}

func environment(binary string, extra []string) []string {
	env := []string{"PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "NODE_NO_WARNINGS=1"}
	return append(env, extra...)
}

func start(t *testing.T, s setup) *rig {
	t.Helper()
	preloads := filepath.Join(t.TempDir(), `pre "load"`)
	if err := os.Mkdir(preloads, 0o700); err != nil {
		t.Fatal(err)
	}
	preload, err := WritePreload(preloads)
	if err != nil {
		t.Fatal(err)
	}
	if s.command == nil {
		if s.args == nil {
			s.args = []string{"app.js"}
		}
		s.command = append([]string{s.binary}, s.args...)
	}
	env := environment(s.binary, s.env)
	command, err := Resolve(s.command, s.dir, env)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := OpenGate(filepath.Join(preloads, "j"))
	if err != nil {
		t.Fatal(err)
	}
	prepared, conn, err := Prepare(command, s.mode, PrepareOptions{
		ID: 7, Instance: 3, Env: env, Preload: preload, Gate: gate.Path(), Port: s.port, Socket: s.socket, Loop: s.loop})
	if err != nil {
		t.Fatal(err)
	}
	if s.primary == nil {
		s.primary = NewPrimary("the-primary")
	}
	if s.answer == nil {
		s.answer = grantAsAsked
	}
	r := &rig{t: t, exited: make(chan struct{}), keys: map[string]string{}, notify: make(chan struct{}, 1), answer: s.answer}
	r.run(prepared, env)
	if conn != nil {
		r.attach(s.primary, conn)
	}
	admitted := make(chan struct{})
	go func() {
		defer close(admitted)
		gate.Admit(func(conn *net.UnixConn) { r.attach(s.primary, conn) })
	}()
	t.Cleanup(func() {
		gate.Close()
		<-admitted
		r.end()
	})
	return r
}

func (r *rig) attach(p *Primary, conn *net.UnixConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.channel = p.Attach(7, conn, r)
	r.all = append(r.all, r.channel)
}

func (r *rig) run(s Start, env []string) {
	r.cmd = exec.Command(s.Args[0], s.Args[1:]...)
	r.cmd.Dir, r.cmd.Env = s.Dir, append(env, s.Env...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for fd, f := range s.FDs {
		for len(r.cmd.ExtraFiles) < fd-2 {
			r.cmd.ExtraFiles = append(r.cmd.ExtraFiles, nil)
		}
		r.cmd.ExtraFiles[fd-3] = f
	}
	out := &recorder{rig: r}
	r.cmd.Stdout, r.cmd.Stderr = out, out
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	for _, f := range s.FDs {
		f.Close()
	}
	go func() {
		r.cmd.Wait()
		close(r.exited)
		r.note("exited")
	}()
}

type recorder struct{ rig *rig }

func (w *recorder) Write(p []byte) (int, error) {
	w.rig.mu.Lock()
	w.rig.output.Write(p)
	w.rig.mu.Unlock()
	w.rig.poke()
	return len(p), nil
}

func (r *rig) end() {
	syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	<-r.exited
	for _, c := range r.all {
		c.Close()
	}
	r.wait("down", func() bool {
		downs := 0
		for _, f := range r.facts {
			if f == "down" {
				downs++
			}
		}
		return downs == len(r.all)
	})
	if r.t.Failed() {
		r.t.Logf("facts: %v\noutput:\n%s", r.facts, r.output.String())
	}
}

func (r *rig) poke() {
	select {
	case r.notify <- struct{}{}:
	default:
	}
}

func (r *rig) note(format string, args ...any) {
	r.mu.Lock()
	r.facts = append(r.facts, fmt.Sprintf(format, args...))
	r.mu.Unlock()
	r.poke()
}

func (r *rig) Online() { r.note("online") }

func (r *rig) Query(a Ask) Grant {
	r.mu.Lock()
	r.asks = append(r.asks, a)
	r.mu.Unlock()
	return r.answer(a)
}

func (r *rig) Listening(key string, a Ask) {
	r.mu.Lock()
	r.keys[fmt.Sprintf("%s:%d", a.Address, a.Port)] = key
	r.mu.Unlock()
	r.note("listening %s:%d", a.Address, a.Port)
}
func (r *rig) Closed(key string)         { r.note("closed %s", key) }
func (r *rig) Disconnecting()            { r.note("disconnecting") }
func (r *rig) Message(m json.RawMessage) { r.note("message %s", m) }
func (r *rig) Down(err error) {
	if err != nil {
		r.note("down: %v", err)
	}
	r.note("down")
}

// wait waits until ok, called with mu held, is true.
func (r *rig) wait(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		done := ok()
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-r.notify:
		case <-deadline:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("%s: nothing of that kind after %v; facts: %v; output:\n%s", what, patience, r.facts, r.output.String())
		}
	}
}

func (r *rig) until(fact string) {
	r.t.Helper()
	r.wait(fact, func() bool {
		for _, f := range r.facts {
			if f == fact {
				return true
			}
		}
		return false
	})
}

func (r *rig) prints(text string) {
	r.t.Helper()
	r.wait("output "+text, func() bool { return strings.Contains(r.output.String(), text) })
}

func (r *rig) has(fact string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.facts {
		if f == fact {
			return true
		}
	}
	return false
}

// key waits until the worker listens on address (host:port as asked).
func (r *rig) key(address string) string {
	r.t.Helper()
	r.until("listening " + address)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[address]
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (r *rig) connect(key string) net.Conn {
	r.t.Helper()
	conn, err := r.channel.Connect(within(r.t), key)
	if err != nil {
		r.t.Fatalf("Connect: %v", err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// get sends one request and returns the answer's body.
func get(t *testing.T, conn net.Conn, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	head := "GET " + path + " HTTP/1.1\r\nHost: test\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	if _, err := conn.Write([]byte(head + "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	if resp.StatusCode != http.StatusSwitchingProtocols {
		if _, err := body.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	return resp, body.String()
}

// certificate returns a self-signed certificate and its key, in PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"app"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}
