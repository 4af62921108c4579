package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"

	"bulsa/internal/proxy/h1"
)

const (
	// longBody is from how much of a body on it goes from socket to socket through
	// a pipe, within the kernel: for less, copying through the loop's buffer costs
	// no more.
	longBody = 256 << 10
	pipeSize = 1 << 20 // what /proc/sys/fs/pipe-max-size lets everybody have
	maxPipes = 16      // that a loop keeps for later
)

// pipe carries a part of a long body. held is how much is in it.
type pipe struct {
	r, w int
	size int
	held int
}

// takePipe is nil where there is none to be had; then bodies are copied.
func (l *loop) takePipe() *pipe {
	if n := len(l.pipes); n > 0 {
		p := l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		return p
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return nil
	}
	p := &pipe{r: fds[0], w: fds[1], size: pipeSize}
	if _, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize); err != nil {
		p.size = 64 << 10 // pipe(7)
	}
	return p
}

func (l *loop) givePipe(p *pipe) {
	if p == nil {
		return
	}
	if p.held > 0 || len(l.pipes) >= maxPipes || l.over {
		p.close()
		return
	}
	l.pipes = append(l.pipes, p)
}

func (p *pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

func (p *pipe) empty() bool { return p == nil || p.held == 0 }

// fill takes up to most bytes from a socket.
func (p *pipe) fill(s *sock, most int64) (int, syscall.Errno) {
	n, errno := splice(s.fd, p.w, int(min(most, int64(p.size))), 0)
	if errno == unix.EAGAIN {
		s.ready = false
	}
	p.held += n
	return n, errno
}

// drain gives what it holds to a socket, until that is full: a splice that a signal
// has cut short (the runtime sends many) takes only a part, and a socket that was
// never full would not tell when it can take the rest. more: more will follow soon.
func (p *pipe) drain(fd int, more bool) (drained int, _ syscall.Errno) {
	flags := 0
	if more {
		flags = unix.SPLICE_F_MORE
	}
	for p.held > 0 {
		n, errno := splice(p.r, fd, p.held, flags)
		switch {
		case errno == unix.EAGAIN:
			return drained, 0
		case errno != 0:
			return drained, errno
		}
		p.held -= n
		drained += n
	}
	return drained, 0
}

func splice(from, to, n, flags int) (int, syscall.Errno) {
	flags |= unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK
	r, _, errno := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), uintptr(flags))
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}

// pipesAnswer says whether what is left of the answer goes through a pipe.
func (t *transaction) pipesAnswer() bool {
	return t.state == transactionAnswering && t.from == h1.ByLength && (t.downstream.pipe != nil || t.owed >= longBody)
}

// pourAnswer moves a part of a long answer to the client; like hearWorker otherwise.
func (l *loop) pourAnswer(t *transaction) bool {
	g, k := t.downstream, t.upstream
	n, errno := g.pipe.fill(&k.sock, t.owed)
	switch {
	case errno == unix.EAGAIN:
		return false
	case n == 0:
		l.upstreamEnded(k, errno)
		return false
	}
	t.owed -= int64(n)
	t.given += int64(n)
	if _, errno := g.pipe.drain(g.fd, n == g.pipe.size && t.owed > 0); errno != 0 {
		l.desert(t)
		return false
	}
	if !g.pipe.empty() {
		g.writeBy, g.tookAt = l.after(g.patience()), l.clock
		l.arm(&g.sock)
		g.remind(l)
	}
	if t.owed == 0 {
		l.finish(t) // what is in the pipe still goes out
	}
	return true
}

// pipesBody says whether what is left of the request goes through a pipe.
func (t *transaction) pipesBody() bool {
	return t.pipe != nil || t.body == h1.ByLength && t.left >= longBody && t.upstream != nil && t.forgotten
}

// pourBody moves a part of a long request to the worker; like readBody otherwise.
func (l *loop) pourBody(t *transaction) bool {
	g := t.downstream
	n, errno := t.pipe.fill(&g.sock, t.left)
	switch {
	case errno == unix.EAGAIN:
		return false
	case n == 0:
		l.desert(t)
		return false
	}
	t.left -= int64(n)
	t.complete = t.left == 0
	if l.tooSlow(t, n) {
		return false
	}
	l.pushRequest(t)
	return true
}

// drainBody sends what the pipe holds of a request.
func (l *loop) drainBody(t *transaction) {
	if t.pipe.empty() || t.mute {
		return
	}
	if _, errno := t.pipe.drain(t.upstream.fd, t.pipe.held == t.pipe.size && !t.complete); errno != 0 {
		l.mute(t)
	}
}
