package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// silent is a handler that notes only how the channel ended.
type silent struct {
	down     chan error
	messages chan string
}

func newSilent() *silent {
	return &silent{down: make(chan error, 1), messages: make(chan string, 100)}
}

func (s *silent) Online()                   {}
func (s *silent) Query(a Ask) Grant         { return grantAsAsked(a) }
func (s *silent) Listening(string, Ask)     {}
func (s *silent) Closed(string)             {}
func (s *silent) Disconnecting()            {}
func (s *silent) Message(m json.RawMessage) { s.messages <- string(m) }
func (s *silent) Down(err error)            { s.down <- err }

// testChannel is a channel whose worker is nobody, and never reads.
func testChannel(t *testing.T) *Channel {
	ours, theirs, err := channelPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	s := newSilent()
	go func() {
		for range s.messages {
		}
	}()
	t.Cleanup(func() { close(s.messages) })
	return newChannel(NewPrimary("id"), 1, ours, s)
}

// worker is a worker's side of a channel, played by the test.
type worker struct {
	t    *testing.T
	conn *net.UnixConn
	rest decoder
}

func attach(t *testing.T) (*Channel, *silent, *worker) {
	t.Helper()
	ours, theirs, err := channelPair()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(theirs)
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	s := newSilent()
	c := NewPrimary("id").Attach(1, ours, s)
	t.Cleanup(func() { conn.Close(); c.Close() })
	return c, s, &worker{t: t, conn: conn.(*net.UnixConn), rest: decoder{max: maxFrame}}
}

func (w *worker) say(format string, args ...any) {
	w.t.Helper()
	if _, err := fmt.Fprintf(w.conn, format+"\n", args...); err != nil {
		w.t.Fatal(err)
	}
}

// hear reads one frame and its descriptor (-1: none).
func (w *worker) hear() (m map[string]any, fd int) {
	w.t.Helper()
	var line []byte
	fd = -1
	one, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := w.conn.ReadMsgUnix(one, oob)
		if err != nil || n == 0 {
			w.t.Fatalf("read: %v", err)
		}
		if oobn > 0 {
			scm, _ := unix.ParseSocketControlMessage(oob[:oobn])
			fds, _ := unix.ParseUnixRights(&scm[0])
			fd = fds[0]
		}
		if one[0] == '\n' {
			break
		}
		line = append(line, one[0])
	}
	if err := json.Unmarshal(line, &m); err != nil {
		w.t.Fatal(err)
	}
	if m["cmd"] == "NODE_HANDLE" {
		m = m["msg"].(map[string]any)
	}
	return m, fd
}

func (s *silent) isDown(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.down:
		return err
	case <-time.After(patience):
		t.Fatal("the channel is not down")
		return nil
	}
}

type connected struct {
	conn net.Conn
	err  error
}

func connectLater(ctx context.Context, c *Channel) <-chan connected {
	done := make(chan connected, 1)
	go func() {
		conn, err := c.Connect(ctx, "key")
		done <- connected{conn, err}
	}()
	return done
}

func TestAcceptedConnectionCarriesBytes(t *testing.T) {
	c, _, w := attach(t)
	done := connectLater(within(t), c)
	m, fd := w.hear()
	if m["act"] != "newconn" || m["key"] != "key" || m["bulsa"] != true || fd < 0 {
		t.Fatalf("newconn %v, descriptor %d", m, fd)
	}
	w.say(`{"cmd":"NODE_CLUSTER","ack":%v,"accepted":true,"seq":1}`, m["seq"])
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer got.conn.Close()
	file := os.NewFile(uintptr(fd), "conn")
	defer file.Close()
	io.WriteString(got.conn, "ping")
	buf := make([]byte, 4)
	if _, err := io.ReadFull(file, buf); err != nil || string(buf) != "ping" {
		t.Fatalf("%q, %v", buf, err)
	}
}

