package api

import (
	"encoding/json"
	"time"
)

// ErrorTrailer is the HTTP trailer that says why a stream ends before its end.
const ErrorTrailer = "Bulsa-Error"

// ProfileRequest is the body of POST /api/v1/profile, /heap and /phases.
type ProfileRequest struct {
	Worker  string  `json:"worker"`
	Seconds float64 `json:"seconds,omitempty"` // not of a heap snapshot
}

// Frame is one place in a program.
type Frame struct {
	Function string `json:"function"` // "" for code outside of functions
	File     string `json:"file"`     // path, or node:...; "" for what is built in
	Line     int    `json:"line"`     // from 1; 0: unknown
	Column   int    `json:"column"`
}

// Hot is a function that takes time by itself.
type Hot struct {
	Frame
	Share float64 `json:"share"` // of the time in which the program did anything, 0 to 1
}

// Profile is a CPU profile of a worker's main thread, and what it says in short.
type Profile struct {
	Worker    string          `json:"worker"`
	PID       int             `json:"pid"`
	Seconds   float64         `json:"seconds"`
	Stack     []Frame         `json:"stack"`     // at the start, innermost first; empty: it ran no JavaScript
	Busy      float64         `json:"busy"`      // share of the time in which it did anything, 0 to 1
	Collector float64         `json:"collector"` // share of that which the garbage collector took
	Hot       []Hot           `json:"hot"`       // the hottest functions
	Profile   json.RawMessage `json:"profile,omitempty"`
}

// Phase is one row of Phases.
type Phase struct {
	Name    string   `json:"name"`
	Seconds *float64 `json:"seconds"`         // null: Node does not tell
	Count   int      `json:"count,omitempty"` // how often; 0: not counted
	Known   string   `json:"known"`           // exact derived unknown
	Note    string   `json:"note"`
}

// PoolTask is what the thread pool did of one kind.
type PoolTask struct {
	Kind        string  `json:"kind"`
	Count       int     `json:"count"`
	RunSeconds  float64 `json:"run_seconds"`  // mean
	WaitSeconds float64 `json:"wait_seconds"` // mean; from asking to the result, without the run
	LongestWait float64 `json:"longest_wait_seconds"`
}

// Phases is how a worker's event loop spent its time.
type Phases struct {
	Worker     string     `json:"worker"`
	PID        int        `json:"pid"`
	Seconds    float64    `json:"seconds"`
	Iterations int        `json:"iterations"`
	Phases     []Phase    `json:"phases"` // in the order of an iteration
	Inside     []Phase    `json:"inside"` // parts of several phases
	Tasks      []PoolTask `json:"tasks"`
}

// Diagnosis is what a blocked worker was found doing.
type Diagnosis struct {
	At       time.Time `json:"at"`
	Blocked  float64   `json:"blocked_seconds"` // so far, when it was looked at
	Function string    `json:"function"`
	Where    string    `json:"where"`             // "fib (app.js:31)"
	Place    string    `json:"place"`             // "app.js:31"
	Stack    []string  `json:"stack"`             // innermost first
	Profile  string    `json:"profile,omitempty"` // path of a .cpuprofile
	Error    string    `json:"error,omitempty"`   // why nothing, or not all, was learned
}
