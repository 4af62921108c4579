package logs

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// maxPending is how many bytes may wait for the disk, for each worker. A flood
// beyond it is dropped, because the worker must not wait.
const maxPending = 1 << 20

// idleBuffer is the largest buffer that is kept between two bursts.
const idleBuffer = 64 << 10

// calm is how long nothing must have been lost before a loss counts as over.
const calm = time.Second

// sink takes the lines of one worker from its captures, hands them to the
// followers at once and to the disk in batches, from a goroutine of its own.
type sink struct {
	worker    string
	files     *rotation
	followers *atomic.Pointer[[]*follower]
	notices   *noticeboard

	wake    chan struct{}      // something waits
	flushes chan chan struct{} // closed when all that waited is written
	closing chan struct{}
	done    chan struct{}

	mu      sync.Mutex
	current *run
	clock   clock
	limits  Limits
	pending []byte // encoded lines
	volume  Volume
	dropped int  // lines that found no room behind pending
	losing  bool // a loss was told and is not over

	// Owned by the writing goroutine.
	spare   []byte
	lost    int       // lines missing at the end of the file, not yet remarked there
	total   int       // lines lost since the loss began
	because string    // of the latest loss
	gap     time.Time // stamp of the remark about lost
	latest  time.Time // when something was lost last
}

func newSink(worker string, files *rotation, followers *atomic.Pointer[[]*follower], n *noticeboard) *sink {
	return &sink{
		worker:    worker,
		files:     files,
		followers: followers,
		notices:   n,
		wake:      make(chan struct{}, 1),
		flushes:   make(chan chan struct{}),
		closing:   make(chan struct{}),
		done:      make(chan struct{}),
	}
}

// begin returns the run that a new capture of stream belongs to: the current
// one, or the next when this one has such a stream already.
func (k *sink) begin(stream string, l Limits) *run {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.limits = l
	if k.current == nil || k.current.has[stream] {
		k.current = &run{has: map[string]bool{}}
	}
	k.current.has[stream] = true
	return k.current
}

// append takes whole lines of one stream; the last one may miss its end, and is
// a piece of a longer line when partial.
func (k *sink) append(r *run, stream string, lines []byte, partial bool) {
	k.mu.Lock()
	now := time.Now()
	followers := *k.followers.Load()
	before := k.dropped
	k.volume.Bytes += uint64(len(lines))
	for len(lines) > 0 {
		var text []byte
		text, lines, _ = bytes.Cut(lines, []byte{'\n'})
		at := k.clock.tick(now)
		k.keep(at, letter(stream, partial), text)
		r.note(stream, text)
		if len(followers) > 0 {
			publish(followers, Line{At: at, Worker: k.worker, Stream: stream, Partial: partial}, text)
		}
	}
	begins := k.dropped > before && !k.losing
	k.losing = k.losing || begins
	k.mu.Unlock()

	if begins {
		k.tell(tooFast)
	}
	k.nudge()
}

const tooFast = "it writes faster than the disk takes them"

// keep queues one encoded line for the disk, or counts it as dropped. Caller holds k.mu.
func (k *sink) keep(at time.Time, letter byte, text []byte) {
	if k.dropped > 0 || len(k.pending)+len(text)+stampLength+4 > maxPending {
		k.volume.Lost++
		k.dropped++ // also what would fit, once something is missing: the remark stands where the gap is
		return
	}
	k.pending = appendLine(k.pending, at, letter, text)
}

func (k *sink) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// last is the most telling line of the current run.
func (k *sink) last() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return ""
	}
	return k.current.last()
}

// flush waits until what was appended is written, for at most patience.
func (k *sink) flush(patience time.Duration) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	reply := make(chan struct{})
	select {
	case k.flushes <- reply:
	case <-k.done:
		return
	case <-timeout.C:
		return
	}
	select {
	case <-reply:
	case <-timeout.C:
	}
}

// end writes the rest and closes the file; done tells when.
func (k *sink) end() { close(k.closing) }

// write is the goroutine that owns the files.
func (k *sink) write() {
	defer close(k.done)
	defer k.files.close()
	quiet := time.NewTimer(calm)
	defer quiet.Stop()
	for {
		select {
		case <-k.wake:
			k.batch()
		case reply := <-k.flushes:
			k.batch()
			close(reply)
		case <-quiet.C:
			k.settle()
		case <-k.closing:
			k.batch()
			k.settle()
			return
		}
		if k.total > 0 {
			quiet.Reset(max(calm-time.Since(k.latest), 0))
		}
	}
}

// batch writes what waits, after a remark where lines are missing.
func (k *sink) batch() {
	k.mu.Lock()
	lines, dropped, limits := k.pending, k.dropped, k.limits
	end := k.clock.tick(time.Now()) // later than these lines, earlier than the next
	k.pending, k.dropped = k.spare[:0], 0
	k.mu.Unlock()

	if unwritten, err := k.put(lines, limits); err != nil {
		k.lose(unwritten, err.Error(), end)
	}
	if dropped > 0 {
		k.lose(dropped, tooFast, end)
	}
	if cap(lines) > idleBuffer && len(lines) < idleBuffer {
		lines = nil
	}
	k.spare = lines
}

// put writes lines to the disk, and returns how many it did not take.
func (k *sink) put(lines []byte, limits Limits) (unwritten int, err error) {
	if len(lines) > 0 {
		err = k.remark(limits)
	}
	for len(lines) > 0 && err == nil {
		var n int
		n, err = k.files.write(lines, limits)
		lines = lines[n:]
	}
	return bytes.Count(lines, newline), err
}

// remark says in the file that lines are missing at its end.
func (k *sink) remark(limits Limits) error {
	if k.lost == 0 {
		return nil
	}
	text := fmt.Sprintf("%d lines lost: %s", k.lost, k.because)
	line := appendLine(nil, k.gap, remarkLetter, []byte(text))
	if _, err := k.files.write(line, limits); err != nil {
		return err
	}
	k.lost = 0
	return nil
}

// lose counts lost lines, and says so when that begins.
func (k *sink) lose(lines int, because string, at time.Time) {
	k.lost += lines
	k.total += lines
	k.because, k.gap, k.latest = because, at, time.Now()
	k.mu.Lock()
	begins := !k.losing
	k.losing = true
	k.mu.Unlock()
	if begins {
		k.tell(because)
	}
}

func (k *sink) tell(because string) {
	k.notices.post(k.worker, fmt.Sprintf("log lines of %s are being lost: %s; the service itself is not affected", k.worker, because))
}

// settle ends a loss once nothing was lost for a while and the file says what is missing.
func (k *sink) settle() {
	if k.total == 0 {
		return
	}
	k.mu.Lock()
	limits := k.limits
	k.mu.Unlock()
	if err := k.remark(limits); err != nil {
		k.because, k.latest = err.Error(), time.Now()
		return
	}
	k.mu.Lock()
	k.losing = false
	k.mu.Unlock()
	k.notices.post(k.worker, fmt.Sprintf("the log of %s is complete again, after %d lost lines", k.worker, k.total))
	k.total = 0
}
