package libuv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"bulsa/internal/eventloop"
)

const (
	// maxQueue is how many waiting tasks are counted: each takes a system call.
	maxQueue = 512
	// walkShare bounds what counting them costs: a walk is followed by a pause of so
	// many times its length.
	walkShare = 50
	// near is how far apart variables may lie that are read in one piece: a piece
	// costs more than some hundred bytes.
	near = 0x800
)

// Reader reads the main loop of one process. One goroutine uses it.
type Reader struct {
	pid    int
	layout layout
	base   uint64 // where the program is loaded, on top of its addresses
	fields uint64 // address of internal_fields
	clock  clock

	loop    []byte // uv_loop_t up to its time
	inner   []byte // internal_fields
	threads []byte
	idle    []byte
	waiting []byte // the queue's next and prev
	into    []unix.Iovec
	from    []unix.RemoteIovec

	queue []uint64
	rest  time.Duration // when the next walk along the queue is due, CLOCK_MONOTONIC
	step  [8]byte
	one   []unix.Iovec       // into step
	next  []unix.RemoteIovec // of the queue
}

// Open prepares to read the process's loop. It may take a tenth of a second.
func (c *Catalog) Open(pid int) (*Reader, error) {
	program := fmt.Sprintf("/proc/%d/exe", pid)
	l, err := c.layoutOf(program)
	if err != nil {
		return nil, err
	}
	r := &Reader{pid: pid, layout: l}
	if !l.Fixed {
		if r.base, err = loadedAt(pid); err != nil {
			return nil, err
		}
	}
	if r.clock, err = newClock(); err != nil {
		return nil, unknown("%v", err)
	}
	r.prepare(near)
	if r.fields, err = r.pointer(r.base + l.Loop + offInternal); err != nil {
		return nil, unknown("%v", err)
	}
	if r.fields == 0 || r.fields%8 != 0 {
		return nil, unknown("its loop is not set up")
	}
	r.from[0].Base = uintptr(r.fields)
	if _, err := r.Look(); err != nil {
		return nil, unknown("%v", err)
	}
	return r, nil
}

// prepare lists what one look reads, so that it is one system call. Variables
// that lie within a span of so many bytes are read in one piece.
func (r *Reader) prepare(span uint64) {
	l := r.layout
	r.one, r.next = []unix.Iovec{{Base: &r.step[0]}}, []unix.RemoteIovec{{Len: len(r.step)}}
	r.one[0].SetLen(len(r.step))
	r.into, r.from = nil, nil
	r.inner = r.piece(0, sizeFields)
	parts := []part{{&r.loop, l.Loop, l.Time + 8}}
	if l.Queue != 0 {
		parts = append(parts, part{&r.threads, l.Threads, 4}, part{&r.idle, l.Idle, 4}, part{&r.waiting, l.Queue, 16})
	}
	low, high := parts[0].address, uint64(0)
	for _, p := range parts {
		low, high = min(low, p.address), max(high, p.address+p.size)
	}
	if high-low > span {
		for _, p := range parts {
			*p.bytes = r.piece(r.base+p.address, p.size)
		}
		return
	}
	all := r.piece(r.base+low, high-low)
	for _, p := range parts {
		*p.bytes = all[p.address-low:][:p.size]
	}
}

// part is a variable of the program, and where a look leaves its bytes.
type part struct {
	bytes         *[]byte
	address, size uint64
}

// piece adds bytes at an address of the process to what a look reads.
func (r *Reader) piece(address, size uint64) []byte {
	b := make([]byte, size)
	into := unix.Iovec{Base: &b[0]}
	into.SetLen(len(b))
	r.into = append(r.into, into)
	r.from = append(r.from, unix.RemoteIovec{Base: uintptr(address), Len: len(b)})
	return b
}

