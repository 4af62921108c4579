// Package inspector looks into a live Node process for a moment: it opens the
// inspector with SIGUSR1, speaks its protocol, and closes it again at once.
//
// Node answers also while JavaScript blocks its loop, because its inspector
// runs on a thread of its own and interrupts the code. Native code (pbkdf2Sync,
// spawnSync, a read from a slow disk) cannot be interrupted: what the kernel
// knows about the thread is all that can be told then. Node 18 to 26.
//
// An open inspector lets every process of the machine run code inside the
// program. It is bound to loopback, on a port that the kernel chooses, for as
// long as a look takes; see Open for how it is closed under all circumstances.
package inspector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"time"
)

const (
	// openPatience is how long JavaScript may take to notice that the inspector is
	// asked for. It takes a millisecond or two, and more when the machine is full.
	openPatience = 10 * time.Second
	// askAgain is after how long it is asked for once more: see await.
	askAgain  = 250 * time.Millisecond
	firstLook = time.Millisecond
	lastLook  = 50 * time.Millisecond
	// closePatience is how long the inspector may take to close.
	closePatience = 2 * time.Second
)

// NativeError is about a program that does not react: native code blocks it, or
// it has no time on a processor.
type NativeError struct {
	State string // what the kernel knows of its main thread: "its main thread waits in the kernel's ..."
	Cause error  // nil, or why nobody waits any longer
}

func (e *NativeError) Error() string {
	return "native code blocks it, which cannot be interrupted: " + e.State
}

func (e *NativeError) Unwrap() error { return e.Cause }

// Session is an open inspector. It is used by one goroutine and must be closed.
type Session struct {
	process *process
	conn    *conn
	at      listener
}

// Open opens the inspector of a Node process and connects to it. It sends
// SIGUSR1, of which any program but Node dies, so it makes sure before: see Check.
// The caller knows that the program does not handle SIGUSR1 itself.
//
// When the program is too busy to answer before ctx ends, or within ten seconds,
// the error says what the kernel knows of it. The inspector may then open late,
// when nobody waits for it any more; the returned function, which is not nil in
// that case, waits for this, closes it, and returns when that is done or the
// process has ended, or when its context ends.
func Open(ctx context.Context, pid int) (*Session, func(context.Context), error) {
	p, err := find(pid)
	if err != nil {
		return nil, nil, err
	}
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	before, err := p.listening()
	if err != nil {
		return nil, nil, err
	}
	if call := p.uninterruptible(); call != "" {
		return nil, nil, &NativeError{State: call}
	}
	if err := p.signal(); err != nil {
		return nil, nil, err
	}
	s, err := p.await(ctx, before)
	if err == nil {
		return s, nil, nil
	}
	return nil, func(ctx context.Context) { p.closeLate(ctx, before) }, err
}

// await waits for the inspector to open and connects to it. One that was asked for
// while the last one was still being closed (see ending) may be closed with it, so
// that it is asked for again.
func (p *process) await(ctx context.Context, before map[uint64]listener) (*Session, error) {
	waiting, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	for patience := askAgain; ; patience *= 2 {
		at, err := p.openedWithin(waiting, before, patience)
		switch {
		case err == nil && !at.address.Addr().IsLoopback():
			return nil, p.shut(ctx, at)
		case err == nil:
			if s, err := p.connect(ctx, at); err == nil {
				return s, nil
			}
			_ = wait(waiting, lastLook)
		case !errors.Is(err, context.DeadlineExceeded): // not for want of time
			return nil, p.silent(ctx)
		}
		if waiting.Err() != nil || p.signalAgain() != nil {
			return nil, p.silent(ctx)
		}
	}
}

// shut closes an inspector that others can reach, and says so. It was checked that
// nothing asks for this; no door is left open in any case.
func (p *process) shut(ctx context.Context, at listener) error {
	s, err := p.connect(ctx, listener{inode: at.inode, address: netip.AddrPortFrom(loopbackLike(at.address.Addr()), at.address.Port())})
	if err == nil {
		err = s.Close()
	}
	return errors.Join(fmt.Errorf("its inspector listened on %s, which is not loopback", at.address), err)
}

// openedWithin is opened for a while, whose end is context.DeadlineExceeded.
func (p *process) openedWithin(ctx context.Context, before map[uint64]listener, while time.Duration) (listener, error) {
	ctx, cancel := context.WithTimeout(ctx, while)
	defer cancel()
	return p.opened(ctx, before, lastLook/10)
}

// silent says why the inspector did not open.
func (p *process) silent(ctx context.Context) error {
	if !p.alive() {
		return errors.New("the program has ended")
	}
	return &NativeError{State: p.state(), Cause: ctx.Err()}
}