func TestRefusedConnection(t *testing.T) {
	c, _, w := attach(t)
	done := connectLater(within(t), c)
	m, fd := w.hear()
	unix.Close(fd)
	w.say(`{"cmd":"NODE_CLUSTER","ack":%v,"accepted":false,"seq":1}`, m["seq"])
	if got := <-done; !errors.Is(got.err, ErrRefused) {
		t.Errorf("error %v", got.err)
	}
}

func TestDeathFailsWhatIsNotAcknowledgedAtOnce(t *testing.T) {
	c, s, w := attach(t)
	var waiting []<-chan connected
	for range 50 {
		waiting = append(waiting, connectLater(within(t), c))
		_, fd := w.hear()
		unix.Close(fd)
	}
	client, _, err := channelPair()
	if err != nil {
		t.Fatal(err)
	}
	passed := make(chan error, 1)
	go func() { passed <- passConn(within(t), c, client) }()
	_, fd := w.hear()
	unix.Close(fd)
	w.conn.Close()
	for _, done := range waiting {
		if got := <-done; !errors.Is(got.err, ErrDown) {
			t.Errorf("error %v", got.err)
		}
	}
	if err := <-passed; !errors.Is(err, ErrDown) || errors.Is(err, ErrUncertain) {
		t.Errorf("Pass: %v", err)
	}
	if err := s.isDown(t); err != nil {
		t.Errorf("Down(%v)", err)
	}
	if _, err := c.Connect(within(t), "key"); !errors.Is(err, ErrDown) {
		t.Errorf("afterwards: %v", err)
	}
}

func passConn(ctx context.Context, c *Channel, conn syscall.Conn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var passed error
	if err := raw.Control(func(fd uintptr) { passed = c.Pass(ctx, "key", fd) }); err != nil {
		return err
	}
	return passed
}

