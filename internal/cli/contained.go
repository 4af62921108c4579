package cli

import (
	"cmp"
	"fmt"
	"strconv"

	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

// contained completes the flags of a bulsa that runs in a container: what the
// bulsa outside wants counts, as a Compose file's words count before the image's.
func contained(o *runOptions, in daemon.Contained) {
	f := &o.flags
	f.Workers = cmp.Or(in.Workers, f.Workers)
	if in.Report != "" {
		f.Workers = cmp.Or(f.Workers, "1")
	}
	f.Workers = cmp.Or(f.Workers, workers(*f))
	if !in.Is() {
		return
	}
	f.Environ = in.Rest
	sharePort(f)
	o.admin = cmp.Or(o.admin, "off") // nobody could reach it
	f.StopTimeout = cmp.Or(f.StopTimeout, in.StopGrace().String())
}

// sharePort makes several workers that are no Node applications, each of which
// gets a port of its own, serve the port that the container is known by.
func sharePort(f *runFlags) {
	env := spec.Environment(f.Environ)
	port, err := strconv.ParseUint(env["PORT"], 10, 16)
	if err != nil || port == 0 || len(f.Publish) > 0 || f.Workers == "" || f.Workers == "1" || workers(*f) == "auto" {
		return
	}
	f.Publish = []string{fmt.Sprintf("%d:%d", port, port)}
	delete(env, "PORT")
	f.Environ = spec.SortEnvironment(env)
}

// containerLogs bounds what is kept of a worker's output where bulsa is the
// first process of a container: the container's own log has it as well.
func containerLogs(p spec.Project, in daemon.Contained) {
	if !in.First {
		return
	}
	for i := range p.Services {
		p.Services[i].Logs = spec.Logs{MaxSize: 1 << 20, MaxFiles: 2}
	}
}
