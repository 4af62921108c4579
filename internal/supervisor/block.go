package supervisor

import (
	"context"
	"fmt"
	"time"

	"bulsa/internal/eventloop"
	"bulsa/internal/worker"
)

const (
	// blockedAfter is how long a loop has not turned when that is worth an event.
	blockedAfter = 250 * time.Millisecond
	// worthAnEnd is how long an announced block must have been to have its end announced, too.
	worthAnEnd = time.Second
	// The first events of a worker's blocks are so far apart, each next one twice
	// as far, until it has been well for quietAfter.
	firstPause = 10 * time.Second
	lastPause  = 5 * time.Minute
	quietAfter = 10 * time.Minute
	// diagnosisTime bounds how long it may take to find out what blocks a loop.
	diagnosisTime = 3 * time.Second
	// lastLook is how long before its worker is given up a blocked loop is looked into
	// for the last time; half of the time that it has where that is less.
	lastLook = 2 * time.Second
)

// block is an iteration that takes too long.
type block struct {
	lasted    time.Duration // as far as it was seen; 0: there is none
	announced bool
	awaited   bool // its announcement waits for a diagnosis
	examined  bool // it was looked into for the last time
	where     string
}

// alarm limits the events about one worker's blocks.
type alarm struct {
	last  time.Time
	pause time.Duration
}

// sound reports whether an event may be given now.
func (a *alarm) sound(now time.Time) bool {
	if since := now.Sub(a.last); since < a.pause && !a.last.IsZero() {
		return false
	} else if since > quietAfter {
		a.pause = 0
	}
	a.last, a.pause = now, min(max(2*a.pause, firstPause), lastPause)
	return true
}

// finding is what a diagnosis has found, about which block, and whether it was
// made because the worker goes.
type finding struct {
	about *watched
	last  bool
	what  eventloop.Diagnosis
	err   error
}

// watchBlock follows the iteration at hand of a worker that has requests.
func (lw *loopWatch) watchBlock(x *watched, now time.Time) {
	switch x.worker.State {
	case worker.Ready, worker.Unhealthy, worker.Draining:
	default:
		return
	}
	running := min(x.running, now.Sub(x.boots))
	if running < blockedAfter {
		lw.unblock(x)
		return
	}
	if x.block.lasted == 0 && x.alarm.sound(now) {
		x.block.announced = true
		if x.block.awaited = lw.diagnose(x, false); !x.block.awaited {
			lw.announce(x, "")
		}
	}
	if counts := x.worker.blocks; counts != nil {
		if x.block.lasted == 0 {
			counts.number.Add(1)
		}
		counts.time.Add(int64(max(0, running-x.block.lasted)))
	}
	x.block.lasted = running
	if limit := lw.seen.Service.LoopLimit(); limit > 0 && !x.sick && !x.debugged() {
		lw.lose(x, limit)
	}
}

// lose gives the worker up when its loop has been silent for the limit, not later:
// somebody waits inside. What blocks it is looked for before that.
func (lw *loopWatch) lose(x *watched, limit time.Duration) {
	if !x.block.examined && x.block.lasted >= limit-min(lastLook, limit/2) && !x.diagnosing {
		x.block.examined = true
		lw.diagnose(x, true)
	}
	if x.block.lasted >= limit {
		x.sick = true
		x.put(worker.LoopSilent, fmt.Sprintf("event loop silent for %s%s", seconds(x.block.lasted), in(x.block.where)))
	}
}

// unblock notes that the loop turns again. A diagnosis that is under way still
// announces the block that it is about.
func (lw *loopWatch) unblock(x *watched) {
	switch b := x.block; {
	case b.awaited:
		x.over = b.lasted
	case b.announced && b.lasted >= worthAnEnd:
		lw.emit(x, "unblocked", fmt.Sprintf("its event loop was blocked for %s%s", seconds(b.lasted), in(b.where)))
	}
	x.block = block{}
	if x.sick {
		x.sick = false
		x.put(worker.LoopAlive, "event loop turns again")
	}
}

func (lw *loopWatch) announce(x *watched, where string) {
	if x.over > 0 {
		lw.emit(x, "blocked", fmt.Sprintf("its event loop was blocked for %s%s", seconds(x.over), in(where)))
		x.over = 0
		return
	}
	x.block.where, x.block.awaited = where, false
	lw.emit(x, "blocked", fmt.Sprintf("its event loop is blocked, for %s so far%s", seconds(max(x.running, x.block.lasted)), in(where)))
}

// diagnose begins to find out what blocks the loop, unless nobody can: false.
func (lw *loopWatch) diagnose(x *watched, last bool) bool {
	doctor := lw.service.supervisor.doctor
	answer, _, ok := x.loop.Heard()
	if doctor == nil || !ok || answer.Asked.IsZero() || answer.Inspected || x.diagnosing {
		return false
	}
	x.diagnosing = true
	s := eventloop.Subject{
		Service: lw.service.name, Worker: x.worker.Name, Instance: string(x.worker.instance),
		PID: x.loop.PID(), For: x.running, Last: last,
	}
	lw.working.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), diagnosisTime)
		defer cancel()
		what, err := doctor.Diagnose(ctx, s)
		select {
		case lw.findings <- finding{about: x, last: last, what: what, err: err}:
		case <-lw.service.done:
		}
	})
	return true
}

// learn takes what a diagnosis found. The block may be over meanwhile.
func (lw *loopWatch) learn(f finding) {
	x, where := f.about, ""
	x.diagnosing = false
	if f.err == nil {
		where = f.what.Where()
	}
	switch {
	case !f.last:
		lw.announce(x, where)
	case x.block.examined && where != "":
		x.block.where = where
	}
}

// debugged reports whether a user holds the worker in a debugger: it is silent
// on purpose then.
func (x *watched) debugged() bool {
	answer, _, ok := x.loop.Heard()
	return ok && answer.Inspected
}

func (x *watched) put(kind worker.FactKind, cause string) {
	x.worker.inbox.put(message{fact: worker.Fact{Kind: kind, Instance: string(x.worker.instance), Cause: cause}})
}

func (lw *loopWatch) emit(x *watched, kind, message string) {
	lw.service.emit(x.worker.Name, kind, message, "")
}

func in(where string) string {
	if where == "" {
		return ""
	}
	return " in " + where
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