func TestPassThatIsNotAnsweredInTimeIsUncertain(t *testing.T) {
	c, _, w := attach(t)
	client, _, err := channelPair()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	passed := make(chan error, 1)
	go func() { passed <- passConn(ctx, c, client) }()
	_, fd := w.hear()
	defer unix.Close(fd)
	cancel()
	if err := <-passed; !errors.Is(err, ErrUncertain) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestWorkerThatNeverReads(t *testing.T) {
	c, s, _ := attach(t)
	big := strings.Repeat("x", 1<<20)
	var err error
	for i := 0; i < 200 && err == nil; i++ {
		err = c.Send(big)
	}
	if !errors.Is(err, errFull) {
		t.Fatalf("error %v", err)
	}
	before := descriptors(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	for range 20 {
		if _, err := c.Connect(ctx, "key"); err == nil {
			t.Fatal("connected")
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
	c.Close()
	s.isDown(t)
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	return len(entries)
}

func TestWorkerThatAsksWithoutReadingLosesItsChannel(t *testing.T) {
	_, s, w := attach(t)
	data := strings.Repeat("d", 1<<20)
	for i := range 200 {
		if _, err := fmt.Fprintf(w.conn, `{"cmd":"NODE_CLUSTER","act":"queryServer","address":null,"port":%d,"addressType":4,"data":"%s","seq":1}`+"\n", i+1, data); err != nil {
			break
		}
	}
	if err := s.isDown(t); !errors.Is(err, errFull) {
		t.Errorf("Down(%v)", err)
	}
}

func TestGarbageIsIgnored(t *testing.T) {
	_, s, w := attach(t)
	for _, garbage := range []string{
		"", "{", "null", "[]", `"x"`, "\x00\xff", `{"cmd":1}`, `{"cmd":"NODE_CLUSTER"}`, `{"cmd":"NODE_CLUSTER","ack":99,"accepted":"x"}`,
		`{"cmd":"NODE_CLUSTER","act":"queryServer","port":"x"}`, `{"cmd":"NODE_CLUSTER","act":"close","key":"nothing"}`,
		`{"cmd":"NODE_HANDLE"}`, `{"cmd":"NODE_HANDLE","msg":{"cmd":"NODE_HANDLE","msg":{}}}`, `{"cmd":"NODE_BULSA","act":7}`, `{"cmd":"NODE_X"}`,
	} {
		w.say("%s", garbage)
	}
	w.say(`{"cmd":"app"}`)
	for m := range s.messages {
		if m == `{"cmd":"app"}` {
			return
		}
	}
}

func TestTooLongMessageEndsTheChannel(t *testing.T) {
	_, s, w := attach(t)
	chunk := []byte(strings.Repeat("x", 1<<20))
	for range maxFrame>>20 + 2 {
		if _, err := w.conn.Write(chunk); err != nil {
			break
		}
	}
	if err := s.isDown(t); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("Down(%v)", err)
	}
}

func TestHandlesFromTheWorkerAreClosedAndAcknowledged(t *testing.T) {
	_, s, w := attach(t)
	r, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	frame := `{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{"my":"socket"}}` + "\n"
	if _, _, err := w.conn.WriteMsgUnix([]byte(frame), unix.UnixRights(int(wr.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	wr.Close()
	if m, _ := w.hear(); m["cmd"] != "NODE_HANDLE_ACK" {
		t.Errorf("answer %v", m)
	}
	if m := <-s.messages; m != `{"my":"socket"}` {
		t.Errorf("message %s", m)
	}
	if _, err := io.ReadAll(r); err != nil { // ends only when the channel's copy is closed
		t.Error(err)
	}
	r.Close()
}

func TestTheSameServerTwiceIsInUse(t *testing.T) {
	_, _, w := attach(t)
	const ask = `{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"address":null,"port":80,"addressType":4,"fd":null,"data":null,"seq":%d}`
	w.say(ask, 5)
	first, _ := w.hear()
	w.say(ask, 6)
	second, _ := w.hear()
	if first["errno"] != nil || first["ack"] != 5.0 || second["errno"] != -float64(syscall.EADDRINUSE) || second["ack"] != 6.0 {
		t.Errorf("answers %v, %v", first, second)
	}
	w.say(`{"cmd":"NODE_CLUSTER","act":"close","key":%q}`, first["key"])
	w.say(ask, 7)
	if third, _ := w.hear(); third["errno"] != nil {
		t.Errorf("after close: %v", third)
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		c, s, w := attach(t)
		w.say(`{"cmd":"NODE_CLUSTER","act":"online","seq":0}`)
		done := connectLater(within(t), c)
		_, fd := w.hear()
		unix.Close(fd)
		c.Close()
		s.isDown(t)
		if got := <-done; !errors.Is(got.err, ErrDown) {
			t.Fatalf("error %v", got.err)
		}
		w.conn.Close()
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		<-tick.C
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", n, before, buf[:runtime.Stack(buf, true)])
	}
}

func TestARuntimeThatTakesHandlesAloneReadsNothingElseWithThem(t *testing.T) {
	c, _, w := attach(t)
	w.say(`{"cmd":"NODE_BULSA","act":"hello","pid":1,"alone":true}`)
	for !c.alone.Load() {
		time.Sleep(time.Millisecond)
	}
	if err := c.Send(plain{"a": 1}); err != nil {
		t.Fatal(err)
	}
	done := connectLater(within(t), c)
	for sent := 0; sent == 0; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		sent = len(c.passed)
		c.mu.Unlock()
	}
	all, oob := make([]byte, 1000), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := w.conn.ReadMsgUnix(all, oob)
	if err != nil || oobn > 0 || string(all[:n]) != `{"a":1}`+"\n" {
		t.Fatalf("read %q, %d bytes of handles, %v", all[:n], oobn, err)
	}
	m, fd := w.hear()
	if m["act"] != "newconn" || fd < 0 {
		t.Fatalf("then %v with %d", m, fd)
	}
	defer unix.Close(fd)
	w.say(`{"cmd":"NODE_CLUSTER","ack":%v,"accepted":true}`, m["seq"])
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	r.conn.Close()
}
