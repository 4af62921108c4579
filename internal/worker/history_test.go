package worker

import (
	"math/rand/v2"
	"testing"
	"time"
)

// observer plays the caller of a machine and checks every promise.
type observer struct {
	t         *testing.T
	m         Machine
	live      string    // the run that exists
	published bool      // it is in rotation
	checking  bool      // it is being checked
	asked     time.Time // when it was asked to end
	forced    bool
	trace     []Fact
}

func (o *observer) step(now time.Time, f Fact) {
	o.trace = append(o.trace, f)
	before, restarts := o.m.State(), o.m.Restarts()
	if f.Kind == Exited && f.Instance == o.live {
		o.live, o.published, o.checking = "", false, false
	}
	if f.Kind == Checked && f.Instance == o.live {
		o.checking = false
	}
	o.forced = f.Kind == ForceStop || o.m.Silent() || f.Kind == LoopSilent && f.Instance == o.live // no signal is heard
	for _, e := range o.m.Step(now, f) {
		o.carryOut(now, e)
	}
	if o.published != (o.m.State() == Ready) {
		o.fail("published is %v in state %v", o.published, o.m.State())
	}
	if o.m.State().Runs() != (o.live != "") || o.m.Instance() != o.live {
		o.fail("%v with the run %q, the machine says %q", o.m.State(), o.live, o.m.Instance())
	}
	if o.m.State() != before && o.m.Cause() == "" {
		o.fail("%v became %v without a cause", before, o.m.State())
	}
	if o.m.State() == Backoff && before != Backoff {
		o.checkDelay(o.m.Wake().Sub(now))
	}
	if o.m.Restarts() < restarts {
		o.fail("restarts went back")
	}
}

func (o *observer) carryOut(now time.Time, e Effect) {
	if e.Cause == "" {
		o.fail("effect %d without a cause", e.Kind)
	}
	switch e.Kind {
	case Launch:
		if o.live != "" {
			o.fail("%s is launched while %s lives", e.Instance, o.live)
		}
		o.live = e.Instance
	case Check:
		if o.checking {
			o.fail("two checks at a time")
		}
		o.checking = true
	case Publish:
		o.published = true
	case Unpublish:
		o.published = false
	case Terminate:
		o.asked = now
	case Kill:
		if !o.forced && now.Sub(o.asked) < o.m.config.Stop.Grace {
			o.fail("killed %v after the signal", now.Sub(o.asked))
		}
	}
	if e.Kind != Done && e.Kind != Unpublish && e.Instance != o.live {
		o.fail("effect %d for %q while %q lives", e.Kind, e.Instance, o.live)
	}
}

func (o *observer) checkDelay(d time.Duration) {
	policy, last := o.m.config.Restart, o.trace[len(o.trace)-1].Exit
	if d == 0 && (onPurpose(last) || last.Busy) {
		return // nothing to wait for
	}
	low := time.Duration(float64(policy.Delay) * (1 - policy.Jitter))
	high := time.Duration(float64(policy.MaxDelay) * (1 + policy.Jitter))
	if d < low || d > high {
		o.fail("restart delay %v", d)
	}
}

func (o *observer) fail(format string, args ...any) {
	o.t.Helper()
	o.t.Errorf(format, args...)
	o.t.Fatalf("after %d facts, the last one %+v", len(o.trace), o.trace[len(o.trace)-1])
}

// TestRandomHistoriesKeepThePromises plays 20,000 lives of 60 facts, a quarter
// of them about earlier runs: published exactly when ready, never two live
// runs, no kill inside the grace, one check at a time, every effect and state
// with its cause, delays within bounds, and always a way forward.
func TestRandomHistoriesKeepThePromises(t *testing.T) {
	for seed := range uint64(20_000) {
		random := rand.New(rand.NewPCG(seed, 3))
		o := &observer{t: t, m: New("app.1", randomConfig(random), seed)}
		now := epoch
		for range 60 {
			now = now.Add(time.Duration(random.Int64N(int64(8 * time.Second))))
			if wake := o.m.Wake(); !wake.IsZero() && wake.Before(now) {
				o.step(now, Fact{Kind: Wake})
				if again := o.m.Wake(); !again.IsZero() && again.Before(now) {
					o.fail("still waiting for %v at %v in state %v", again, now, o.m.State())
				}
			}
			o.step(now, randomFact(random, o))
		}
	}
}

func randomConfig(random *rand.Rand) Config {
	c := defaults()
	if random.IntN(3) > 0 {
		c = checkedConfig()
		c.Health.Retries = 1 + random.IntN(3)
		c.Health.Passes = random.IntN(3)
		c.Health.Interval = time.Duration(1+random.IntN(5)) * time.Second
		c.Health.StartPeriod = time.Duration(random.IntN(20)) * time.Second
		c.Health.Replace = random.IntN(2) == 0
	}
	c.Restart.Budget = random.IntN(6)
	c.Stop.Drain = time.Duration(random.IntN(10)) * time.Second
	c.Stop.Grace = time.Duration(random.IntN(10)) * time.Second
	return c
}

// randomFact favors facts that let a life go on; a quarter is stale.
func randomFact(random *rand.Rand, o *observer) Fact {
	often := [...]FactKind{Start, Start, Listening, Listening, Checked, Checked, Checked, Exited, Exited, Drain, Idle, Unusable, Wake, Wake, ForceStop, LoopSilent, LoopAlive, Reported, Needed}
	f := Fact{Kind: often[random.IntN(len(often))], Instance: o.live}
	if random.IntN(4) == 0 {
		f.Instance = "app.1#0"
	}
	switch f.Kind {
	case Checked:
		f.Result.ExitCode = random.IntN(2)
	case Reported:
		f.Report = Report{Status: []string{"starting", "healthy", "unhealthy"}[random.IntN(3)], Streak: random.IntN(4)}
	case Exited:
		f.Exit = Exit{Code: random.IntN(2), Served: random.IntN(2) == 0, Voluntary: random.IntN(3) == 0}
		f.Exit.Busy = f.Exit.Served && random.IntN(2) == 0
		if random.IntN(3) == 0 {
			f.Exit.Signal, f.Exit.OOM = "SIGKILL", random.IntN(3) == 0
		}
	}
	return f
}
