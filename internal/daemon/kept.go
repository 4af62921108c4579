package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/logs"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
	"bulsa/internal/view"
)

// Names in a project's folder of logs, beside the output of its workers.
const (
	eventsFile = "events.jsonl" // what happened, an api.Event a line
	recordFile = "project.json" // whose logs these are, a Kept
)

// eventJournal is where a project's events are kept; each of its two files has thousands.
func eventJournal(folder string) *logs.Journal {
	return logs.NewJournal(filepath.Join(folder, eventsFile), logs.Limits{MaxSize: 1 << 20, MaxFiles: 2})
}

// Kept is what is on disk of a project, also when it does not run: the output of its
// workers, and what happened.
type Kept struct {
	Name    string    `json:"name"`
	Dir     string    `json:"dir"`
	Started time.Time `json:"started"`
	folder  string
}

// record writes down whose logs are in a folder.
func record(p spec.Project, folder string, started time.Time) error {
	b, err := json.Marshal(Kept{Name: p.Name, Dir: p.Dir, Started: started})
	if err != nil {
		return err
	}
	path := filepath.Join(folder, recordFile)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// KeptOf is what is kept of a project; false when nothing is.
func KeptOf(project string) (Kept, bool) {
	if api.CheckRuntime(project) != nil {
		return Kept{}, false
	}
	folder := logDir(project)
	k := Kept{Name: project, folder: folder}
	b, err := os.ReadFile(filepath.Join(folder, recordFile))
	if err == nil && json.Unmarshal(b, &k) == nil {
		return k, true
	}
	_, err = os.Stat(filepath.Join(folder, eventsFile))
	return k, err == nil
}

// KeptIn is what is kept of the project that was started last in a folder.
func KeptIn(dir string) (Kept, bool) {
	var found []Kept
	records, _ := filepath.Glob(filepath.Join(logDir("*"), recordFile)) // a bad pattern has no match
	for _, path := range records {
		var k Kept
		b, err := os.ReadFile(path)
		if err == nil && json.Unmarshal(b, &k) == nil && k.Dir == dir {
			k.folder = filepath.Dir(path)
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		return Kept{}, false
	}
	return slices.MaxFunc(found, func(a, b Kept) int { return cmp.Compare(a.Started.UnixNano(), b.Started.UnixNano()) }), true
}

// Logs sends the last lines of the named workers and services, as a running project does.
func (k Kept) Logs(ctx context.Context, tail int, names []string) (<-chan api.LogLine, error) {
	lines, err := logs.Read(ctx, k.folder, tail, names...)
	if err != nil {
		return nil, err
	}
	return convert(ctx, lines, view.LogLine), nil
}

// Workers are the workers whose output is kept.
func (k Kept) Workers() []string {
	workers, _ := logs.Workers(k.folder) // a folder that cannot be read has none
	return workers
}

// Events are the events that are kept, oldest first.
func (k Kept) Events() ([]api.Event, error) {
	var events []api.Event
	err := eventJournal(k.folder).Lines(func(line []byte) {
		var e api.Event
		if json.Unmarshal(line, &e) == nil { // half a line, after a crash of the machine, is none
			events = append(events, e)
		}
	})
	return events, err
}

// keepEvents writes down what happens until ctx ends, between a line for the beginning
// and, by the function that it returns, one for the end.
func (d *Daemon) keepEvents(ctx context.Context) (end func(cause string)) {
	folder := logDir(d.options.Project.Name)
	journal := eventJournal(folder)
	failed := false
	keep := func(e api.Event) {
		b, err := json.Marshal(e)
		if err == nil {
			err = journal.Append(b)
		}
		if err != nil && !failed {
			d.logger.Warn("events are not kept on disk", "reason", err)
		}
		failed = err != nil
	}
	_, events := d.supervisor.Events(ctx, true)
	keep(api.Event{At: d.started, Kind: "begin", Message: "bulsa " + d.options.Version + " begins, pid " + strconv.Itoa(os.Getpid())})
	d.events.Restore(earlierEvents(folder))
	if err := record(d.options.Project, folder, d.started); err != nil {
		d.logger.Warn("what is kept of the project will not be found by its folder", "reason", err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		for e := range events {
			keep(view.Event(e))
		}
	}()
	return func(cause string) {
		<-written
		keep(api.Event{At: time.Now(), Kind: "end", Message: "bulsa ends", Cause: cause})
		journal.Close()
	}
}

// earlierEvents are those of a folder, of the project's runs before this one.
func earlierEvents(folder string) []supervisor.Event {
	kept, _ := Kept{folder: folder}.Events() // what cannot be read is not shown
	events := make([]supervisor.Event, 0, len(kept))
	for _, e := range kept {
		events = append(events, supervisor.Event{At: e.At, Service: e.Service, Worker: e.Worker, Kind: e.Kind, Message: e.Message, Cause: e.Cause})
	}
	return events
}

// NoSuch is the line about a name of which nothing is kept.
func (k Kept) NoSuch(name string) string {
	return api.Project{Name: k.Name, Services: services(k.Workers())}.NoSuch("worker or service", name)
}

func services(workers []string) []api.Service {
	var s api.Service
	for _, name := range workers {
		s.Workers = append(s.Workers, api.Worker{Name: name})
	}
	return []api.Service{s}
}