func loopbackLike(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// connect opens the session that the inspector offers.
func (p *process) connect(ctx context.Context, at listener) (*Session, error) {
	c, err := dial(ctx, at.address)
	if err != nil {
		return nil, err
	}
	return &Session{process: p, conn: c, at: at}, nil
}

// opened waits until the process listens where nobody did before.
func (p *process) opened(ctx context.Context, before map[uint64]listener, slowest time.Duration) (listener, error) {
	pause := firstLook
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		now, err := p.listening()
		if err != nil {
			return listener{}, err
		}
		maps.DeleteFunc(now, func(inode uint64, _ listener) bool { _, known := before[inode]; return known })
		own, err := p.owns(now)
		if err != nil {
			return listener{}, err
		}
		for _, l := range own {
			if isInspector(ctx, l.address) {
				return l, nil
			}
		}
		select {
		case <-ctx.Done():
			return listener{}, ctx.Err()
		case <-timer.C:
			pause = min(pause*3/2, slowest)
			timer.Reset(pause)
		}
	}
}

// isInspector tells the inspector from a server that the program opened meanwhile.
func isInspector(ctx context.Context, at netip.AddrPort) bool {
	_, err := sessionURL(ctx, netip.AddrPortFrom(loopbackOf(at.Addr()), at.Port()))
	return err == nil
}

func loopbackOf(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return loopbackLike(a)
	}
	return a
}

// closeLate closes an inspector that opens after all. One that opens and is closed at
// once, with the last one, may go unseen: then it is asked for again, because nothing
// else would end the wait.
func (p *process) closeLate(ctx context.Context, before map[uint64]listener) {
	for patience := openPatience / 10; ctx.Err() == nil && p.alive(); patience *= 2 {
		at, err := p.openedWithin(ctx, before, patience)
		if err == nil {
			if s, err := p.connect(ctx, at); err == nil && s.Close() == nil {
				return
			}
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) || p.signalAgain() != nil {
			return
		}
	}
}

// ending closes the inspector from inside. Node starts it in three ways at once,
// of which one waits for the loop to turn: while the loop is blocked, the
// inspector would open again after its end. So it is closed again in the next
// turns, which also happens when bulsa is gone by then. The next inspector shall
// get another port.
const ending = `(() => {
  process.debugPort = 0;
  const close = process._debugEnd || process.getBuiltinModule('inspector').close;
  let turns = 3;
  const end = () => {
    close();
    if (turns-- > 0) setImmediate(end);
  };
  end();
})()`

// Close closes the inspector and makes sure that it is closed. Where the program
// does not react within two seconds it returns an error; CloseLate goes on then.
func (s *Session) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	s.end(ctx, s.conn)
	for s.open() && wait(ctx, firstLook) == nil {
		if c, err := dial(ctx, s.at.address); err == nil {
			s.end(ctx, c)
		}
	}
	if s.open() {
		return fmt.Errorf("the inspector of process %d does not close yet: %s", s.process.pid, s.process.state())
	}
	return nil
}

// CloseLate goes on closing until it is done, the process has ended, or ctx ends.
func (s *Session) CloseLate(ctx context.Context) {
	for ctx.Err() == nil && s.Close() != nil {
		_ = wait(ctx, lastLook)
	}
}

// end asks the program to close its inspector. The answer never comes: its
// connection is what gets closed.
func (s *Session) end(ctx context.Context, c *conn) {
	_ = c.call(ctx, "Runtime.evaluate", map[string]any{"expression": ending}, nil)
	c.close()
}

// open reports whether the inspector still listens.
func (s *Session) open() bool {
	if !s.process.alive() {
		return false
	}
	all, err := s.process.listening()
	_, open := all[s.at.inode]
	return err == nil && open
}

// PID of the process that is looked into.
func (s *Session) PID() int { return s.process.pid }

// process is one Node process, told from a later one with the same number.
type process struct {
	pid     int
	started string // clock ticks since boot, as /proc/PID/stat writes them
}

func find(pid int) (*process, error) {
	started, err := startOf(pid)
	if err != nil {
		return nil, fmt.Errorf("process %d is not there: %w", pid, err)
	}
	return &process{pid: pid, started: started}, nil
}

// alive reports whether the process still is the one that was found.
func (p *process) alive() bool {
	now, err := startOf(p.pid)
	return err == nil && now == p.started
}

// check says why a process may not be looked into: it is not Node, it does not
// wait for SIGUSR1, or its command line makes the inspector its user's own.
func (p *process) check() error {
	if err := p.isNode(); err != nil {
		return err
	}
	args, options, err := p.commandLine()
	if err != nil {
		return err
	}
	if why := refusal(args, options); why != "" {
		return errors.New(why)
	}
	return p.waitsForSignal()
}

// signalAgain is signal for a process that may have changed meanwhile. One that cannot
// be interrupted is left alone.
func (p *process) signalAgain() error {
	if p.uninterruptible() != "" {
		return nil
	}
	if err := p.waitsForSignal(); err != nil {
		return err
	}
	return p.signal()
}

// signal asks Node for its inspector.
func (p *process) signal() error {
	if !p.alive() {
		return errors.New("the program has ended")
	}
	proc, err := os.FindProcess(p.pid)
	if err != nil {
		return fmt.Errorf("cannot signal process %d: %w", p.pid, err)
	}
	defer proc.Release()
	if err := proc.Signal(openSignal); err != nil {
		return fmt.Errorf("cannot signal process %d: %w", p.pid, err)
	}
	return nil
}
