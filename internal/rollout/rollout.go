// Package rollout decides which workers of one service should exist next: the
// desired and the observed go in, a plan of actions with their causes comes
// out. It is level-triggered: called after every fact, it needs no memory of
// what it planned before. A crash in the middle, a second deploy and a rollback
// are the same call with other inputs.
package rollout

import (
	"fmt"
	"strings"

	"bulsa/internal/worker"
)

// Desired is what the service should look like.
type Desired struct {
	Replicas    int         // slots 1..Replicas are wanted
	Release     int         // every worker should run this release
	Generation  int         // ... and be at least of this generation: a graceful restart raises it
	Generations map[int]int // the same for single slots: a restart of one worker. One number for all slots of one restart
	Reason      string      // why the release or generation changed: "restart asked", "deploy of release 3"
	StartFirst  bool        // a successor is ready before its predecessor drains; needs an engine whose runs are isolated
	Parallelism int         // slots that change at a time; 0: all
	Hold        string      // not empty: change no further slot yet, for this reason (the delay between two batches)
	Stopped     bool        // nothing should run
}

// generation is the least generation that slot n should be of.
func (d Desired) generation(n int) int { return max(d.Generation, d.Generations[n]) }

// parallelism is how many slots may change at a time.
func (d Desired) parallelism() int {
	if d.Parallelism <= 0 {
		return max(d.Replicas, 1)
	}
	return d.Parallelism
}

// Surge is how many extra workers may stand in for unhealthy ones at a time.
func (d Desired) Surge() int { return max(1, d.Replicas/4) }

// Observed is one worker machine as it is now. What an action asked for must
// show in the next observation: a started one is Starting, a drained one leaves.
type Observed struct {
	Key        string // unique per machine
	Number     int    // its slot, from 1; a slot may have two machines for a while
	Release    int
	Generation int
	State      worker.State
	Replaced   bool   // it is unhealthy and the policy wants another in its place
	Silent     bool   // its event loop does not turn: what is inside cannot end, and is held up for as long as it stays
	Finished   bool   // pending because it ended and the restart policy wants no more
	Cause      string // why it is in its state
}

// Kind is what to do.
type Kind int

const (
	// Remove forgets a pending machine.
	Remove Kind = iota + 1
	// Start starts the pending machine Key under Generation or, when Key is
	// empty, makes a new machine of Release and Generation for the slot.
	Start
	// Drain asks the machine Key to end gracefully.
	Drain
)

// String returns the action's word.
func (k Kind) String() string {
	switch k {
	case Remove:
		return "remove"
	case Start:
		return "start"
	case Drain:
		return "drain"
	}
	return fmt.Sprintf("kind(%d)", int(k))
}

// Action is one thing to do, and why.
type Action struct {
	Kind       Kind
	Number     int
	Key        string // "" for a new machine
	Release    int
	Generation int
	Cause      string
	Replaces   string // Start of a new machine: the key of the unhealthy one whose place it takes, or ""
}

// String prints the action in one line.
func (a Action) String() string {
	who := a.Key
	if who == "" {
		who = fmt.Sprintf("new release %d", a.Release)
	}
	return fmt.Sprintf("%-6s %d %s: %s", a.Kind, a.Number, who, a.Cause)
}

// Plan is what to do now, in this order.
type Plan struct {
	Actions []Action
	Blocked string // what a change waits for that may never come: the new worker does not get ready
	Settled bool   // the observed is what is desired: nothing to do, nothing to wait for
}

// Empty reports whether there is nothing to do at this moment.
func (p Plan) Empty() bool { return len(p.Actions) == 0 }

// String prints one line per action, and one for what blocks the rest.
func (p Plan) String() string {
	var b strings.Builder
	for _, a := range p.Actions {
		fmt.Fprintln(&b, a)
	}
	if p.Blocked != "" {
		fmt.Fprintf(&b, "blocked: %s\n", p.Blocked)
	}
	return b.String()
}
