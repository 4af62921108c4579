package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Operator does to the containers of a project what a command asks for, beside the
// Engine that keeps them alive, and also where none does.
type Operator struct {
	conn    *connection
	project string
}

// NewOperator connects to the engine at host, see Config.
func NewOperator(ctx context.Context, host, project string) (*Operator, error) {
	conn, err := connect(ctx, host, false)
	if err != nil {
		return nil, err
	}
	return &Operator{conn: conn, project: project}, nil
}

// Close ends the connection.
func (o *Operator) Close() { o.conn.Close() }

// Streams are what a command that runs in a container reads and writes.
type Streams struct {
	In       io.Reader // nil: nothing
	Out, Err io.Writer
	Terminal bool                    // Out is a terminal, in raw mode, and gets all
	Resized  <-chan struct{}         // closed never; a value: the terminal may have another size
	Size     func() (rows, cols int) // of the terminal
}

// ExecOptions say how a command runs in a container.
type ExecOptions struct {
	Args       []string
	Env        []string // KEY=VALUE
	User       string
	Dir        string
	Privileged bool
	Detach     bool // do not wait for its end
}

// Exec runs a command in the container of a worker and returns its exit status.
func (o *Operator) Exec(ctx context.Context, worker string, e ExecOptions, s Streams) (int, error) {
	id, err := o.container(ctx, worker)
	if err != nil {
		return 0, err
	}
	made, err := o.conn.ExecCreate(ctx, id, client.ExecCreateOptions{
		Cmd: e.Args, Env: e.Env, User: e.User, WorkingDir: e.Dir, Privileged: e.Privileged, TTY: s.Terminal,
		AttachStdin: s.In != nil && !e.Detach, AttachStdout: !e.Detach, AttachStderr: !e.Detach,
	})
	if err != nil {
		return 0, fmt.Errorf("cannot run a command in %s: %w", worker, plain(err))
	}
	if e.Detach {
		if _, err := o.conn.ExecStart(ctx, made.ID, client.ExecStartOptions{Detach: true}); err != nil {
			return 0, fmt.Errorf("cannot run a command in %s: %w", worker, plain(err))
		}
		return 0, nil
	}
	attached, err := o.conn.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: s.Terminal})
	if err != nil {
		return 0, fmt.Errorf("cannot run a command in %s: %w", worker, plain(err))
	}
	defer attached.Close()
	resize := func(rows, cols int) {
		_, _ = o.conn.ExecResize(ctx, made.ID, client.ExecResizeOptions{Height: uint(rows), Width: uint(cols)}) // a wrong size is no reason to end
	}
	if err := s.carry(ctx, attached.HijackedResponse, resize); err != nil {
		return 0, err
	}
	return exitCode(ctx, o.conn, made.ID)
}

// carry brings the input in and the output out, until the output ends.
func (s Streams) carry(ctx context.Context, c client.HijackedResponse, resize func(rows, cols int)) error {
	defer context.AfterFunc(ctx, c.Close)()
	if s.Terminal {
		over := make(chan struct{})
		defer close(over)
		go s.follow(over, resize)
	}
	if s.In != nil {
		go func() { // ends with the input, or with the connection at the next byte of it
			_, _ = io.Copy(c.Conn, s.In)
			_ = c.CloseWrite()
		}()
	}
	var err error
	if s.Terminal {
		_, err = io.Copy(s.Out, c.Reader)
	} else {
		_, err = stdcopy.StdCopy(s.Out, s.Err, c.Reader)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// follow tells each new size of the terminal, and the first.
func (s Streams) follow(over <-chan struct{}, resize func(rows, cols int)) {
	for {
		if rows, cols := s.Size(); rows > 0 && cols > 0 {
			resize(rows, cols)
		}
		select {
		case <-s.Resized:
		case <-over:
			return
		}
	}
}

// container is the id of a worker's container that runs, or of the last one.
func (o *Operator) container(ctx context.Context, worker string) (string, error) {
	filters := ofProject(o.project).Add("label", labelWorker+"="+worker)
	list, err := o.conn.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return "", fmt.Errorf("cannot list containers: %w", plain(err))
	}
	if len(list.Items) == 0 {
		return "", fmt.Errorf("%s has no container", worker)
	}
	slices.SortStableFunc(list.Items, func(a, b container.Summary) int { // those that run first
		return boolOrder(a.State == container.StateRunning || a.State == container.StatePaused, b.State == container.StateRunning || b.State == container.StatePaused)
	})
	return list.Items[0].ID, nil
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// Top lists the processes of a worker's container.
func (o *Operator) Top(ctx context.Context, worker string) (titles []string, rows [][]string, err error) {
	id, err := o.container(ctx, worker)
	if err != nil {
		return nil, nil, err
	}
	top, err := o.conn.ContainerTop(ctx, id, client.ContainerTopOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list the processes of %s: %w", worker, plain(err))
	}
	return top.Titles, top.Processes, nil
}

// Pause freezes a worker's container, Unpause lets it go on.
func (o *Operator) Pause(ctx context.Context, worker string) error {
	id, err := o.container(ctx, worker)
	if err != nil {
		return err
	}
	if _, err := o.conn.ContainerPause(ctx, id, client.ContainerPauseOptions{}); err != nil && !errdefs.IsConflict(err) {
		return fmt.Errorf("cannot pause %s: %w", worker, plain(err))
	}
	return nil
}

func (o *Operator) Unpause(ctx context.Context, worker string) error {
	id, err := o.container(ctx, worker)
	if err != nil {
		return err
	}
	if _, err := o.conn.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{}); err != nil && !strings.Contains(err.Error(), "is not paused") {
		return fmt.Errorf("cannot let %s go on: %w", worker, plain(err))
	}
	return nil
}

// RemoveVolumes removes the volumes that were made for the project, and the anonymous
// ones of ids. It returns the names of those that were removed.
func (o *Operator) RemoveVolumes(ctx context.Context, anonymous []string) ([]string, error) {
	list, err := o.conn.VolumeList(ctx, client.VolumeListOptions{Filters: ofProject(o.project)})
	if err != nil {
		return nil, fmt.Errorf("cannot list the project's volumes: %w", plain(err))
	}
	names := slices.Clone(anonymous)
	for _, v := range list.Items {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	var removed []string
	for _, name := range slices.Compact(names) {
		_, failed := o.conn.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
		switch {
		case failed == nil:
			removed = append(removed, name)
		case !errdefs.IsNotFound(failed):
			err = errors.Join(err, fmt.Errorf("cannot remove the volume %s: %w", name, plain(failed)))
		}
	}
	return removed, err
}

// AnonymousVolumes are the names of the volumes without a name of the project's containers.
func (o *Operator) AnonymousVolumes(ctx context.Context) ([]string, error) {
	list, err := o.conn.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ofProject(o.project)})
	if err != nil {
		return nil, fmt.Errorf("cannot list containers: %w", plain(err))
	}
	var names []string
	for _, c := range list.Items {
		for _, m := range c.Mounts {
			v, err := o.conn.VolumeInspect(ctx, m.Name, client.VolumeInspectOptions{})
			if m.Name != "" && err == nil {
				if _, anonymous := v.Volume.Labels["com.docker.volume.anonymous"]; anonymous || len(m.Name) == 64 && len(v.Volume.Labels) == 0 {
					names = append(names, m.Name)
				}
			}
		}
	}
	return names, nil
}
