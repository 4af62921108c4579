package daemon

import (
	"io"
	"math"
	"testing"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/doctor"
	"bulsa/internal/logs"
	"bulsa/internal/proxy"
	"bulsa/internal/supervisor"
)

func TestTheConsoleTellsWhatHappensInsideOfAContainerOnce(t *testing.T) {
	inside, outside := supervisor.Event{Worker: "app.1/2", Kind: "ready"}, supervisor.Event{Worker: "app.1", Kind: "ready"}
	withOutput, without := newConsole(io.Discard, nil), newConsole(nil, nil)
	if withOutput.tells(inside) || !withOutput.tells(outside) || !without.tells(inside) {
		t.Error("an event is told twice, or not at all")
	}
}

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
	store, err := logs.Open(t.TempDir(), func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	nobody := func(string, string) time.Duration { return 0 }
	for i := range 8 {
		h.note(status(report), sample{at: at.Add(time.Duration(i) * time.Second), stats: proxy.Stats{}}, store, nobody)
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
	h.note(status(nil), sample{at: at.Add(time.Minute)}, store, nobody)
	if len(h.of("app.1/1")) > 0 || len(h.of("app.1")) == 0 {
		t.Error("what has gone is still kept, or what is there is not")
	}
}
