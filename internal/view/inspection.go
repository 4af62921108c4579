package view

import (
	"encoding/json"
	"slices"
	"strings"

	"bulsa/internal/api"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
)

// Inspect tells all about a worker or a service; false when there is none of that name.
// Of the environment it shows the names alone.
func (s Sources) Inspect(st *supervisor.Status, name string) (api.Inspection, bool) {
	for _, sv := range st.Services {
		if sv.Name == name {
			service := s.Service(sv)
			in := api.Inspection{Service: &service, Config: visibleConfig(sv.Service)}
			for _, w := range sv.Workers {
				in.Workers = append(in.Workers, s.inspectWorker(sv, w))
			}
			return in, true
		}
		for _, w := range sv.Workers {
			if w.Name == name {
				in := s.inspectWorker(sv, w)
				in.Config = visibleConfig(sv.Service)
				return in, true
			}
			for _, inside := range w.Inner.Named(sv.Name, w.Name) {
				if inside.Name == name {
					return api.Inspection{Worker: &inside}, true
				}
			}
		}
	}
	return api.Inspection{}, false
}

func (s Sources) inspectWorker(sv supervisor.ServiceStatus, w supervisor.WorkerStatus) api.Inspection {
	row := s.Worker(sv, w, s.Ports(sv.Name))
	in := api.Inspection{Worker: &row, Logs: s.LogFiles(w.Name), Blocks: s.Blocks(w.Name), Health: &api.Health{
		Status: w.Health, FailingStreak: w.Streak, CPUSeconds: w.CheckCPU.Seconds(), Warnings: w.Warnings, Log: []api.HealthLog{},
	}}
	for _, c := range w.Checks {
		in.Health.Log = append(in.Health.Log, api.HealthLog{Start: c.Start, End: c.End, ExitCode: c.ExitCode, Output: c.Output, CPU: c.CPU.Seconds()})
	}
	for _, h := range w.History {
		in.History = append(in.History, api.Change{At: h.At, From: h.From.String(), To: h.To.String(), Cause: h.Cause})
	}
	return in
}

// visibleConfig is a service without the values of its environment.
func visibleConfig(sv spec.Service) json.RawMessage {
	names := make([]string, 0, len(sv.Command.Env))
	for _, kv := range sv.Command.Env {
		name, _, _ := strings.Cut(kv, "=")
		names = append(names, name)
	}
	sv.Command.Env = names
	if sv.Container != nil {
		sv.Container = withoutContents(*sv.Container)
	}
	b, err := json.Marshal(sv)
	if err != nil {
		return nil
	}
	return b
}

// withoutContents is a container without what secrets, configs and build
// arguments hold.
func withoutContents(c spec.Container) *spec.Container {
	c.Files = slices.Clone(c.Files)
	for i := range c.Files {
		c.Files[i].Content = ""
	}
	if c.Build != nil {
		build := *c.Build
		build.Args = map[string]string{}
		for name := range c.Build.Args {
			build.Args[name] = ""
		}
		c.Build = &build
	}
	return &c
}
