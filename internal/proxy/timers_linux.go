package proxy

import "time"

const (
	tick   = 4 * time.Millisecond
	spokes = 2048 // one turn takes 8 s
)

// wheel knows when each connection is to be looked at. An entry is never later
// than its deadline, but may be too early: a deadline that moves away stays where
// it is, and is put on when its time comes. Setting one therefore costs a
// comparison in most cases, and no request pays for a timer.
type wheel struct {
	slots [spokes]*sock
	at    int64 // ticks that have been looked at
	size  int
}

// timer is a connection's place in the wheel.
type timer struct {
	next, prev *sock
	slot       int32
	placed     bool
	deadline   int64 // ns of the loop's clock; 0: none
	look       int64 // the tick at which it is looked at
}

// set gives s a deadline; 0: none.
func (w *wheel) set(s *sock, deadline int64) {
	s.deadline = deadline
	if deadline == 0 || s.placed && s.look <= ticks(deadline) {
		return
	}
	w.remove(s)
	w.place(s)
}

func ticks(ns int64) int64 { return ns/int64(tick) + 1 }

func (w *wheel) place(s *sock) {
	s.look = min(max(ticks(s.deadline), w.at+1), w.at+spokes-1)
	s.slot, s.placed = int32(s.look%spokes), true
	s.prev, s.next = nil, w.slots[s.slot]
	if s.next != nil {
		s.next.prev = s
	}
	w.slots[s.slot] = s
	w.size++
}

func (w *wheel) remove(s *sock) {
	if !s.placed {
		return
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		w.slots[s.slot] = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.next, s.prev, s.placed = nil, nil, false
	w.size--
}

// turn goes on to now and calls late for each whose deadline has passed.
func (w *wheel) turn(now int64, late func(*sock)) {
	to := now / int64(tick)
	if w.size == 0 {
		w.at = to
		return
	}
	if to-w.at > spokes {
		w.at = to - spokes
	}
	for w.at < to {
		w.at++
		w.lookAt(int(w.at%spokes), now, late)
	}
}

// lookAt takes its slot's entries off first: late may place some of them anew.
func (w *wheel) lookAt(slot int, now int64, late func(*sock)) {
	for s := w.slots[slot]; s != nil; s = w.slots[slot] {
		w.remove(s)
		switch {
		case s.deadline == 0:
		case s.deadline > now:
			w.place(s)
		default:
			s.deadline = 0
			late(s)
		}
	}
}

// next is how long until something has to be looked at, at most so long.
func (w *wheel) next(now int64, most time.Duration) time.Duration {
	if w.size == 0 {
		return most
	}
	for at := w.at + 1; at < w.at+spokes; at++ {
		d := time.Duration(at*int64(tick) - now)
		if d >= most {
			break
		}
		if w.slots[at%spokes] != nil {
			return max(d, 0)
		}
	}
	return most
}
