package diagnose

import (
	"context"
	"fmt"
	"strings"

	"bulsa/internal/doctor"
	"bulsa/internal/supervisor"
)

// elsewhere is where a worker listens that lets its requests wait unread; nil for
// every other worker.
func (e *Examiner) elsewhere(w doctor.Worker) []string {
	if !doctor.Unanswered(w) {
		return nil
	}
	id, err := Running(context.Background(), e.Processes, w.Name)
	if err != nil {
		return nil // no process of bulsa's, or not any more
	}
	return e.Processes.Deaf(id)
}

// NameDeaf makes what tells, once for each run, that a ready worker does not answer
// while something of it listens elsewhere: to be found without a look at doctor.
func (e *Examiner) NameDeaf(tell func(worker, message string)) func(*supervisor.Status) {
	told := map[string]int{} // the pid of the run, by worker
	return func(st *supervisor.Status) {
		for _, sv := range st.Services {
			for _, w := range sv.Workers {
				if w.PID == 0 || told[w.Name] == w.PID {
					continue
				}
				seen := doctor.Worker{Name: w.Name, State: w.State.String(), Samples: e.History(w.Name)}
				if at := e.elsewhere(seen); len(at) > 0 {
					told[w.Name] = w.PID
					tell(w.Name, fmt.Sprintf("has answered no request yet, they wait unread; it also listens on %s: is that the application? (bulsa doctor)", strings.Join(at, ", ")))
				}
			}
		}
	}
}
