package proxy

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ticker wakes a busy loop every busyWait. With it the loop can wait without a time
// limit, which the kernel would set up and take down anew for each wait.
type ticker struct {
	fd      int // timerfd
	running bool
	calm    bool // nothing else has come since the last tick
}

func newTicker() (ticker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return ticker{}, fmt.Errorf("timerfd_create: %w", err)
	}
	return ticker{fd: fd}, nil
}

// run starts or stops the ticks.
func (t *ticker) run(on bool) {
	if t.running == on {
		return
	}
	var every unix.ItimerSpec
	if on {
		every.Interval = unix.NsecToTimespec(int64(busyWait))
		every.Value = every.Interval
	}
	if unix.TimerfdSettime(t.fd, 0, &every, nil) == nil {
		t.running = on
	}
}

// ticked has the next tick come: the kernel waits for the last one to be read.
func (t *ticker) ticked() {
	var count [8]byte
	_, _ = unix.Read(t.fd, count[:])
}

// alone says whether these events are a tick, and all that has come since the one
// before it: then the ticks stop.
func (t *ticker) alone(events []unix.EpollEvent) bool {
	calm := t.calm
	t.calm = len(events) == 1 && int(events[0].Fd) == t.fd
	if !calm || !t.calm {
		return false
	}
	t.run(false)
	return true
}
