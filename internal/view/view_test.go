package view

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/eventloop"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
	"bulsa/internal/worker"
)

var update = flag.Bool("update", false, "write the golden files again")

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sources tell of a project in which app.1 alone has been measured.
func sources() Sources {
	return Sources{
		Now: now,
		Ports: func(service string) []string {
			return append([]string{}, map[string][]string{"app": {"0.0.0.0:3333"}}[service]...)
		},
		AccessLog: func(l spec.AccessLog) string { return l.File },
		LogFiles:  func(worker string) []string { return []string{"/logs/" + worker + ".log"} },
		Blocks:    func(string) []api.Diagnosis { return nil },
		Rates: func(_, worker string, _ int) (Rates, bool) {
			return Rates{PerSecond: 12.5, P99: 20 * time.Millisecond, CPU: 40, Memory: 1 << 20}, worker == "app.1"
		},
	}
}

// status has a worker for each thing that can be said of one.
func status() *supervisor.Status {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	loop := &eventloop.Figures{Source: "outside", PID: 71, Frequency: 4, TickMean: time.Millisecond, TickMax: -1, Utilization: 0.25,
		Latency: eventloop.Latency{P50: time.Millisecond, P99: 2 * time.Millisecond, Max: -1}, Threads: 4, Busy: -1, Queued: -1, WorkLatency: -1, Handles: -1, Requests: -1}
	return &supervisor.Status{Services: []supervisor.ServiceStatus{
		{Name: "app", Engine: spec.EngineProcess, Release: 2, Desired: 3, Ready: 1, Asked: ago(time.Minute), Workers: []supervisor.WorkerStatus{
			{Name: "app.1", Number: 1, Release: 2, PID: 71, Ref: "71", State: worker.Ready, Health: "healthy", Started: ago(3 * time.Minute), Address: "127.0.0.1:4000", Cause: "it listens", InFlight: 2, Loop: loop},
			{Name: "app.2", Number: 2, Release: 2, Ref: "-", State: worker.Backoff, Health: "none", Since: ago(time.Second), Ended: ago(2 * time.Second), Restarts: 3, Exit: &worker.Exit{Signal: "SIGKILL"}, Cause: "signal SIGKILL",
				Vain: []time.Time{ago(30 * time.Second), ago(20 * time.Second), ago(2 * time.Second)}},
			{Name: "app.3", Number: 3, Release: 1, PID: 73, Ref: "73", State: worker.Ready, Health: "none", Started: ago(time.Hour), Halted: "it was stopped by SIGSTOP"},
		}},
		{Name: "box", Engine: spec.EngineDocker, Release: 1, Desired: 1, Ready: 1, Workers: []supervisor.WorkerStatus{
			{Name: "box.1", Number: 1, Release: 1, Ref: "abc", State: worker.Starting, Health: "starting", Since: ago(5 * time.Second), Inner: &api.Inside{Workers: []api.Worker{{Name: "x.1", Number: 1, PID: 9, State: "ready", Ports: []string{}}}}},
		}},
		{Name: "job", Engine: spec.EngineProcess, Release: 1, Desired: 1, Workers: []supervisor.WorkerStatus{
			{Name: "job.1", Number: 1, Release: 1, Ref: "-", State: worker.Failed, Health: "none", Since: ago(time.Second), Ended: ago(time.Second), Exit: &worker.Exit{Code: 3}, Cause: "exit 3"},
		}},
		{Name: "later", Engine: spec.EngineProcess, Release: 1, Desired: 1, Waiting: "waits for job"},
	}}
}

// golden compares a picture with the file of its name, where people can read it.
func golden(t *testing.T, name string, picture any) {
	t.Helper()
	got, err := json.MarshalIndent(picture, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != string(got)+"\n" {
		t.Errorf("%s (%v) is another picture; with -update it is written anew. It is:\n%s", path, err, got)
	}
}

func TestAProjectIsDrawnFromWhatIsPublished(t *testing.T) {
	golden(t, "project.json", sources().Project(spec.Project{Name: "shop", Dir: "/srv/shop", Files: []string{"compose.yaml"}}, status()))
}

func TestAWorkerIsInspectedWithItsChecksAndChanges(t *testing.T) {
	st := status()
	w := &st.Services[0].Workers[0]
	w.Streak, w.CheckCPU, w.Warnings = 1, 30*time.Millisecond, []string{"it costs much"}
	w.Checks = []worker.CheckResult{{Start: now, End: now.Add(time.Second), ExitCode: 1, Output: "no"}}
	w.History = []supervisor.Change{{At: now, From: worker.Starting, To: worker.Ready, Cause: "it listens"}}
	in, ok := sources().Inspect(st, "app.1")
	in.Config = nil // a service as it was resolved
	if golden(t, "worker.json", in); !ok {
		t.Error("it was not found")
	}
	if inside, ok := sources().Inspect(st, "box.1/1"); !ok || inside.Worker.Service != "box" || inside.Worker.PID != 9 {
		t.Errorf("the worker inside of a container is %+v", inside.Worker)
	}
	if _, ok := sources().Inspect(st, "app.9"); ok {
		t.Error("nobody is called app.9")
	}
}

// TestSecretsAreNotShown: neither the values of an environment, nor what files and build arguments hold.
func TestSecretsAreNotShown(t *testing.T) {
	st := status()
	service := &st.Services[1].Service
	service.Command.Env = []string{"TOKEN=hidden", "EMPTY="}
	service.Container = &spec.Container{Files: []spec.File{{Target: "/run/secrets/a", Content: "hidden"}}, Build: &spec.Build{Args: map[string]string{"KEY": "hidden"}}}
	for _, name := range []string{"box", "box.1"} {
		in, _ := sources().Inspect(st, name)
		config := string(in.Config)
		if strings.Contains(config, "hidden") || !strings.Contains(config, `"TOKEN"`) || !strings.Contains(config, `"KEY":""`) || !strings.Contains(config, "/run/secrets/a") {
			t.Errorf("of %s is shown %s", name, config)
		}
	}
	if service.Container.Files[0].Content != "hidden" || service.Command.Env[0] != "TOKEN=hidden" || service.Container.Build.Args["KEY"] != "hidden" {
		t.Error("what was published has changed")
	}
}

func TestAWorkerWithoutAPortIsReadyWhenItHasRunForAWhile(t *testing.T) {
	st := &supervisor.Status{Services: []supervisor.ServiceStatus{{Desired: 1, Ready: 1, Workers: []supervisor.WorkerStatus{{State: worker.Ready, Health: "none", Started: now}}}}}
	if Ready(st, now.Add(SettleTime/2)) || !Ready(st, now.Add(SettleTime)) {
		t.Error("it is ready too early, or not at all")
	}
	st.Services[0].Waiting = "waits for db"
	if Ready(st, now.Add(time.Hour)) {
		t.Error("what waits is ready")
	}
}
