package main

import (
	"strings"
	"testing"
	"time"
)

// costs are runs of 1000 requests in a second, with that many microseconds each.
func costs(micros ...float64) []figures {
	var out []figures
	for _, m := range micros {
		out = append(out, figures{Requests: 1000, Seconds: 1, ProxyCPU: m / 1000})
	}
	return out
}

func firstRow(t *testing.T) row {
	t.Helper()
	rows, err := chosen("13b")
	if err != nil {
		t.Fatal(err)
	}
	return rows[0]
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	m := measurement{Span: time.Second, Runs: map[string][]figures{bulsa: costs(50, 100, 60), nginx: costs(25, 50, 20), floor: costs(50, 100, 60)}}
	s := state{rows: map[string]measurement{"13b": m}}
	for _, want := range []string{
		"| nginx | 2.00 (2.00 to 3.00) | 0.70 | 0.60 | MISSED |",
		"| C forwarder (floor) | 1.00 (1.00 to 1.00) | - | 1.05 | better than the aim |",
	} {
		if !strings.Contains(s.summary(), want) {
			t.Errorf("no %q in\n%s", want, s.summary())
		}
	}
	if section := firstRow(t).section(m); !strings.Contains(section, "| nginx | 25.0 (20.0 to 50.0) | 1000 (1000 to 1000) |") {
		t.Error(section)
	}
}

func TestARunWithErrorsIsNoMeasurement(t *testing.T) {
	broken := costs(10)
	broken[0].Errors, broken[0].Why = 3, "the connection ended before the answer"
	m := measurement{Runs: map[string][]figures{bulsa: broken, nginx: costs(25)}}
	s := state{rows: map[string]measurement{"13b": m}}
	if !strings.Contains(s.summary(), "| 0.40 (0.40 to 0.40) | 0.70 | 0.60 | invalid |") {
		t.Error(s.summary())
	}
	if section := firstRow(t).section(m); !strings.Contains(section, "INVALID: 3 ERRORS (the connection ended before the answer)") {
		t.Error(section)
	}
}

func TestAnUnknownRowIsRefused(t *testing.T) {
	if _, err := chosen("13b,none"); err == nil || !strings.Contains(err.Error(), `"none"; there are 13b, `) {
		t.Error(err)
	}
}
