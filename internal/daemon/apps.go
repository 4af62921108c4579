package daemon

import (
	"context"
	"sync"

	"bulsa/internal/admin"
	"bulsa/internal/relay"
)

// AppMetrics asks the workers of all services at the same time.
func (d *Daemon) AppMetrics() []admin.AppFamily {
	services := d.supervisor.Status().Services
	found := make([][]relay.Family, len(services))
	var asked sync.WaitGroup
	for i, sv := range services {
		asked.Go(func() { found[i] = d.processes.Metrics(context.Background(), sv.Name) })
	}
	asked.Wait()
	var all []admin.AppFamily
	for i, sv := range services {
		for _, f := range found[i] {
			app := admin.AppFamily{Service: sv.Name, Name: f.Name, Help: f.Help, Type: f.Type}
			for _, s := range f.Samples {
				app.Samples = append(app.Samples, admin.AppSample(s))
			}
			all = append(all, app)
		}
	}
	return all
}
