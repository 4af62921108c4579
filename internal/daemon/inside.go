package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"bulsa/internal/admin"
	"bulsa/internal/api"
	"bulsa/internal/diagnose"
	"bulsa/internal/engine"
	"bulsa/internal/inner"
)

// What is asked of a bulsa inside a container: how long that may take, and how
// much of its answer is read.
const (
	insideTime   = 20 * time.Second
	insideAnswer = 4 << 10
)

// killInside asks the bulsa in a container to send a signal to one of its
// workers, as docker exec would. What the container has said of itself, the path
// of that bulsa and the worker's name there, has effect in this container alone.
func (d *Daemon) killInside(ctx context.Context, name, signal string) error {
	holder, program, worker := d.findInside(name)
	if holder == "" {
		return admin.NotFound(d.Project().NoSuch("worker", name))
	}
	if program == "" || worker == "" {
		return admin.Conflict(fmt.Sprintf("%s cannot be signalled from outside: the bulsa in its container is too old; use docker exec", name))
	}
	id, err := diagnose.Running(ctx, d.containers, holder)
	if err != nil {
		return err
	}
	result, err := d.containers.Exec(ctx, id, engine.Command{
		Args: []string{program, "kill", "--signal", signal, "--", worker}, Timeout: insideTime, MaxOutput: insideAnswer,
	})
	switch {
	case err != nil:
		return admin.Conflict(err.Error())
	case result.TimedOut:
		return admin.Conflict(fmt.Sprintf("cannot signal %s: the bulsa in its container has not answered within %s", name, insideTime))
	case result.ExitCode != 0:
		return admin.Conflict(fmt.Sprintf("cannot signal %s: the bulsa in its container says: %s", name, inner.Clean(result.Output)))
	}
	return nil
}

// findInside returns whose container a worker is in, and what the bulsa there
// has said of itself and calls that worker.
func (d *Daemon) findInside(name string) (holder, program, worker string) {
	for _, sv := range d.supervisor.Status().Services {
		for _, w := range sv.Workers {
			i := slices.IndexFunc(w.Inner.Named(sv.Name, w.Name), func(in api.Worker) bool { return in.Name == name })
			if i >= 0 {
				return w.Name, w.Inner.Program, w.Inner.Workers[i].Name
			}
		}
	}
	return "", "", ""
}
