// Package api holds the words on the wire between bulsa's commands and a
// running project: request and answer types, and where the project's control socket
// is. Everything is JSON over HTTP; the server side is admin, the other one api/client.
package api

import (
	"encoding/json"
	"time"
)

// Worker is one row of `bulsa ps --format json`. Its field names are a contract.
type Worker struct {
	Name      string     `json:"name"`              // SERVICE.N
	Project   string     `json:"project,omitempty"` // where workers of several projects are listed
	Service   string     `json:"service"`
	Number    int        `json:"worker"`
	Engine    string     `json:"engine"`
	PID       int        `json:"pid"`
	ID        string     `json:"id"` // pid, container id or address, as text
	State     string     `json:"state"`
	Health    string     `json:"health"` // none starting healthy unhealthy
	Restarts  int        `json:"restarts"`
	StartedAt *time.Time `json:"started_at"`
	Address   string     `json:"address"`
	Release   int        `json:"release"`
	Cause     string     `json:"cause"`
	Failing   bool       `json:"failing,omitempty"` // it does not come up by itself since somebody last asked for a change or a start
	Status    string     `json:"status"`            // Docker's text: "Up 3 minutes (healthy)"
	Ports     []string   `json:"ports"`
	InFlight  int        `json:"in_flight"`

	RequestsPerSecond *float64 `json:"requests_per_second,omitempty"`
	P99Seconds        *float64 `json:"p99_seconds,omitempty"`
	CPUPercent        *float64 `json:"cpu_percent,omitempty"`  // of one core
	MemoryBytes       *int64   `json:"memory_bytes,omitempty"` // resident, the whole process group

	EventLoop *EventLoop `json:"event_loop,omitempty"` // of a Node worker that is watched

	Inner []Worker `json:"inner,omitempty"` // workers inside of its container, as the bulsa there reports them: SERVICE.N/M
}

// Project is what GET /api/v1/project answers.
type Project struct {
	Name      string    `json:"name"`
	Dir       string    `json:"dir"`
	Files     []string  `json:"files"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Admin     string    `json:"admin"`          // http://127.0.0.1:9900, or "" when off
	Ready     bool      `json:"ready"`          // every wanted worker is ready
	Away      string    `json:"away,omitempty"` // why the engine that workers run on cannot be reached
	Services  []Service `json:"services"`
}

// Service is one service of a Project.
type Service struct {
	Name    string   `json:"name"`
	Engine  string   `json:"engine"`
	Release int      `json:"release"`
	Desired int      `json:"desired"`
	Ready   int      `json:"ready"`
	State   string   `json:"state"` // running waiting stopped completed failed
	Cause   string   `json:"cause"`
	Changes bool     `json:"changes"` // workers are being started, replaced or stopped
	Ports   []string `json:"ports"`
	Workers []Worker `json:"workers,omitempty"`

	AccessLog    string  `json:"access_log,omitempty"` // a file; "": none, or standard output
	StartSeconds float64 `json:"start_seconds"`        // until its checks, if any, can have found a new worker unhealthy
	StopSeconds  float64 `json:"stop_seconds"`         // that a worker may take for its last requests and to end
}

// HealthLog is one finished check, in Docker's words.
type HealthLog struct {
	Start    time.Time `json:"Start"`
	End      time.Time `json:"End"`
	ExitCode int       `json:"ExitCode"`
	Output   string    `json:"Output"`
	CPU      float64   `json:"CPUSeconds"`
}

// Health is a worker's health as Docker prints it.
type Health struct {
	Status        string      `json:"Status"`
	FailingStreak int         `json:"FailingStreak"`
	Log           []HealthLog `json:"Log"`
	CPUSeconds    float64     `json:"CPUSecondsTotal"`
	Warnings      []string    `json:"Warnings,omitempty"`
}

// Change is one step in a worker's life.
type Change struct {
	At    time.Time `json:"at"`
	From  string    `json:"from"`
	To    string    `json:"to"`
	Cause string    `json:"cause"`
}

// Inspection is all about one worker, or one service with its workers.
type Inspection struct {
	Worker  *Worker         `json:"worker,omitempty"`
	Health  *Health         `json:"Health,omitempty"`
	History []Change        `json:"history,omitempty"`
	Logs    []string        `json:"log_files,omitempty"`
	Blocks  []Diagnosis     `json:"blocks,omitempty"` // of its event loop, the last ones, oldest first
	Service *Service        `json:"service,omitempty"`
	Config  json.RawMessage `json:"config,omitempty"` // environment: names only, never values
	Workers []Inspection    `json:"workers,omitempty"`
}

// Event is one line of `bulsa events`.
type Event struct {
	At      time.Time `json:"at"`
	Service string    `json:"service"`
	Worker  string    `json:"worker,omitempty"`
	Kind    string    `json:"kind"`
	Message string    `json:"message"`
	Cause   string    `json:"cause,omitempty"`
}

// LogLine is one line of a worker's output.
type LogLine struct {
	At     time.Time `json:"at"`
	Worker string    `json:"worker"`
	Stream string    `json:"stream"` // stdout | stderr
	Text   string    `json:"text"`   // without the line end; invalid UTF-8 replaced
}

// Error is the body of every answer that is not 2xx.
type Error struct {
	Message string `json:"error"` // one line: what, where, what to change
}

// Readiness is what GET /api/v1/ready answers.
type Readiness struct {
	Ready   bool     `json:"ready"`   // every wanted worker is ready
	Failing bool     `json:"failing"` // a service does not come up by itself: its workers die again and again
	Waiting []string `json:"waiting"` // one line for each service that is not ready: what it does, and why
}

// Answer is the body of a change that succeeded.
type Answer struct {
	Message string `json:"message,omitempty"` // lines for people
}

// ScaleRequest is the body of POST /api/v1/scale: one service, or several, of which all
// are scaled or none.
type ScaleRequest struct {
	Scale
	Services []Scale `json:"services,omitempty"`
	Wait     bool    `json:"wait,omitempty"` // answer when it is done
}

// Scale says how many workers a service shall have: a number, or so many more or fewer.
type Scale struct {
	Service  string `json:"service,omitempty"`
	Replicas *int   `json:"replicas,omitempty"`
	By       *int   `json:"by,omitempty"`
}

// NamesRequest is the body of POST /api/v1/start, stop and restart.
type NamesRequest struct {
	Names []string `json:"names"` // services or workers; none: all
	Wait  bool     `json:"wait"`  // answer when it is done
}

// DownRequest is the body of POST /api/v1/down.
type DownRequest struct {
	Seconds *int `json:"seconds,omitempty"` // after which what still runs is killed, and what is in flight cut off before; none: each service's own time
}

// KillRequest is the body of POST /api/v1/kill.
type KillRequest struct {
	Worker string `json:"worker"`
	Signal string `json:"signal"` // "SIGKILL", "KILL" or "9"
}
