package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// Profile samples a worker's main thread for a time.
func (c *Client) Profile(ctx context.Context, worker string, d time.Duration) (Profile, error) {
	var p Profile
	err := c.post(ctx, "profile", ProfileRequest{Worker: worker, Seconds: d.Seconds()}, &p)
	return p, err
}

// Phases traces a worker's event loop for a time.
func (c *Client) Phases(ctx context.Context, worker string, d time.Duration) (Phases, error) {
	var p Phases
	err := c.post(ctx, "phases", ProfileRequest{Worker: worker, Seconds: d.Seconds()}, &p)
	return p, err
}

// Heap writes a snapshot of a worker's heap to w. After an error what was
// written is no whole snapshot.
func (c *Client) Heap(ctx context.Context, worker string, w io.Writer) error {
	body, err := json.Marshal(ProfileRequest{Worker: worker})
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, http.MethodPost, "heap", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	written, err := io.Copy(w, resp.Body)
	if reason := resp.Trailer.Get(ErrorTrailer); reason != "" {
		return errors.New(reason)
	}
	if err != nil {
		return fmt.Errorf("the snapshot of %s ended after %d bytes: %w", worker, written, err)
	}
	return nil
}
