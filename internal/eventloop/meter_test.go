package eventloop

import (
	"testing"
	"time"
)

var start = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// look feeds a meter with a look every step ms until end.
func look(m *Meter, from, end, step int, reading func(ms int) Reading) {
	for ms := from; ms <= end; ms += step {
		m.Look(at(ms), reading(ms))
	}
}

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if got < want-tolerance || got > want+tolerance {
		t.Errorf("%s is %g, want %g", what, got, want)
	}
}

func TestAnIdleLoopHasNoTicks(t *testing.T) {
	var m Meter
	look(&m, 0, 1000, 20, func(ms int) Reading {
		return Reading{Polling: true, Iterations: 7, Idle: time.Duration(ms) * time.Millisecond, Handles: 1}
	})
	f := m.Second(at(1000))
	if f.Source != Outside || f.Frequency != 0 || f.TickMean >= 0 || f.Utilization != 0 || f.Latency.Max != 0 || f.Blocked != 0 || f.Handles != 1 {
		t.Errorf("figures: %+v", f)
	}
}

// A loop with a 2 ms iteration every 10 ms.
func TestRatesComeFromCountersAndLatencyFromWhatWasSeen(t *testing.T) {
	var m Meter
	look(&m, 0, 1000, 1, func(n int) Reading {
		r := Reading{Iterations: uint64(n/10) + 1, Idle: ms(float64(n / 10 * 8)), Polling: n%10 >= 2}
		if r.Polling {
			r.Idle += ms(float64(n%10 - 2))
		} else {
			r.Running = ms(float64(n % 10))
		}
		return r
	})
	f := m.Second(at(1000))
	near(t, "frequency", f.Frequency, 100, 1)
	near(t, "utilization", f.Utilization, 0.2, 0.01)
	near(t, "mean tick", f.TickMean.Seconds(), 0.002, 0.0001)
	if f.Latency.P50 != 0 || f.Latency.P99 != ms(1) || f.TickMax < ms(2) {
		t.Errorf("figures: %+v", f)
	}
}

func TestABlockedLoopIsSeenWhileItIsBlocked(t *testing.T) {
	var m Meter
	look(&m, 0, 400, 20, func(n int) Reading {
		if n < 100 {
			return Reading{Polling: true, Iterations: 1, Idle: ms(float64(n))}
		}
		return Reading{Iterations: 2, Idle: ms(100), Running: ms(float64(n - 100))}
	})
	if got := m.Running(at(405)); got != ms(305) {
		t.Errorf("running for %v", got)
	}
	f := m.Second(at(400))
	if f.Blocked != ms(300) || f.TickMax != ms(300) || f.Latency.Max != ms(300) {
		t.Errorf("figures: %+v", f)
	}
	near(t, "utilization", f.Utilization, 0.75, 0.01)
}

// setTimeout moves the loop's clock forward in the middle of an iteration.
func TestCodeThatSetsTimersDoesNotLookYounger(t *testing.T) {
	var m Meter
	look(&m, 0, 300, 20, func(n int) Reading { return Reading{Iterations: 2, Idle: ms(1), Running: ms(float64(min(n, 100)))} })
	if got := m.Running(at(300)); got < ms(290) {
		t.Errorf("running for %v", got)
	}
	m.Look(at(320), Reading{Iterations: 3, Idle: ms(1), Running: ms(5)})
	if got := m.Running(at(320)); got != ms(5) {
		t.Errorf("another iteration has been running for %v", got)
	}
}

func TestASuspendedProcessIsFoundByItsSilence(t *testing.T) {
	var m Meter
	idle := Reading{Polling: true, Iterations: 1, Idle: ms(10)}
	m.Look(at(0), idle)
	m.Hear(at(100), Answer{}, at(0))
	if got := m.Running(at(100)); got != 0 {
		t.Errorf("a question of 100 ms makes it silent for %v", got)
	}
	if got := m.Running(at(600)); got != ms(600) {
		t.Errorf("silent for %v", got)
	}
}

func TestAnswersAloneGiveWhatTheyCan(t *testing.T) {
	var m Meter
	m.Hear(at(10), Answer{At: at(10), RoundTrip: ms(3), Asked: at(7), Iterations: 100, Idle: ms(1000), Active: ms(500)}, time.Time{})
	m.Second(at(10))
	m.Hear(at(1010), Answer{At: at(1010), RoundTrip: ms(5), Asked: at(1005), Iterations: 150, Idle: ms(1700), Active: ms(800), Handles: 3}, time.Time{})
	f := m.Second(at(1010))
	if f.Source != Ping || f.WorkLatency >= 0 || f.Threads >= 0 || f.Handles != 3 || f.Latency.Max != ms(5) || f.TickMean != ms(6) {
		t.Errorf("figures: %+v", f)
	}
	near(t, "utilization", f.Utilization, 0.3, 0.001)
	near(t, "frequency", f.Frequency, 50, 0.001)
	m.Hear(at(1500), Answer{At: at(1010)}, at(1200))
	if got := m.Running(at(1500)); got != ms(300) {
		t.Errorf("unanswered for %v", got)
	}
}

