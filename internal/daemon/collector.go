package daemon

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// collectorPercent lets the heap grow to five times what is alive before it is
	// collected. What is alive is a few megabytes; at Go's default the collector
	// would run many times a second under load, and health checks would begin later.
	collectorPercent = 400

	// usualMemory is what bulsa may use before it collects sooner than that. Where more
	// is alive (many clients at once), garbage may be as much again.
	usualMemory = 128 << 20

	// idleMemory is what the heap may hold for as long as it likes, used or not. After
	// calmLooks at more than that, all is collected and what is free goes back to the
	// system; where that does not help, the next time comes twice as late, up to mostLooks.
	idleMemory = 64 << 20
	calmLooks  = 10
	mostLooks  = 600
)

// TuneCollector sets the garbage collector for a program that lives long with
// little memory. $GOGC, where it is set, decides instead.
func TuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
}

// keepMemorySmall follows what is alive, until ctx ends: a heap that may grow to five
// times a flood of garbage, and stays so, is a harm that outlives its cause.
// $GOMEMLIMIT, where it is set, decides instead of the limit.
func keepMemorySmall(ctx context.Context) {
	looks := time.NewTicker(time.Second)
	defer looks.Stop()
	limited := os.Getenv("GOMEMLIMIT") == ""
	var m memory
	for {
		m.look()
		if limited {
			debug.SetMemoryLimit(m.limit())
		}
		if m.excessive() {
			debug.FreeOSMemory()
		}
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		}
	}
}

// memory is what the runtime says of its heap.
type memory struct {
	live uint64 // found alive by the last collection
	held uint64 // by the heap, used or free
	rest uint64 // no heap: stacks of many goroutines, and the runtime's own
	late int    // looks in a row at which too much was held
	wait int    // how many of them are borne; 0: calmLooks
}

func (m *memory) look() {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	m.live, m.held = value(0), value(1)+value(2)+value(5)
	m.rest = value(3) - min(value(3), value(4)+m.held)
	if m.late++; m.held <= idleMemory {
		m.late, m.wait = 0, calmLooks
	}
}

// limit is for debug.SetMemoryLimit: the collector works harder when that much is used,
// stacks included. Collecting does not make those smaller, so they are no part of what
// is to be kept small: a limit below them would have it run without end.
func (m *memory) limit() int64 {
	return int64(min(max(usualMemory, m.rest+max(usualMemory/2, 2*m.live)), math.MaxInt64))
}

// excessive says that free memory goes back to the system, once.
func (m *memory) excessive() bool {
	m.wait = max(m.wait, calmLooks)
	if m.late < m.wait {
		return false
	}
	m.late, m.wait = 0, min(2*m.wait, mostLooks)
	return true
}