// Look reads the loop once: one system call, and now and then one more for each
// task that waits for the thread pool. It allocates nothing. An error means that the
// process has ended or that its memory may not be read.
func (r *Reader) Look() (eventloop.Reading, error) {
	if err := r.fetch(r.into, r.from); err != nil {
		return eventloop.Reading{}, err
	}
	now := r.clock.now()
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if u64(r.loop[offInternal:]) != r.fields {
		return eventloop.Reading{}, errors.New("its loop has changed")
	}
	l := r.layout
	entry, idle := u64(r.inner[oldOffEntry:]), u64(r.inner[oldOffIdle:])
	read := eventloop.Reading{
		Handles: int(u32(r.loop[offHandles:])), Requests: int(u32(r.loop[offRequests:])),
		Timers: int(u32(r.loop[l.Time-backTimers:])),
		Clock:  time.Duration(u64(r.loop[l.Time:])) * time.Millisecond,
	}
	if read.Clock > now+slack {
		return eventloop.Reading{}, errors.New("its clock is ahead of the system's")
	}
	if l.Counts {
		entry, idle = u64(r.inner[offEntry:]), u64(r.inner[offIdle:])
		read.Iterations, read.Events = u64(r.inner[offCount:]), u64(r.inner[offEvents:])
	}
	read.Idle = time.Duration(idle)
	if read.Polling = entry != 0; read.Polling {
		read.Idle += max(now-time.Duration(entry), 0)
	} else {
		read.Running = max(now-read.Clock, 0)
	}
	if l.Queue != 0 {
		read.Pool = r.lookAtPool(now)
	}
	return read, nil
}

// lookAtPool reads the pool's state, and who waits for it unless it did so lately.
func (r *Reader) lookAtPool(now time.Duration) eventloop.Pool {
	threads, idle := binary.LittleEndian.Uint32(r.threads), binary.LittleEndian.Uint32(r.idle)
	if threads == 0 || threads > 1024 || idle > threads { // 1024: libuv's MAX_THREADPOOL_SIZE
		return eventloop.Pool{}
	}
	p := eventloop.Pool{Threads: int(threads), Busy: int(threads - idle)}
	head, first := r.base+r.layout.Queue, binary.LittleEndian.Uint64(r.waiting)
	switch {
	case first == head:
		p.Counted = true
	case now >= r.rest:
		p.Queue, p.Counted = r.walk(head, first), true
		end := r.clock.now()
		r.rest = end + walkShare*(end-now)
	}
	return p
}

// walk follows the list of waiting tasks. It changes while it is read: a step
// that leads nowhere ends the walk.
func (r *Reader) walk(head, at uint64) []uint64 {
	r.queue = r.queue[:0]
	for at != head && at != 0 && len(r.queue) < maxQueue {
		r.queue = append(r.queue, at)
		next, err := r.pointer(at)
		if err != nil {
			break
		}
		at = next
	}
	return r.queue
}

func (r *Reader) pointer(address uint64) (uint64, error) {
	r.next[0].Base = uintptr(address)
	err := r.fetch(r.one, r.next)
	return binary.LittleEndian.Uint64(r.step[:]), err
}

func (r *Reader) fetch(into []unix.Iovec, from []unix.RemoteIovec) error {
	n, err := unix.ProcessVMReadv(r.pid, into, from, 0)
	want := 0
	for _, f := range from {
		want += f.Len
	}
	switch {
	case err != nil:
		return fmt.Errorf("its memory cannot be read: %w", err)
	case n != want:
		return errors.New("its memory cannot be read: a part of it is not mapped")
	}
	return nil
}

// clock is the one that libuv uses, CLOCK_MONOTONIC. Go's time goes by it, too,
// but has no system call for each reading.
type clock struct {
	then  time.Time
	value time.Duration // at that time
}

// newClock sets it by the closest of some readings: between the two clocks of a
// reading something else may run.
func newClock() (c clock, err error) {
	closest := time.Duration(math.MaxInt64)
	for range 10 {
		var now unix.Timespec
		then := time.Now()
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return c, err
		}
		if apart := time.Since(then); apart < closest {
			c, closest = clock{then, time.Duration(now.Nano())}, apart
		}
	}
	return c, nil
}

func (c clock) now() time.Duration { return c.value + time.Since(c.then) }

// loadedAt is where a position-independent program lies: the first mapping of
// it, which is that of its beginning, proc_pid_maps(5).
func loadedAt(pid int) (uint64, error) {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return 0, unknown("%v", err)
	}
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, unknown("%v", err)
	}
	defer maps.Close()
	lines := bufio.NewScanner(io.LimitReader(maps, 1<<20))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[2] != "00000000" || fields[5] != program {
			continue
		}
		start, _, _ := strings.Cut(fields[0], "-")
		return strconv.ParseUint(start, 16, 64)
	}
	return 0, unknown("its program is not mapped")
}
