package probe

import (
	"fmt"
	"strconv"
	"time"

	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// maxShare is how much of one core a check may use before it is warned of.
const maxShare = 0.05

// Warnings says where a check costs too much for how often it runs: when it
// takes longer than its interval, or uses more than 5 % of a core. recent holds
// the last results of one worker; their mean counts, so that one slow check is
// no warning.
func Warnings(h spec.Health, recent []worker.CheckResult) []string {
	if len(recent) == 0 || h.Interval <= 0 {
		return nil
	}
	var wall, cpu time.Duration
	for _, r := range recent {
		wall += r.End.Sub(r.Start)
		cpu += r.CPU
	}
	wall /= time.Duration(len(recent))
	cpu /= time.Duration(len(recent))

	var warnings []string
	if wall > h.Interval {
		warnings = append(warnings, fmt.Sprintf("the health check takes %s, longer than its interval of %s: raise the interval or make it cheaper",
			people(wall), people(h.Interval)))
	}
	if share := cpu.Seconds() / h.Interval.Seconds(); share > maxShare {
		warnings = append(warnings, fmt.Sprintf("the health check uses %s of CPU every %s, %.0f %% of a core: raise the interval or make it cheaper",
			people(cpu), people(h.Interval), 100*share))
	}
	return warnings
}

// people writes a duration with two or three digits: "2.1 s", "35 ms".
func people(d time.Duration) string {
	if d < 999500*time.Microsecond { // else three digits are "1e+03 ms"
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'g', 3, 64) + " ms"
	}
	return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}
