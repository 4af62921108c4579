package daemon

import (
	"context"
	"os"
	"slices"
	"strconv"
	"sync"

	"bulsa/internal/api"
	"bulsa/internal/inner"
)

// reporting is how a bulsa inside a container sees itself for the one outside.
type reporting struct {
	daemon  *Daemon
	program string // path of this bulsa
	mu      sync.Mutex
	number  map[string]int // by worker's name: as the one outside knows it
}

// reportOutside tells the bulsa outside, if there is one, how the workers are,
// until ctx ends.
func (d *Daemon) reportOutside(ctx context.Context) {
	if d.inside.Report == "" {
		return
	}
	program, _ := os.Executable() // "" where nobody can tell: then nothing can be asked of it
	r := &reporting{daemon: d, program: program, number: map[string]int{}}
	events := make(chan api.Event, 64)
	_, all := d.supervisor.Events(ctx, true)
	go func() {
		defer close(events)
		for e := range all {
			n := r.numberOf(e.Worker)
			if n == 0 || e.Kind == "notice" {
				continue
			}
			select {
			case events <- api.Event{Worker: strconv.Itoa(n), Kind: e.Kind, Message: e.Message, Cause: e.Cause}:
			case <-ctx.Done():
				return
			}
		}
	}()
	s := &inner.Sender{Path: d.inside.Report, Look: r.look, Events: events}
	go s.Run(ctx)
}

// look is the workers as they are. While one replaces another of the same name,
// the better one stands for both.
func (r *reporting) look() api.Inside {
	report := api.Inside{Workers: []api.Worker{}, Program: r.program}
	next, picture := 0, r.daemon.picture()
	for _, sv := range r.daemon.supervisor.Status().Services {
		for _, w := range sv.Workers {
			row := picture.Worker(sv, w, nil)
			row.Number += next
			r.note(row.Name, row.Number)
			i := slices.IndexFunc(report.Workers, func(o api.Worker) bool { return o.Number == row.Number })
			switch {
			case i < 0:
				report.Workers = append(report.Workers, row)
			case report.Workers[i].State != "ready":
				report.Workers[i] = row
			}
		}
		for _, w := range report.Workers {
			next = max(next, w.Number)
		}
	}
	return report
}

func (r *reporting) note(name string, number int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number[name] = number
}

// numberOf is 0 for what is no worker.
func (r *reporting) numberOf(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number[name]
}
