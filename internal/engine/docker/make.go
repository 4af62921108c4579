package docker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// create makes a container with all that belongs to it, and does not start it.
func (r *run) create(ctx context.Context, conn *connection, inherited map[string]string) (string, error) {
	s := r.launch.Release.Service
	r.engine.making.Lock()
	err := conn.ensure(ctx, r.engine.cfg.Project, s)
	r.engine.making.Unlock()
	if err != nil {
		return "", err
	}
	lenders, err := conn.lenders(ctx, r.engine.cfg.Project, *s.Container)
	if err != nil {
		return "", err
	}
	b := blueprint{project: r.engine.cfg.Project, launch: r.launch, inherited: inherited, lenders: lenders, loopback: conn.loopback, api: conn.ClientVersion()}
	options, err := b.options()
	if err != nil {
		return "", err
	}
	if err := r.offerReports(ctx, conn, &options); err != nil {
		return "", err
	}
	for _, what := range tooNew(*s.Container, conn.ClientVersion()) {
		r.emit(engine.Fact{Kind: engine.Notice, Message: what})
	}
	if s.Container.Healthcheck.StartInterval != 0 && (options.Config.Healthcheck == nil || options.Config.Healthcheck.StartInterval == 0) {
		r.emit(engine.Fact{Kind: engine.Notice, Message: "healthcheck.start_interval has no effect: this Docker is older than 25"})
	}
	if named, err := conn.ImageInspect(ctx, s.Container.Image); err == nil && named.ID == options.Config.Image {
		options.Config.Image = s.Container.Image // docker ps shows what a container was created from
	}
	id, err := createNamed(ctx, conn, options, b.name())
	if err != nil && withoutReports(&options, err) {
		r.emit(engine.Fact{Kind: engine.Notice, Message: "the engine does not see this machine's folders: a bulsa inside cannot report"})
		id, err = createNamed(ctx, conn, options, b.name())
	}
	if err != nil {
		return "", explainCreate(s, err)
	}
	r.hold(id)
	if err := r.furnish(ctx, conn, b, id); err != nil {
		r.discard(conn, id)
		return "", err
	}
	return id, nil
}

// createNamed gives the container its name; while another one still has it, as
// the one that it replaces does, with a few letters more.
func createNamed(ctx context.Context, conn *connection, options client.ContainerCreateOptions, name string) (string, error) {
	options.Name = name
	for {
		made, err := conn.ContainerCreate(ctx, options)
		if err == nil {
			return made.ID, nil
		}
		if !errdefs.IsConflict(err) || ctx.Err() != nil {
			return "", err
		}
		options.Name = fmt.Sprintf("%s-%04x", name, rand.N(1<<16))
	}
}

// rename gives the container the name that another one had when it was created.
func (r *run) rename(ctx context.Context, conn *connection) {
	b := blueprint{project: r.engine.cfg.Project, launch: r.launch}
	r.mu.Lock()
	id, named := r.container, r.named
	r.mu.Unlock()
	if id == "" || named == "" || named == b.name() {
		return
	}
	if _, err := conn.ContainerRename(ctx, id, client.ContainerRenameOptions{NewName: b.name()}); err != nil {
		return // somebody has it: the next one that goes may be that one
	}
	r.mu.Lock()
	r.named = b.name()
	r.mu.Unlock()
}

// furnish joins the other networks and writes the files that are not mounted.
func (r *run) furnish(ctx context.Context, conn *connection, b blueprint, id string) error {
	c := r.launch.Release.Service.Container
	for i, n := range c.Network.Networks {
		if i == 0 {
			continue
		}
		e, err := b.endpoint(n)
		if err != nil {
			return err
		}
		if _, err := conn.NetworkConnect(ctx, n.Name, client.NetworkConnectOptions{Container: id, EndpointConfig: e}); err != nil {
			return fmt.Errorf("cannot join network %s: %w", n.Name, err)
		}
	}
	return conn.writeFiles(ctx, id, c.Files)
}

// writeFiles writes secrets and configs into a container.
func (c *connection) writeFiles(ctx context.Context, id string, files []spec.File) error {
	if len(files) == 0 {
		return nil
	}
	content, err := packFiles(files)
	if err != nil {
		return err
	}
	if _, err := c.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: content}); err != nil {
		return fmt.Errorf("cannot write secrets and configs: %w", err)
	}
	return nil
}

func explainCreate(s spec.Service, err error) error {
	if errdefs.IsNotFound(err) && strings.Contains(err.Error(), "No such image") {
		how := "pull it, as bulsa up does"
		if s.Container.Build != nil {
			how = "bulsa up --build makes it again"
		}
		return fmt.Errorf("the image %s is gone: %s", s.Container.Image, how)
	}
	return fmt.Errorf("cannot create a container: %w", plain(err))
}

// plain is Docker's error without what only its developers need.
func plain(err error) error {
	if isAway(err) {
		return err
	}
	text := strings.TrimSpace(strings.TrimPrefix(err.Error(), "Error response from daemon: "))
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	if strings.Contains(text, "no space left on device") {
		text += " (free some, as with docker system prune)"
	}
	return errors.New(text)
}

// explainStart says what is wrong with a container that does not start.
func (r *run) explainStart(err error) error {
	if err == nil || isAway(err) {
		return err
	}
	missing := regexp.MustCompile(`exec: \\?"([^"\\]+)\\?": (executable file not found|stat [^:]+: no such file)`).FindStringSubmatch(err.Error())
	if missing != nil {
		return fmt.Errorf("command not found: %s: it is not in the image %s", missing[1], r.launch.Release.Service.Container.Image)
	}
	return fmt.Errorf("its container cannot be started: %w", plain(err))
}
