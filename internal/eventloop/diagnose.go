package eventloop

import (
	"context"
	"time"
)

// Subject is a worker whose loop is blocked.
type Subject struct {
	Service  string
	Worker   string // SERVICE.N
	Instance string
	PID      int           // the process that runs the loop: behind npm or a shell it is not the worker's first one
	For      time.Duration // how long it has been blocked
	Last     bool          // it will be replaced now: keep all that may explain it, not the stack alone
}

// Diagnosis is what a blocked loop was found doing.
type Diagnosis struct {
	At       time.Time
	Function string   // "fib", "(anonymous)"; "" where only native code was met
	Place    string   // "app.js:31"; ""
	Stack    []string // innermost first: "fib (/srv/app.js:31:5)"
	Profile  string   // path of the .cpuprofile that was kept, or ""
}

// Where is the diagnosis in a phrase: "fib (app.js:31)".
func (d Diagnosis) Where() string {
	switch {
	case d.Place == "":
		return d.Function
	case d.Function == "":
		return d.Place
	}
	return d.Function + " (" + d.Place + ")"
}

// Diagnoser finds out what blocks a loop while it is blocked.
type Diagnoser interface {
	// Diagnose looks into s.PID and returns before ctx ends, soon after s is no
	// longer blocked. An error means that nothing was learned; the worker is none
	// the worse for it. It is never called for a worker that a user
	// debugs, and for one worker at a time only once.
	Diagnose(ctx context.Context, s Subject) (Diagnosis, error)
}
