package worker

import "fmt"

// String returns the state as users read it: pending, starting, ready,
// unhealthy, draining, stopping, backoff or failed.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Starting:
		return "starting"
	case Ready:
		return "ready"
	case Unhealthy:
		return "unhealthy"
	case Draining:
		return "draining"
	case Stopping:
		return "stopping"
	case Backoff:
		return "backoff"
	case Failed:
		return "failed"
	}
	return fmt.Sprintf("state(%d)", int(s))
}

// MarshalText makes JSON show the state's word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word that MarshalText wrote.
func (s *State) UnmarshalText(text []byte) error {
	for candidate := Pending; candidate <= Failed; candidate++ {
		if candidate.String() == string(text) {
			*s = candidate
			return nil
		}
	}
	return fmt.Errorf("unknown worker state %q", text)
}

// Runs reports whether a worker in this state has a run: a process lives, or
// is about to.
func (s State) Runs() bool {
	switch s {
	case Starting, Ready, Unhealthy, Draining, Stopping:
		return true
	}
	return false
}

// String returns the fact as the table of the package's documentation names it.
func (k FactKind) String() string {
	switch k {
	case Start:
		return "Start"
	case Listening:
		return "Listening"
	case Checked:
		return "Checked"
	case Exited:
		return "Exited"
	case Drain:
		return "Drain"
	case Idle:
		return "Idle"
	case Unusable:
		return "Unusable"
	case Wake:
		return "Wake"
	case ForceStop:
		return "ForceStop"
	case LoopSilent:
		return "LoopSilent"
	case LoopAlive:
		return "LoopAlive"
	case Reported:
		return "Reported"
	case Needed:
		return "Needed"
	}
	return fmt.Sprintf("fact(%d)", int(k))
}

// String returns what is to be done in a word.
func (k EffectKind) String() string {
	switch k {
	case Launch:
		return "launch"
	case Check:
		return "check"
	case Publish:
		return "publish"
	case Unpublish:
		return "unpublish"
	case Terminate:
		return "terminate"
	case Kill:
		return "kill"
	case Replace:
		return "replace"
	case Done:
		return "done"
	}
	return fmt.Sprintf("effect(%d)", int(k))
}
