package main

import (
	"strings"
	"testing"
	"time"
)

func TestReportComparesRunsOfTheSameRound(t *testing.T) {
	run := func(micros int) costRun {
		return costRun{requests: 1000, cpu: time.Duration(1000*micros) * time.Microsecond, span: time.Second}
	}
	r := report{proxies: []*proxied{
		{version: "bulsa 1", runs: []costRun{run(50), run(100), run(60)}},
		{version: "nginx 1", runs: []costRun{run(25), run(50), run(20)}},
	}}
	if text := r.text(); !strings.Contains(text, "| nginx 1 | 25.0 (20.0 to 50.0) | 2.00 | 1000 | 0 |") {
		t.Error(text)
	}
}
