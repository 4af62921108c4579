package process

import (
	"net"
	"testing"
	"time"
)

func at(port int) address { return address{ip: net.IPv4zero, port: port} }

func TestWhatASightingMeans(t *testing.T) {
	const (
		private = 40000
		target  = 3000
	)
	for _, c := range []struct {
		name          string
		watcher       watcher
		sighting      sighting
		after         time.Duration // since the sighting came first
		online, asked bool
		want          verdict
	}{
		{name: "nothing yet", watcher: watcher{publish: true, private: private}},
		{name: "it asked", watcher: watcher{publish: true, private: private}, sighting: sighting{open: []address{at(9999)}}, asked: true, want: verdict{done: true}},
		{name: "its own port, beside another", watcher: watcher{publish: true, private: private},
			sighting: sighting{open: []address{at(9999), at(private)}}, want: verdict{done: true, own: &address{port: private}}},
		{name: "the socket of LISTEN_FDS", watcher: watcher{publish: true, private: private}, sighting: sighting{taken: true}, want: verdict{done: true, taken: true}},
		{name: "the published port at once", watcher: watcher{publish: true, private: private, expected: target},
			sighting: sighting{open: []address{at(target)}}, want: verdict{done: true, own: &address{port: target}}},
		{name: "another port, just opened", watcher: watcher{publish: true, private: private}, sighting: sighting{open: []address{at(8000)}}, after: otherGrace / 2},
		{name: "another port, for long", watcher: watcher{publish: true, private: private},
			sighting: sighting{open: []address{at(8000)}}, after: otherGrace, want: verdict{done: true, own: &address{port: 8000}}},
		{name: "a debugger's port", watcher: watcher{publish: true, private: private, joins: true}, sighting: sighting{open: []address{at(inspectorPort)}}, after: time.Hour},
		{name: "a member that still boots", watcher: watcher{publish: true, joins: true}, sighting: sighting{open: []address{at(8000)}}, after: otherGrace, online: true},
		{name: "one member of several, elsewhere", watcher: watcher{publish: true, joins: true}, sighting: sighting{open: []address{at(8000)}}, after: joinedGrace, online: true,
			want: verdict{remark: "listens on port 8000 by itself, and has not asked bulsa for a port yet"}},
		{name: "the only member, elsewhere", watcher: watcher{publish: true, joins: true, alone: true}, sighting: sighting{open: []address{at(8000)}}, after: joinedGrace, online: true,
			want: verdict{done: true, own: &address{port: 8000}}},
		{name: "nothing published, just begun", watcher: watcher{joins: true}, online: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, now := c.watcher, time.Now()
			w.began = now
			first := w.decide(now, c.sighting, c.online, c.asked)
			got := first
			if c.after > 0 {
				if first.done {
					t.Fatalf("decided at once: %+v", first)
				}
				got = w.decide(now.Add(c.after), c.sighting, c.online, c.asked)
			}
			if got.done != c.want.done || got.taken != c.want.taken || got.settled != c.want.settled || got.remark != c.want.remark || portOf(got) != portOf(c.want) {
				t.Errorf("verdict = %+v; want %+v", got, c.want)
			}
		})
	}
}

func portOf(v verdict) int {
	if v.own == nil {
		return 0
	}
	return v.own.port
}

func TestWhoeverPublishesNothingSettles(t *testing.T) {
	w := watcher{joins: true, began: time.Now()}
	w.decide(w.began, sighting{}, true, false)
	if v := w.decide(w.began.Add(joinedGrace+time.Millisecond), sighting{}, true, false); !v.settled || !v.done {
		t.Errorf("verdict = %+v; want settled", v)
	}
}

func TestEachOutOfMemoryKillIsBlamedOnce(t *testing.T) {
	var c oomCounter
	for n, step := range []struct {
		before, now int
		want        bool
	}{
		{before: 5, now: 5, want: false}, // killed by somebody else
		{before: 5, now: 6, want: true},
		{before: 5, now: 6, want: false}, // that one was the run before
		{before: 5, now: 7, want: true},
		{before: 9, now: 9, want: false}, // others died since; it had no part in it
	} {
		if got := c.blame(step.before, step.now); got != step.want {
			t.Errorf("step %d: %v; want %v", n, got, step.want)
		}
	}
}

func TestAPortIsNotGivenTwiceInAMinute(t *testing.T) {
	var p portPicker
	now := time.Now()
	seen := map[int]bool{}
	for range 200 {
		port, err := p.pick(now)
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d was given twice", port)
		}
		seen[port] = true
	}
	if _, err := p.pick(now.Add(2 * portRest)); err != nil || len(p.given) != 1 {
		t.Errorf("%d ports are remembered after their time, %v", len(p.given), err)
	}
}

func TestAPortIsReadFromTheLineThatNamesIt(t *testing.T) {
	for line, want := range map[string]int{
		"Error: listen EADDRINUSE: address already in use :::3000":           3000,
		"listen tcp :8000: bind: address already in use":                     8000,
		"2026/01/02 08:25:21 listen tcp :8000: bind: address already in use": 8000,
		"08:25:21.123 OSError: [Errno 98] Address already in use":            0,
		"listen tcp 127.0.0.1:8080: bind: address already in use":            8080,
		"OSError: [Errno 98] Address already in use":                         0,
		"Error: listen EADDRINUSE: address already in use 0.0.0.0:65000":     65000,
	} {
		if got := portIn(line); got != want || !inUse(line) {
			t.Errorf("%q: port %d, in use %v; want %d", line, got, inUse(line), want)
		}
	}
}

func TestTheLastOfTwoValuesStays(t *testing.T) {
	got := unique([]string{"A=1", "B=2"}, []string{"A=3"})
	if len(got) != 2 || got[0] != "A=3" || got[1] != "B=2" {
		t.Errorf("unique = %q", got)
	}
	if v, ok := variable([]string{"A=1", "A=3"}, "A"); v != "3" || !ok {
		t.Errorf("variable = %q, %v", v, ok)
	}
}

func TestAWrapperHasTimeToStartItsApplication(t *testing.T) {
	w := watcher{joins: true, nodeRuns: true, began: time.Now()}
	late := w.began.Add(joinedGrace + time.Second)
	if v := w.decide(late, sighting{}, false, false); v.settled {
		t.Error("settled before the application has joined")
	}
	w.decide(late, sighting{}, true, false)
	if v := w.decide(late.Add(joinedGrace/2), sighting{}, true, false); v.settled {
		t.Error("settled when the application has just joined")
	}
	if v := w.decide(late.Add(joinedGrace+time.Second), sighting{}, true, false); !v.settled {
		t.Error("not settled though the application asks for nothing")
	}
}
