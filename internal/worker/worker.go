package worker

import "time"

// State is where a worker is in its life.
type State int

const (
	Pending   State = iota // not started, or stopped on request
	Starting               // launched, has not proved itself
	Ready                  // takes requests
	Unhealthy              // runs, its checks fail
	Draining               // takes no new requests, finishes those it has
	Stopping               // was asked to end
	Backoff                // ended, waits for its next start
	Failed                 // ended too often: a slow retry, or none
)

// Exit is how a run ended, as the machine needs to know it.
type Exit struct {
	Code      int
	Signal    string // "" when it exited by itself
	OOM       bool
	Voluntary bool // it asked to be let go (cluster.worker.kill, disconnect), or `bulsa kill` did it
	Served    bool // requests reached this run
	Busy      bool // a request was with it when it ended, or a moment before
	Cause     string
}

// CheckResult is one finished health check.
type CheckResult struct {
	Start    time.Time
	End      time.Time
	ExitCode int    // 0: passed; -1: timed out
	Output   string // at most 4096 bytes
	CPU      time.Duration
}

// Passed reports whether the check succeeded.
func (r CheckResult) Passed() bool { return r.ExitCode == 0 }

// FactKind names what happened.
type FactKind int

const (
	Start      FactKind = iota + 1 // asked to run (also: asked to try again while failed or in backoff)
	Listening                      // the instance takes connections, or needs none
	Checked                        // Result holds a finished check
	Exited                         // Exit holds the end; also a launch that failed
	Drain                          // asked to end gracefully; Cause says why
	Idle                           // no request is in flight any more
	Unusable                       // the instance cannot serve as configured: stop it, do not try again
	Wake                           // the time of Wake() has come
	ForceStop                      // asked to end at once, without drain or grace
	LoopSilent                     // its event loop has not turned for too long; Cause says how long
	LoopAlive                      // it turns again
	Reported                       // Report holds what the engine's own checks say
	Needed                         // requests wait, and no worker of the service is ready
)

// Report is what an engine that checks its instances by itself says of one.
type Report struct {
	Status string        // starting | healthy | unhealthy
	Streak int           // failed checks in a row
	Log    []CheckResult // the last results, oldest first
}

// Fact is one input of the machine. Listening, Checked, Exited, Idle, Unusable,
// LoopSilent, LoopAlive and Reported are about one run and carry its Instance; about any other than the
// current one they are ignored. Start, Drain, ForceStop, Wake and Needed carry none.
type Fact struct {
	Kind     FactKind
	Instance string
	Serves   bool // Listening: clients reach it, which a program that merely runs does not say of itself
	Result   CheckResult
	Report   Report
	Exit     Exit
	Cause    string
}

// EffectKind names what must be done.
type EffectKind int

const (
	Launch    EffectKind = iota + 1 // start a run under Instance
	Check                           // run one health check of Instance
	Publish                         // put it into rotation
	Unpublish                       // take it out (it may be out already), and tell Idle when nothing is in flight
	Terminate                       // ask it to end (stop signal)
	Kill                            // SIGKILL to all that is left
	Replace                         // unhealthy, and the policy wants another now: the service decides how
	Done                            // a drain is over: the worker is Pending
)

// Effect is one thing to do, with its cause. The caller carries effects out in
// order and answers with facts.
type Effect struct {
	Kind     EffectKind
	Instance string
	Cause    string
}
