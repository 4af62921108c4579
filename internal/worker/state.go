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
