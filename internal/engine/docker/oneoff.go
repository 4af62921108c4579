package docker

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// labelOneOff marks a container of `bulsa run SERVICE`, with its project: no engine
// takes it over or clears it away, and down leaves it to who started it.
const labelOneOff = "bulsa.oneoff"

// RunOptions say how a container beside a service's own ones runs once.
type RunOptions struct {
	Name    string // of the container; empty: PROJECT-SERVICE-run-XXXX
	Keep    bool   // do not remove it when it has ended
	Ports   bool   // publish the service's ports; Docker does it
	Publish bool   // publish the ports that the service has as HostPorts
	Detach  bool   // return its name at once
}

// Run runs a container of a service once and returns its exit status.
func (o *Operator) Run(ctx context.Context, s spec.Service, r RunOptions, streams Streams) (name string, status int, err error) {
	c := *s.Container
	c.TTY, c.StdinOpen = streams.Terminal, streams.In != nil
	if r.Ports {
		for _, p := range s.Ports {
			c.HostPorts = append(c.HostPorts, spec.HostPort{Host: p.Host, Published: p.Published, Target: p.Target, Protocol: "tcp"})
		}
	} else if !r.Publish {
		c.HostPorts = nil
	}
	s.Ports, s.Container = nil, &c
	id, name, err := o.createOneOff(ctx, s, r)
	if err != nil {
		return "", 0, err
	}
	if r.Detach {
		if _, err := o.conn.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
			o.drop(id)
			return "", 0, fmt.Errorf("the container cannot be started: %w", plain(err))
		}
		return name, 0, nil
	}
	status, err = o.runAttached(ctx, id, streams)
	if !r.Keep {
		o.drop(id)
	}
	return name, status, err
}

func (o *Operator) createOneOff(ctx context.Context, s spec.Service, r RunOptions) (id, name string, err error) {
	if err := o.conn.ensure(ctx, o.project, s); err != nil {
		return "", "", err
	}
	lenders, err := o.conn.lenders(ctx, o.project, *s.Container)
	if err != nil {
		return "", "", err
	}
	b := blueprint{project: o.project, launch: engine.Launch{Worker: s.Name + ".run", Release: &spec.Release{Service: s}}, lenders: lenders, api: o.conn.ClientVersion()}
	options, err := b.options()
	if err != nil {
		return "", "", err
	}
	for _, label := range []string{labelProject, labelWorker, labelRelease, labelInstance, composeNumber} {
		delete(options.Config.Labels, label)
	}
	options.Config.Labels[labelOneOff] = o.project
	options.HostConfig.AutoRemove = r.Detach && !r.Keep
	options.Config.AttachStdout, options.Config.AttachStderr, options.Config.AttachStdin = true, true, s.Container.StdinOpen
	options.Config.StdinOnce = s.Container.StdinOpen
	dropNames(&options)
	name = r.Name
	if name == "" {
		name = fmt.Sprintf("%s-%s-run-%08x", o.project, s.Name, rand.Uint32())
	}
	options.Name = name
	made, err := o.conn.ContainerCreate(ctx, options)
	if err != nil {
		return "", "", explainCreate(s, err)
	}
	if err := o.furnish(ctx, b, made.ID); err != nil {
		o.drop(made.ID)
		return "", "", err
	}
	return made.ID, name, nil
}

// dropNames keeps requests for the service from a container that runs beside it.
func dropNames(options *client.ContainerCreateOptions) {
	if options.NetworkingConfig == nil {
		return
	}
	for _, e := range options.NetworkingConfig.EndpointsConfig {
		e.Aliases = nil
	}
}

// furnish joins the other networks and writes the files that are not mounted.
func (o *Operator) furnish(ctx context.Context, b blueprint, id string) error {
	c := b.launch.Release.Service.Container
	for i, n := range c.Network.Networks {
		if i == 0 {
			continue
		}
		e, err := b.endpoint(n)
		if err != nil {
			return err
		}
		e.Aliases = nil
		if _, err := o.conn.NetworkConnect(ctx, n.Name, client.NetworkConnectOptions{Container: id, EndpointConfig: e}); err != nil {
			return fmt.Errorf("cannot join network %s: %w", n.Name, plain(err))
		}
	}
	return o.conn.writeFiles(ctx, id, c.Files)
}

// runAttached starts a container and carries its streams until it ends.
func (o *Operator) runAttached(ctx context.Context, id string, s Streams) (int, error) {
	attached, err := o.conn.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: s.In != nil, Stdout: true, Stderr: true})
	if err != nil {
		return 0, fmt.Errorf("cannot attach to the container: %w", plain(err))
	}
	defer attached.Close()
	ended := o.conn.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := o.conn.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return 0, fmt.Errorf("the container cannot be started: %w", plain(err))
	}
	resize := func(rows, cols int) {
		_, _ = o.conn.ContainerResize(ctx, id, client.ContainerResizeOptions{Height: uint(rows), Width: uint(cols)}) // a wrong size is no reason to end
	}
	if err := s.carry(ctx, attached.HijackedResponse, resize); err != nil {
		return 0, err
	}
	select {
	case answer := <-ended.Result:
		return int(answer.StatusCode), nil
	case err := <-ended.Error:
		return 0, fmt.Errorf("cannot tell how the container ended: %w", plain(err))
	}
}

// drop removes a one-off container, running or not, with its anonymous volumes.
func (o *Operator) drop(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_, _ = o.conn.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}) // who asked for it sees it in docker ps
}
