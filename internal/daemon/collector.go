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
	// is alive (many clients at once), it is twice that.
	usualMemory = 128 << 20

	// idleMemory is how much free memory is kept for a while, and calmLooks how long:
	// looks at each of which there was that much. Then it goes back to the system.
	idleMemory = 32 << 20
	calmLooks  = 10
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
	free uint64 // held from the system, and used for nothing
	calm int    // looks in a row at which too much was free
}

func (m *memory) look() {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(samples)
	m.live, m.free = samples[0].Value.Uint64(), samples[1].Value.Uint64()+samples[2].Value.Uint64()
	if m.calm++; m.free <= max(idleMemory, 2*m.live) {
		m.calm = 0
	}
}

// limit is for debug.SetMemoryLimit: the collector works harder when that much is used.
func (m *memory) limit() int64 {
	return int64(min(max(usualMemory, 2*m.live), math.MaxInt64))
}

// excessive says that free memory goes back to the system, once.
func (m *memory) excessive() bool {
	if m.calm < calmLooks {
		return false
	}
	m.calm = 0
	return true
}
