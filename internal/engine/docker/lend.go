package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// lenders finds the containers whose namespaces and volumes a service uses: of each
// service that it names the first one that runs.
func (c *connection) lenders(ctx context.Context, project string, s spec.Container) (map[string]string, error) {
	found := map[string]string{}
	for _, name := range lendingServices(s) {
		filters := ofProject(project).Add("label", labelService+"="+name)
		list, err := c.ContainerList(ctx, client.ContainerListOptions{Filters: filters})
		if err != nil {
			return nil, fmt.Errorf("cannot list the containers of %s: %w", name, err)
		}
		first := slices.MinFunc(append(list.Items, container.Summary{Labels: map[string]string{labelWorker: "~"}}), func(a, b container.Summary) int {
			return strings.Compare(a.Labels[labelWorker], b.Labels[labelWorker])
		})
		if first.ID == "" {
			return nil, fmt.Errorf("no container of %s runs, which this one is to share with", name)
		}
		found[name] = first.ID
	}
	return found, nil
}

// lendingServices are the services of whose containers one uses something.
func lendingServices(c spec.Container) []string {
	modes := []string{c.Network.Mode, c.Security.PID, c.Security.IPC}
	for _, text := range c.VolumesFrom {
		if !strings.HasPrefix(text, "container:") {
			modes = append(modes, "service:"+strings.Split(text, ":")[0])
		}
	}
	var names []string
	for _, mode := range modes {
		if name, _ := spec.Borrowed(mode); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// lent is the engine's word for a namespace: service:NAME becomes container:ID.
func (b blueprint) lent(mode string) string {
	if name, _ := spec.Borrowed(mode); name != "" {
		return "container:" + b.lenders[name]
	}
	return mode
}

// lentVolumes is the engine's word for an entry of volumes_from.
func (b blueprint) lentVolumes(text string) string {
	if other, isContainer := strings.CutPrefix(text, "container:"); isContainer {
		return other
	}
	name, access, given := strings.Cut(text, ":")
	if given {
		return b.lenders[name] + ":" + access
	}
	return b.lenders[name]
}

// borrowAddress lends a container in another one's network the addresses of that one.
func (c *connection) borrowAddress(ctx context.Context, in *container.InspectResponse) {
	if !in.HostConfig.NetworkMode.IsContainer() {
		return
	}
	lender, err := c.ContainerInspect(ctx, in.HostConfig.NetworkMode.ConnectedContainer(), client.ContainerInspectOptions{})
	if err == nil && lender.Container.NetworkSettings != nil { // else it is about to end, and this one with it
		in.NetworkSettings = lender.Container.NetworkSettings
	}
}

// lendersOf are the ids of the containers whose namespaces one uses.
func lendersOf(h *container.HostConfig) []string {
	var ids []string
	for _, mode := range []string{string(h.NetworkMode), string(h.PidMode), string(h.IpcMode)} {
		if id, isContainer := strings.CutPrefix(mode, "container:"); isContainer {
			ids = append(ids, id)
		}
	}
	return ids
}

// recall ends what runs in the network or another namespace of a container that has
// ended: what is left of it leads nowhere. The next start shares with the successor.
func (e *Engine) recall(id string) {
	e.mu.Lock()
	runs := slices.Collect(maps.Values(e.runs))
	e.mu.Unlock()
	for _, r := range runs {
		r.mu.Lock()
		borrows := id != "" && slices.Contains(r.lenders, id) && !r.over && !r.stopping
		r.expelled = r.expelled || borrows
		container := r.container
		r.mu.Unlock()
		if borrows {
			e.work.Go(func() { e.expel(r, container) })
		}
	}
}

// expel kills the container of a run that borrows from one that has ended.
func (e *Engine) expel(r *run, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	conn, err := e.connection(ctx)
	if err != nil {
		return // the engine is away: what has ended meanwhile is seen when it is back
	}
	if _, err := conn.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); noInstance(err) != nil && !errors.Is(noInstance(err), engine.ErrNoInstance) {
		r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("cannot end its container, whose network is gone: %v", plain(err))})
	}
}
