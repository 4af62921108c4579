package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"bulsa/internal/spec"
)

// departure is a container on its way out: nobody takes it over.
type departure struct {
	worker  string
	sources []string      // volumes and folders that it may still write to
	over    chan struct{} // closed when nothing of it runs any more
}

// occupied: a container must not start beside another one that is about to end.
type occupied struct {
	who   string
	until <-chan struct{}
}

func (o *occupied) Error() string {
	return fmt.Sprintf("container %s still writes to the same data", short(o.who))
}

func isOccupied(err error) bool { return errors.As(err, new(*occupied)) }

// occupiedUntil is closed when it is worth to try again; nil for other errors.
func occupiedUntil(err error) <-chan struct{} {
	if o, ok := errors.AsType[*occupied](err); ok {
		return o.until
	}
	return nil
}

// candidate is a container that a run can use, and what else there is.
type candidate struct {
	id        string
	running   bool // since an earlier run of bulsa, or because somebody started it
	exited    bool
	inherited map[string]string   // volumes of the worker's last container, by path
	left      []container.Summary // of the worker, without the one above
}

// fresh reports whether the container never ran.
func (c candidate) fresh() bool { return !c.running && !c.exited }

// takeOver looks for a container of this worker and release that nobody holds,
// and retires the worker's other leftovers. Where two containers must not run at
// a time, it is an *occupied error until the others have ended.
func (r *run) takeOver(ctx context.Context, conn *connection) (candidate, error) {
	project := r.engine.cfg.Project
	list, err := conn.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", composeProject+"="+project)})
	if err != nil {
		return candidate{}, fmt.Errorf("cannot list containers: %w", err)
	}
	own := slices.DeleteFunc(slices.Clone(list.Items), func(c container.Summary) bool {
		return c.Labels[labelProject] != project || c.Labels[labelWorker] != r.launch.Worker
	})
	found := r.choose(own)
	if r.alone() && !found.running {
		if err := r.engine.await(conn, r, found.left, list.Items); err != nil {
			return candidate{}, err
		}
		return found, nil // what is left goes when its successor has its volumes
	}
	for _, c := range found.left {
		if r.engine.claim(c) {
			r.engine.work.Go(func() { r.engine.retire(conn, c.ID) })
		}
	}
	return found, nil
}

// alone reports whether no second container may run on the data of this one.
func (r *run) alone() bool {
	s := r.launch.Release.Service
	return s.KeepsData() && !s.StartFirst()
}

// choose takes the best of a worker's containers.
func (r *run) choose(own []container.Summary) candidate {
	best := candidate{}
	for _, pass := range []container.ContainerState{container.StateRunning, container.StatePaused, container.StateExited} {
		for _, c := range own {
			if best.id == "" && c.State == pass && c.Labels[labelRelease] == r.launch.Release.Digest && r.hold(c.ID) {
				best.id, best.running, best.exited = c.ID, pass != container.StateExited, pass == container.StateExited
			}
		}
	}
	newest := int64(0)
	for _, c := range own {
		r.engine.keepFolder(c.ID, c.Labels)
		if c.ID == best.id {
			r.engine.remakeFolder(c.Labels)
			continue
		}
		best.left = append(best.left, c)
		if volumes := volumesOf(c); len(volumes) > 0 && c.Created >= newest {
			best.inherited, newest = volumes, c.Created
		}
	}
	return best
}

// volumesOf are the names of a container's volumes, by path.
func volumesOf(c container.Summary) map[string]string {
	out := map[string]string{}
	for _, m := range c.Mounts {
		if m.Type == "volume" && m.Name != "" {
			out[m.Destination] = m.Name
		}
	}
	return out
}

// sourcesOf are the volumes and folders that a container writes to.
func sourcesOf(c container.Summary) []string {
	var out []string
	for _, m := range c.Mounts {
		if source := cmp.Or(m.Name, m.Source); m.RW && source != "" {
			out = append(out, source)
		}
	}
	return out
}

// await makes sure that nothing runs any more that r must not run beside: its
// worker's earlier containers, those of the project that are on their way out
// and write to the same data, and what docker compose itself runs of the service.
func (e *Engine) await(conn *connection, r *run, left, all []container.Summary) error {
	for _, c := range left {
		if isAlive(c) && e.claim(c) {
			e.work.Go(func() { e.quiesce(conn, c.ID) })
		}
	}
	sources := r.launch.Release.Service.Container.Shared()
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, d := range e.doomed {
		if d.worker == r.launch.Worker || intersect(d.sources, sources) {
			return &occupied{who: id, until: d.over}
		}
	}
	service := r.launch.Release.Service.Name
	for _, c := range all {
		foreign := c.Labels[labelProject] == "" && c.Labels[composeService] == service && !strings.EqualFold(c.Labels[composeOneOff], "true")
		if foreign && isAlive(c) && intersect(sourcesOf(c), sources) {
			return fmt.Errorf("container %s of docker compose runs on the same data: end it first, as with docker compose stop %s", strings.TrimPrefix(strings.Join(c.Names, " "), "/"), service)
		}
	}
	return nil
}

