// Package inner is what a bulsa inside a container and the one outside say to
// each other: through the environment how many workers are wanted, and over a
// socket in a folder of the container's own how those are. The inner one can
// report and nothing else; whatever comes from it is untrusted data.
package inner

import (
	"strings"
	"time"
)

// The variables by which the outer bulsa tells the inner one what it wants.
const (
	ReportVariable  = "BULSA_REPORT"       // path of the socket to report to
	WorkersVariable = "BULSA_WORKERS"      // how many workers, or auto
	GraceVariable   = "BULSA_STOP_TIMEOUT" // from the stop signal to SIGKILL, as Go writes durations
)

// Told is what a bulsa has been told from outside; nothing where there is nobody.
type Told struct {
	Report  string
	Workers string
	Grace   time.Duration
}

// From reads what the environment tells, and returns the rest of it: workers
// are not spoken to.
func From(environ []string) (t Told, rest []string) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch name {
		case ReportVariable:
			t.Report = value
		case WorkersVariable:
			t.Workers = value
		case GraceVariable:
			if d, err := time.ParseDuration(value); err == nil && d > 0 {
				t.Grace = d
			}
		default:
			rest = append(rest, entry)
		}
	}
	return t, rest
}
