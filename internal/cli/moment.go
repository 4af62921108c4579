package cli

import (
	"fmt"
	"strconv"
	"time"

	"bulsa/internal/spec"
)

// timeFlag is a moment as docker logs reads it.
type timeFlag struct{ time.Time }

func (f *timeFlag) String() string { return "" }
func (f *timeFlag) Type() string   { return "TIME" }

func (f *timeFlag) Set(text string) (err error) {
	f.Time, err = moment(text, time.Now())
	return err
}

// moment reads RFC 3339, a date, seconds since 1970, or a duration before now.
func moment(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	if d, err := spec.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write 2026-11-30T10:00:00Z, or 10m for ten minutes ago", text)
}