// Forty tasks on four threads, each of 10 ms: the last one waits for 90 ms.
func TestTheWaitForAThreadIsFollowedInTheQueue(t *testing.T) {
	var m Meter
	for n := 0; n <= 120; n += 5 {
		left := max(0, 36-n/10*4)
		queue := make([]uint64, left)
		for i := range queue {
			queue[i] = uint64(1000 + 36 - left + i)
		}
		m.Look(at(n), Reading{Polling: true, Idle: ms(float64(n)), Pool: Pool{Threads: 4, Busy: 4, Counted: true, Queue: queue}})
	}
	f := m.Second(at(120))
	near(t, "work latency", f.WorkLatency.Seconds(), 0.090, 0.006)
	if f.Queued != 0 || f.Threads != 4 {
		t.Errorf("figures: %+v", f)
	}
}

func TestATaskAtAnOldAddressIsAnotherOne(t *testing.T) {
	var f task
	f.follow(at(0), []uint64{1, 2, 3})
	if _, left := f.follow(at(10), []uint64{2, 3}); left {
		t.Error("the task is still there")
	}
	if wait, left := f.follow(at(20), []uint64{7, 8, 3}); !left || wait != ms(15) {
		t.Errorf("another task is behind others: left %v after %v", left, wait)
	}
}

func TestAnIdleApplicationIsNotAsked(t *testing.T) {
	var m Meter
	m.Look(at(0), Reading{Polling: true, Iterations: 10, Idle: ms(1)})
	if m.Idled() {
		t.Error("it was never asked")
	}
	m.Hear(at(5), Answer{At: at(5), Asked: at(3), Iterations: 11}, time.Time{})
	m.Look(at(1000), Reading{Polling: true, Iterations: 12, Idle: ms(900)})
	if !m.Idled() {
		t.Error("its loop turned for the answer alone")
	}
	m.Look(at(2000), Reading{Polling: true, Iterations: 32, Idle: ms(1900)})
	if m.Idled() {
		t.Error("its loop has turned twenty times")
	}
}

func TestQuantilesAreRightToAQuarter(t *testing.T) {
	var h histogram
	for n := 1; n <= 1000; n++ {
		h.add(at(n), ms(float64(n)), time.Millisecond)
	}
	for q, want := range map[float64]float64{0.5: 0.5, 0.99: 0.99} {
		near(t, "quantile", h.quantile(q).Seconds(), want, want/4)
	}
	if h.max() != time.Second {
		t.Errorf("max %v", h.max())
	}
	h.add(at(30_000), ms(1), time.Millisecond)
	if h.max() != ms(1) || h.quantile(0.99) > ms(1) {
		t.Errorf("after ten seconds: max %v", h.max())
	}
}

func TestOneLoopThatStandsOutIsSilent(t *testing.T) {
	for _, c := range []struct {
		name string
		pool []State
		want string
	}{
		{"nothing runs", []State{{}, {}}, "--"},
		{"one hangs", []State{{Running: ms(201), Latency: ms(100)}, {}, {}, {Running: ms(150)}}, "x---"},
		{"two of four hang", []State{{Running: ms(300), Latency: ms(200)}, {Running: ms(300), Latency: ms(200)}, {}, {}}, "xx--"},
		{"all hang", []State{{Running: ms(900), Latency: ms(200)}, {Running: ms(900), Latency: ms(200)}}, "xx"},
		{"all are busy", []State{{Running: ms(400), Latency: ms(150)}, {Running: ms(100), Latency: ms(150)}, {Running: ms(550), Latency: ms(150)}}, "---"},
		{"one hangs among busy ones", []State{{Running: ms(700), Latency: ms(150)}, {Running: ms(100), Latency: ms(150)}, {Latency: ms(150)}}, "x--"},
		{"it was silent and is still late", []State{{Running: ms(150), Silent: true}, {}}, "x-"},
		{"it has turned", []State{{Running: ms(20), Silent: true}, {}}, "--"},
	} {
		Judge(c.pool)
		got := ""
		for _, s := range c.pool {
			if s.Silent {
				got += "x"
			} else {
				got += "-"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	Judge(nil)
}
