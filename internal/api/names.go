package api

import (
	"fmt"
	"slices"
	"strings"
)

// ServiceNames are the project's services, in its order.
func (p Project) ServiceNames() []string {
	names := make([]string, 0, len(p.Services))
	for _, s := range p.Services {
		names = append(names, s.Name)
	}
	return names
}

// WorkerNames are the project's workers, in its order.
func (p Project) WorkerNames() []string {
	var names []string
	for _, s := range p.Services {
		for _, w := range s.Workers {
			names = append(names, w.Name)
		}
	}
	return names
}

// HasWorker reports whether there is a worker of that name, in a container's
// inside as well.
func (p Project) HasWorker(name string) bool {
	named := func(w Worker) bool { return w.Name == name }
	return slices.ContainsFunc(p.Services, func(s Service) bool {
		return slices.ContainsFunc(s.Workers, func(w Worker) bool { return named(w) || slices.ContainsFunc(w.Inner, named) })
	})
}

// NoSuch is the line about a name that does not exist. what is "service",
// "worker" or "worker or service".
func (p Project) NoSuch(what, name string) string {
	names := p.WorkerNames()
	if what == "service" || len(names) == 0 {
		names = p.ServiceNames()
	}
	line := fmt.Sprintf("no %s %q in project %s", what, name, p.Name)
	if len(names) == 0 {
		return line
	}
	const most = 20
	if len(names) > most {
		names = append(names[:most:most], "...")
	}
	return line + "; there are: " + strings.Join(names, ", ")
}
