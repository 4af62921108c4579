package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"bulsa/internal/api"
)

func TestProgressIsALineForEachService(t *testing.T) {
	began := time.Now()
	project := func(app, db, job api.Service) api.Project {
		app.Name, db.Name, job.Name = "app", "database", "job"
		return api.Project{Services: []api.Service{db, job, app}}
	}
	var out bytes.Buffer
	g := &progress{out: &out, width: 60, height: 24, began: began, took: map[string]time.Duration{}}
	first := project(
		api.Service{State: "waiting", Desired: 4, Cause: "waits for database to be healthy (0 of 1)"},
		api.Service{State: "running", Desired: 1, Changes: true, Workers: []api.Worker{{Name: "database.1", State: "starting"}}},
		api.Service{State: "completed"},
	)
	got := strings.Join(g.lines(began.Add(1500*time.Millisecond), first), "\n")
	for _, want := range []string{" · database  1.5s  0 of 1 workers ready", " ✔ job       1.5s  completed", " · app       1.5s  waits for database to be healthy (0 of 1)"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	second := project(
		api.Service{State: "running", Desired: 1, Ready: 1, Workers: []api.Worker{{Name: "app.1", State: "ready"}}},
		api.Service{State: "running", Desired: 1, Ready: 1, Workers: []api.Worker{{Name: "database.1", State: "ready"}}},
		api.Service{State: "completed"},
	)
	g.draw(began.Add(2*time.Second), first)
	out.Reset()
	g.draw(began.Add(3*time.Second), second)
	if text := out.String(); !strings.HasPrefix(text, "\x1b[3A\x1b[2K") || !strings.Contains(text, " ✔ job       1.5s  completed\n") || !strings.Contains(text, " ✔ app       3.0s  1 of 1 workers ready\n") {
		t.Errorf("%q", text)
	}
}

func TestProgressIsQuietWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &program{stderr: &out}
	g := p.newProgress(time.Now(), false)
	g.draw(time.Now(), api.Project{Services: []api.Service{{Name: "app"}}})
	if out.Len() > 0 || g.drawn > 0 {
		t.Errorf("%q", out.String())
	}
	small := &progress{out: &out, width: 80, height: 2, took: map[string]time.Duration{}}
	small.draw(time.Now(), api.Project{Services: make([]api.Service, 10)})
	if out.Len() > 0 {
		t.Errorf("ten lines on a screen of two: %q", out.String())
	}
}

func TestALineIsCutToTheTerminal(t *testing.T) {
	if got := cut("✔ abcdef", 5); got != "✔ ab…" {
		t.Errorf("%q", got)
	}
}