func isAlive(c container.Summary) bool {
	return c.State == container.StateRunning || c.State == container.StatePaused || c.State == container.StateRestarting
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(text string) bool { return slices.Contains(b, text) })
}

// quiesce ends a container in its own way and leaves it for its successor.
func (e *Engine) quiesce(conn *connection, id string) {
	_, err := conn.ContainerStop(e.ctx, id, client.ContainerStopOptions{})
	if err != nil && e.ctx.Err() == nil {
		e.cfg.Logger.Warn("cannot stop a container", "id", short(id), "reason", err)
	}
	e.departed(id)
}

// succeed removes the containers that the run's own one takes the place of.
func (r *run) succeed(ctx context.Context, conn *connection, found candidate) {
	for _, c := range found.left {
		if r.engine.claim(c) {
			r.engine.remove(ctx, conn, c.ID)
		}
	}
}

// stays reports whether the container is kept when its run ends: the next run
// of the worker goes on with it, or with its volumes.
func (r *run) stays() bool {
	if !r.launch.Release.Service.KeepsData() {
		return false
	}
	e := r.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range e.holders {
		if other != r && other.launch.Worker == r.launch.Worker {
			return false // it has a successor
		}
	}
	return true
}

// Forget removes what is left of a worker that will not run again.
func (e *Engine) Forget(ctx context.Context, worker string) {
	e.mu.Lock()
	conn := e.conn
	closed := e.closed
	e.mu.Unlock()
	if conn == nil || closed {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := conn.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ofProject(e.cfg.Project).Add("label", labelWorker+"="+worker)})
	if err != nil {
		return // the next bulsa up looks again
	}
	for _, c := range list.Items {
		if c.State == container.StateExited && e.claim(c) {
			e.remove(ctx, conn, c.ID)
		}
	}
}

// Keep removes containers of earlier runs of the project that no worker of p
// will take over. It returns at once; where no service of p is a container, it
// leaves Docker alone.
func (e *Engine) Keep(p spec.Project) {
	if !slices.ContainsFunc(p.Services, func(s spec.Service) bool { return s.Engine == spec.EngineDocker }) {
		return
	}
	e.sweeping.Lock()
	e.kept = &p
	e.sweeping.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.work.Go(func() {
		if conn, err := e.connection(e.ctx); err == nil {
			_ = e.sweep(e.ctx, conn) // the starts that follow will say it
		}
	})
}

// sweep begins to remove what Keep was told that nobody needs. No container
// starts before: it could run beside one that writes to the same data.
func (e *Engine) sweep(ctx context.Context, conn *connection) error {
	e.sweeping.Lock()
	defer e.sweeping.Unlock()
	if e.kept == nil {
		return nil
	}
	list, err := conn.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ofProject(e.cfg.Project)})
	if err != nil {
		return fmt.Errorf("cannot list containers: %w", err)
	}
	for _, c := range list.Items {
		if !wanted(*e.kept, c.Labels) && e.claim(c) {
			e.work.Go(func() { e.retire(conn, c.ID) })
		}
	}
	e.kept = nil
	return nil
}

// wanted reports whether a worker of p may take a container over, or its volumes.
func wanted(p spec.Project, labels map[string]string) bool {
	return slices.ContainsFunc(p.Services, func(s spec.Service) bool {
		number, ok := strings.CutPrefix(labels[labelWorker], s.Name+".")
		n := 0
		if _, err := fmt.Sscan(number, &n); !ok || err != nil {
			return false
		}
		return s.Engine == spec.EngineDocker && n <= s.Replicas && (labels[labelRelease] == s.Digest() || s.KeepsData())
	})
}

// claim dooms a container unless a run holds it or somebody else doomed it.
func (e *Engine) claim(c container.Summary) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.holders[c.ID] != nil || e.doomed[c.ID] != nil {
		return false
	}
	e.doom(c.ID, c.Labels[labelWorker], sourcesOf(c))
	return true
}

// doom notes that a container is on its way out. e.mu is held.
func (e *Engine) doom(id, worker string, sources []string) {
	if e.doomed[id] == nil {
		e.doomed[id] = &departure{worker: worker, sources: sources, over: make(chan struct{})}
	}
}

// departed notes that a container has ended, and returns whose it was.
func (e *Engine) departed(id string) (worker string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.doomed[id]
	if d == nil {
		return ""
	}
	delete(e.doomed, id)
	close(d.over)
	return d.worker
}
