package sample

import (
	"math"
	"testing"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/doctor"
	"bulsa/internal/logs"
	"bulsa/internal/proxy/stats"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
)

// What a bulsa inside a container reports is kept for the doctor, who finds the
// loop that hangs there, and is forgotten with the container.
func TestTheDoctorExaminesWorkersInsideOfContainers(t *testing.T) {
	h, at := newHistory(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cpu, memory, idle := 150.0, int64(1<<20), 0.1
	report := &api.Inside{Workers: []api.Worker{
		{Number: 1, PID: 15, State: "ready", CPUPercent: &cpu, MemoryBytes: &memory, EventLoop: &api.EventLoop{Blocked: 3}},
		{Number: 2, PID: 16, State: "ready", EventLoop: &api.EventLoop{Utilization: &idle}},
	}}
	status := func(r *api.Inside) *supervisor.Status {
		return &supervisor.Status{Services: []supervisor.ServiceStatus{{Name: "app", Workers: []supervisor.WorkerStatus{{Name: "app.1", PID: 7, Inner: r}}}}}
	}
	silent := func(string) logs.Volume { return logs.Volume{} }
	nobody := func(string, string) time.Duration { return 0 }
	for i := range 8 {
		h.note(status(report), sample{at: at.Add(time.Duration(i) * time.Second), stats: stats.Snapshot{}}, silent, nobody)
	}
	seen := h.of("app.1/1")
	if len(seen) != 7 || seen[0].CPU != 1.5 || seen[0].Memory != 1<<20 || seen[0].Blocked != 3 || !math.IsNaN(seen[0].HeapUsed) {
		t.Fatalf("it has kept %+v", seen)
	}
	found := doctor.Examine(doctor.Project{Cores: 2, Services: []doctor.Service{{Name: "app", Loops: true, Inside: true, Workers: []doctor.Worker{
		{Name: "app.1/1", State: "ready", Samples: seen}, {Name: "app.1/2", State: "ready", Samples: h.of("app.1/2")},
	}}}})
	if len(found) != 1 || found[0].Kind != "loop-blocked" || found[0].Worker != "app.1/1" {
		t.Errorf("found %+v", found)
	}
	h.note(status(nil), sample{at: at.Add(time.Minute)}, silent, nobody)
	if len(h.of("app.1/1")) > 0 || len(h.of("app.1")) == 0 {
		t.Error("what has gone is still kept, or what is there is not")
	}
}

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a sampler that is shown one worker, app.1, a second further each time.
type world struct {
	*Sampler
	looks int
}

func newWorld() *world {
	return &world{Sampler: New(nil, func(string) logs.Volume { return logs.Volume{} })}
}

// look shows a run that has answered so many requests and used so much.
func (w *world) look(pid int, requests uint64, used Usage) {
	st := &supervisor.Status{Services: []supervisor.ServiceStatus{{Name: "app", Service: spec.Service{Name: "app"}, Workers: []supervisor.WorkerStatus{{Name: "app.1", PID: pid}}}}}
	counted := stats.Snapshot{Services: map[string]stats.Service{"app": {Workers: map[string]stats.Worker{"app.1": {Requests: requests}}}}}
	w.note(st, sample{at: begin.Add(time.Duration(w.looks) * time.Second), stats: counted, usage: map[int]Usage{pid: used}})
	w.looks++
}

func TestRatesAreOfTheLastSeconds(t *testing.T) {
	w := newWorld()
	w.look(7, 0, Usage{Memory: 100})
	if _, ok := w.Rates("app", "app.1", 7); ok {
		t.Error("one look tells a rate")
	}
	for i := range 30 { // at first nothing is asked, and then a hundred requests a second
		busy := max(0, i-15)
		w.look(7, uint64(100*busy), Usage{CPU: time.Duration(busy) * time.Second / 2, Memory: 200})
	}
	r, ok := w.Rates("app", "app.1", 7)
	if !ok || r.PerSecond != 100 || r.CPU != 50 || r.Memory != 200 || r.P99 != 0 {
		t.Errorf("the rates are %+v", r)
	}
}

func TestANewRunIsMeasuredFromItsOwnBeginning(t *testing.T) {
	w := newWorld()
	for range 5 {
		w.look(7, 10, Usage{CPU: time.Hour, Memory: 1})
	}
	w.look(8, 10, Usage{CPU: time.Second, Memory: 1})
	if r, _ := w.Rates("app", "app.1", 8); r.CPU != 0 {
		t.Errorf("after its first look it is said to use %v %%", r.CPU)
	}
	if seen := w.History("app.1"); len(seen) != 0 {
		t.Errorf("its predecessor's samples are taken for its own: %+v", seen)
	}
	w.look(8, 30, Usage{CPU: 1250 * time.Millisecond, Memory: 1})
	seen := w.History("app.1")
	if r, _ := w.Rates("app", "app.1", 8); r.CPU != 25 || len(seen) != 1 || seen[0].CPU != 0.25 || seen[0].Answers != 20 || !math.IsNaN(seen[0].Answer) {
		t.Errorf("it uses %v %%, and its history is %+v", r.CPU, seen)
	}
	if _, known := w.Usage(7); known {
		t.Error("what has ended still uses something")
	}
}

func TestTheHistoryIsBounded(t *testing.T) {
	w := newWorld()
	for range Kept + 50 {
		w.look(7, 0, Usage{})
	}
	seen := w.History("app.1")
	if len(seen) != Kept || seen[Kept-1].At != begin.Add((Kept+49)*time.Second) || !math.IsNaN(seen[0].Memory) {
		t.Errorf("%d samples, the last one of %s", len(seen), seen[len(seen)-1].At)
	}
}
