package proxy

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uring has the kernel do several receives and sends in one system call
// (io_uring(7)). None of them waits: what a socket has not got, or does not take, is
// said at once. A batch is over when run returns.
type uring struct {
	fd      int
	memory  []byte // what is mapped: the queues' places,
	bodies  []byte // and the entries
	entries []uringEntry
	results []uringResult
	inTail  *uint32
	inMask  uint32
	outHead *uint32
	outTail *uint32
	outMask uint32

	size  int     // of a batch, at most
	added int     // in this one
	done  []int32 // what came of each
}

// uringParams is struct io_uring_params.
type uringParams struct {
	entries, results, flags, _, _, features, _ uint32
	_                                          [3]uint32
	in                                         struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	out struct {
		head, tail, mask, entries, overflow, results, flags, _ uint32
		_                                                      uint64
	}
}

// uringEntry is struct io_uring_sqe, as far as receives and sends fill it in.
type uringEntry struct {
	op, flags uint8
	_         uint16
	fd        int32
	_         uint64
	data      uint64
	size      uint32
	message   uint32 // flags as of recv(2) and send(2)
	number    uint64
	_         [3]uint64
}

// uringResult is struct io_uring_cqe.
type uringResult struct {
	number uint64
	value  int32
	_      uint32
}

// From linux/io_uring.h.
const (
	uringSubmitAll  = 1 << 7 // one that fails does not stop those behind it; since Linux 5.18
	uringOneMapping = 1 << 0
	uringGetResults = 1 << 0
	uringEntriesAt  = 0x10000000
	uringSend       = 26
	uringReceive    = 27
	uringNotDone    = int32(-1 << 31)
	entrySize       = int(unsafe.Sizeof(uringEntry{}))
	resultSize      = int(unsafe.Sizeof(uringResult{}))
	wordSize        = 4
)

var errOldUring = errors.New("the kernel's io_uring is older than Linux 5.18")

// newUring fails where io_uring is forbidden, as it is in most containers, or too old.
func newUring(size int) (*uring, error) {
	p := uringParams{flags: uringSubmitAll}
	fd, _, errno := syscall.RawSyscall(unix.SYS_IO_URING_SETUP, uintptr(size), uintptr(unsafe.Pointer(&p)), 0)
	if errno == unix.EINVAL {
		return nil, errOldUring
	}
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r := &uring{fd: int(fd), size: size, done: make([]int32, size)}
	if err := r.mapQueues(&p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *uring) mapQueues(p *uringParams) (err error) {
	if p.features&uringOneMapping == 0 {
		return errOldUring
	}
	size := max(int(p.in.array)+int(p.entries)*wordSize, int(p.out.results)+int(p.results)*resultSize)
	const access, kind = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.memory, err = unix.Mmap(r.fd, 0, size, access, kind); err != nil {
		return fmt.Errorf("cannot map an io_uring: %w", err)
	}
	if r.bodies, err = unix.Mmap(r.fd, uringEntriesAt, int(p.entries)*entrySize, access, kind); err != nil {
		return fmt.Errorf("cannot map an io_uring: %w", err)
	}
	word := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.memory[offset])) }
	r.entries = unsafe.Slice((*uringEntry)(unsafe.Pointer(&r.bodies[0])), p.entries)
	r.results = unsafe.Slice((*uringResult)(unsafe.Pointer(&r.memory[p.out.results])), p.results)
	r.inTail, r.inMask = word(p.in.tail), *word(p.in.mask)
	r.outHead, r.outTail, r.outMask = word(p.out.head), word(p.out.tail), *word(p.out.mask)
	order := unsafe.Slice(word(p.in.array), p.entries)
	for i := range order {
		order[i] = uint32(i)
	}
	return nil
}

func (r *uring) close() {
	for _, m := range [][]byte{r.memory, r.bodies} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	_ = unix.Close(r.fd)
}

// receive adds a receive into p, which must stay where it is until run returns: the
// collector does not see that the kernel holds it. Nobody adds more than size.
func (r *uring) receive(fd int, p []byte) { r.add(uringReceive, fd, p, unix.MSG_DONTWAIT) }

// send adds a send of p, of which the same is true.
func (r *uring) send(fd int, p []byte) { r.add(uringSend, fd, p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) }

func (r *uring) add(op uint8, fd int, p []byte, flags uint32) {
	r.entries[(*r.inTail+uint32(r.added))&r.inMask] = uringEntry{
		op: op, fd: int32(fd), data: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), size: uint32(len(p)),
		message: flags, number: uint64(r.added),
	}
	r.added++
}

// run does all that was added and returns what came of each, in order: a number of
// bytes, a negative error number, or uringNotDone where the kernel had no memory for
// it. The results are good until the next run.
func (r *uring) run() []int32 {
	done := r.done[:r.added]
	for i := range done {
		done[i] = uringNotDone
	}
	tail := *r.inTail
	atomic.StoreUint32(r.inTail, tail+uint32(r.added))
	taken, errno := r.enter(r.added, r.added)
	if errno != 0 {
		taken = 0
	}
	atomic.StoreUint32(r.inTail, tail+uint32(taken)) // nothing is left for the next run
	for left := taken; ; {
		if left -= r.collect(done); left == 0 {
			break
		}
		_, _ = r.enter(0, left) // a signal came between
	}
	r.added = 0
	return done
}

// enter submits so many entries and waits for so many results.
func (r *uring) enter(submit, results int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(results), uringGetResults, 0, 0)
	return int(n), errno
}

// collect takes the results that are there.
func (r *uring) collect(done []int32) (n int) {
	head, tail := *r.outHead, atomic.LoadUint32(r.outTail)
	for ; head != tail; head++ {
		e := &r.results[head&r.outMask]
		done[e.number] = e.value
		n++
	}
	atomic.StoreUint32(r.outHead, head)
	return n
}
