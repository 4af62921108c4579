package diagnose

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/doctor"
	"bulsa/internal/engine"
	"bulsa/internal/eventloop"
	"bulsa/internal/node/inspector"
	"bulsa/internal/proxy/stats"
	"bulsa/internal/relay"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
	"bulsa/internal/worker"
)

// processes run app.1 twice, the second time as "new"; none of them can be looked into.
type processes struct{ err error }

func (p processes) List(context.Context) ([]engine.Instance, error) {
	began := time.Unix(1000, 0)
	return []engine.Instance{{ID: "new", Worker: "app.1", Started: began.Add(time.Second)}, {ID: "old", Worker: "app.1", Started: began}}, nil
}

func (p processes) Inspect(context.Context, engine.InstanceID, func(context.Context, *inspector.Session) error) error {
	return p.err
}
func (p processes) Inspectable(id engine.InstanceID) bool { return id == "new" }
func (p processes) Deaf(engine.InstanceID) []string       { return []string{"127.0.0.1:9229"} }
func (p processes) Unread(string) []relay.Unread          { return []relay.Unread{{Topic: "topic x", Count: 3}} }

// examiner sees the services of st; nobody has answered a request in the last minute.
func examiner(p processes, st *supervisor.Status) *Examiner {
	unread := make([]doctor.Sample, 60)
	for i := range unread {
		unread[i].InFlight = 1
	}
	return New(Config{
		Processes: p, Status: func() *supervisor.Status { return st }, Stats: func() stats.Snapshot { return stats.Snapshot{} },
		History: func(string) []doctor.Sample { return unread }, Window: 5 * time.Minute,
		Busy: math.NaN, Cores: func() int { return 2 },
	})
}

func TestWhatBlocksALoopIsKeptTheLastTenTimes(t *testing.T) {
	e := examiner(processes{err: &inspector.NativeError{State: "it waits in flock"}}, &supervisor.Status{})
	for i := range 12 {
		found, err := e.Diagnose(t.Context(), eventloop.Subject{Worker: "app.1", Instance: "new", For: time.Duration(i) * time.Second})
		if err != nil || !slices.Equal(found.Stack, []string{"it waits in flock"}) {
			t.Fatalf("found %+v, %v", found, err)
		}
	}
	kept := e.Blocks("app.1")
	if len(kept) != 10 || kept[0].Blocked != 2 || kept[9].Blocked != 11 || kept[9].Error == "" || len(e.Blocks("app.2")) > 0 {
		t.Errorf("kept is %+v", kept)
	}
}

func TestALoopThatTurnsAgainIsNotKept(t *testing.T) {
	e := examiner(processes{err: errors.New("its event loop turns again")}, &supervisor.Status{})
	if _, err := e.Diagnose(t.Context(), eventloop.Subject{Worker: "app.1"}); err == nil || len(e.Blocks("app.1")) > 0 {
		t.Errorf("%v, and kept is %+v", err, e.Blocks("app.1"))
	}
}

func TestAWorkerThatCannotBeLookedIntoIsAClearError(t *testing.T) {
	e := examiner(processes{err: errors.New("it is no Node")}, &supervisor.Status{})
	for name, want := range map[string]string{"app.1": "it is no Node", "app.9": "bulsa ps -a", "box.1/2": "inside of a container"} {
		if _, err := e.Profile(t.Context(), name, time.Second); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %s: %v", name, err)
		}
	}
	if id, err := Running(t.Context(), e.Processes, "app.1"); id != "new" || err != nil {
		t.Errorf("the newest run is %q, %v", id, err)
	}
}

func TestTheDoctorsTableHoldsWhatIsKnown(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	st := &supervisor.Status{Services: []supervisor.ServiceStatus{
		{Name: "app", Service: spec.Service{Command: spec.Command{Env: []string{"UV_THREADPOOL_SIZE=8"}}}, Workers: []supervisor.WorkerStatus{
			{Name: "app.1", State: worker.Ready, ChecksPassed: 3, ChecksFailed: 1, CheckCPU: 2 * time.Second, CheckLast: time.Second, History: []supervisor.Change{
				{At: ago(time.Hour), To: worker.Backoff, Cause: "exit 1"},
				{At: ago(time.Minute), To: worker.Backoff, Cause: "exit 2"},
				{At: ago(time.Minute), To: worker.Failed, Cause: "SIGKILL, asked by bulsa"},
				{At: ago(time.Second), To: worker.Ready},
			}},
			{Name: "app.2", State: worker.Pending},
		}},
		{Name: "box", Workers: []supervisor.WorkerStatus{{Name: "box.1", State: worker.Ready, Inner: &api.Inside{Workers: []api.Worker{{Number: 2, State: "ready", EventLoop: &api.EventLoop{}}}}}}},
	}}
	e := examiner(processes{}, st)
	table := e.examination(now, "")
	if len(table.Services) != 3 || table.Cores != 2 {
		t.Fatalf("the table is %+v", table)
	}
	app, inside := table.Services[0], table.Services[2]
	if app.Pool != 8 || !app.Loops || len(app.Workers) != 1 || app.Unread[0].Count != 3 {
		t.Errorf("app is %+v", app)
	}
	w := app.Workers[0]
	if len(w.Deaths) != 1 || w.Deaths[0].Cause != "exit 2" || w.CheckCPU != 0.5 || w.CheckWall != 1 || !slices.Equal(w.Elsewhere, []string{"127.0.0.1:9229"}) {
		t.Errorf("app.1 is %+v", w)
	}
	if !inside.Inside || !inside.Loops || inside.Workers[0].Name != "box.1/2" {
		t.Errorf("inside of box is %+v", inside)
	}
	if only := e.examination(now, "box").Services; len(only) != 2 || only[0].Name != "box" {
		t.Errorf("of box alone it is %+v", only)
	}
}

func TestAWorkerThatListensElsewhereIsNamedOnceForEachRun(t *testing.T) {
	st := &supervisor.Status{Services: []supervisor.ServiceStatus{{Name: "app", Workers: []supervisor.WorkerStatus{{Name: "app.1", State: worker.Ready, PID: 7}}}}}
	var told []string
	look := examiner(processes{}, st).NameDeaf(func(worker, message string) { told = append(told, worker+" "+message) })
	look(st)
	look(st)
	if len(told) != 1 || !strings.Contains(told[0], "app.1 has answered no request yet") || !strings.Contains(told[0], "127.0.0.1:9229") {
		t.Errorf("told %q", told)
	}
	st.Services[0].Workers[0].PID = 8
	if look(st); len(told) != 2 {
		t.Errorf("of the next run is told %q", told)
	}
}
