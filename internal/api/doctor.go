package api

import "time"

// DoctorRequest is the body of POST /api/v1/doctor.
type DoctorRequest struct {
	Service string `json:"service"` // "": all
	Profile bool   `json:"profile"` // look into the busiest Node worker for a second
}

// Finding is one thing that is wrong, or will be.
type Finding struct {
	Kind     string   `json:"kind"` // loop-blocked pool-saturated workers-busy memory-growth check-costly slow-upstream wrapper crash-loop log-flood
	Service  string   `json:"service"`
	Worker   string   `json:"worker"` // "" when it is about the service
	Weight   int      `json:"weight"` // 0 to 100
	Summary  string   `json:"summary"`
	Evidence []string `json:"evidence"`
	Remedy   []string `json:"remedy"`
}

// Report is what the doctor found, the heaviest first.
type Report struct {
	At       time.Time `json:"at"`
	Seconds  float64   `json:"seconds"` // how far back the measurements go
	Workers  int       `json:"workers"`
	Profiled string    `json:"profiled,omitempty"` // the worker that was looked into
	Findings []Finding `json:"findings"`
	Notes    []string  `json:"notes"` // what could not be found out
}
