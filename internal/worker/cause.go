package worker

import (
	"fmt"
	"time"
)

// describe says how a run of the given age ended, as people read it:
// "exit 1 after 4 s: Error: no such file".
func (e Exit) describe(age time.Duration) string {
	text := fmt.Sprintf("%s after %s", e.how(), span(age))
	if e.Code == -1 && e.Signal == "" && !e.OOM && !e.Voluntary {
		text = "could not start"
	}
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	return text
}

func (e Exit) how() string {
	switch {
	case e.OOM:
		return "out of memory, killed by the kernel"
	case e.Voluntary && e.Signal == "" && e.Cause == "":
		return "left by itself (cluster disconnect)"
	case e.Signal != "":
		return "killed by " + e.Signal
	}
	return fmt.Sprintf("exit %d", e.Code)
}

// span writes a duration in one unit: "0.2 s", "4 s", "3 m", "5 h", "12 d".
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.1f s", max(d, 0).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d m", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// longSpan writes a configured duration in words where it is round.
func longSpan(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return count(int(d/time.Hour), "hour")
	case d >= time.Minute && d%time.Minute == 0:
		return count(int(d/time.Minute), "minute")
	case d >= time.Second && d%time.Second == 0:
		return count(int(d/time.Second), "second")
	}
	return d.String()
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func either(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
