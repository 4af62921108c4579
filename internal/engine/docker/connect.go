package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// callTimeout bounds a call that Docker answers at once when it is well.
const callTimeout = 20 * time.Second

// defaultContext is the name of docker's context that stands for the
// environment and the default socket.
const defaultContext = "default"

// connection is a client and what is to be known of the engine behind it.
type connection struct {
	*client.Client
	desktop  bool                 // it runs in a machine of its own
	builder  build.BuilderVersion // the one that the engine prefers; empty: it does not say
	loopback bool                 // its containers' addresses are not reachable from here: their ports are published on loopback instead
}

// open makes a client that finds its engine as docker's own does: the host
// given, else DOCKER_HOST (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH), else
// the context of DOCKER_CONTEXT or of docker's configuration, else the default
// socket; and beyond that, the socket of a rootless engine. It does no I/O on the network.
func open(host string) (*client.Client, error) {
	options, err := clientOptions(host)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where Docker is: %w", err)
	}
	c, err := client.New(append(options, client.WithUserAgent("bulsa"))...)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where Docker is: %w", err)
	}
	return c, nil
}

func clientOptions(host string) ([]client.Opt, error) {
	env := os.Getenv(client.EnvOverrideHost)
	named := contextName()
	own := rootlessHost(strings.TrimPrefix(client.DefaultDockerHost, "unix://"), os.Getenv("XDG_RUNTIME_DIR"))
	switch {
	case host != "":
		return hostOptions(host)
	case strings.HasPrefix(env, "ssh://"):
		return hostOptions(env)
	case env == "" && named != defaultContext:
		return contextOptions(named)
	case env == "" && own != "":
		return hostOptions(own)
	}
	return []client.Opt{client.FromEnv}, nil
}

func hostOptions(host string) ([]client.Opt, error) {
	endpoint := docker.Endpoint{EndpointMeta: docker.EndpointMeta{Host: host}}
	return endpoint.ClientOpts()
}

// rootlessHost is the socket of the user's own engine, where there is one and the
// system's is not for this user. docker's own client needs a context to find it.
func rootlessHost(system, runtimeDir string) string {
	own := filepath.Join(runtimeDir, "docker.sock")
	if runtimeDir == "" || unix.Access(system, unix.R_OK|unix.W_OK) == nil || unix.Access(own, unix.R_OK|unix.W_OK) != nil {
		return ""
	}
	return "unix://" + own
}

// contextName is docker's choice: DOCKER_CONTEXT, else its configuration.
func contextName() string {
	if name := os.Getenv("DOCKER_CONTEXT"); name != "" {
		return name
	}
	file, err := config.Load(config.Dir())
	if err != nil || file.CurrentContext == "" {
		return defaultContext
	}
	return file.CurrentContext
}

func contextOptions(name string) ([]client.Opt, error) {
	contexts := store.New(config.ContextStoreDir(), store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(docker.DockerEndpoint, func() any { return &docker.EndpointMeta{} }),
	))
	meta, err := contexts.GetMetadata(name)
	if err != nil {
		return nil, fmt.Errorf("docker context %q: %w", name, err)
	}
	found, err := docker.EndpointFromContext(meta)
	if err != nil {
		return nil, fmt.Errorf("docker context %q: %w", name, err)
	}
	endpoint, err := docker.WithTLSData(contexts, name, found)
	if err != nil {
		return nil, fmt.Errorf("docker context %q: %w", name, err)
	}
	return endpoint.ClientOpts()
}

// connect asks the engine who it is.
func connect(ctx context.Context, host string, loopback bool) (*connection, error) {
	c, err := open(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	if err != nil {
		c.Close()
		return nil, unreachable(c, err)
	}
	info, err := c.Info(ctx, client.InfoOptions{})
	if err != nil {
		c.Close()
		return nil, unreachable(c, err)
	}
	if info.Info.OSType != "" && info.Info.OSType != "linux" {
		c.Close()
		return nil, fmt.Errorf("the Docker engine at %s runs %s containers; bulsa needs Linux ones", c.DaemonHost(), info.Info.OSType)
	}
	rootless := slices.ContainsFunc(info.Info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=rootless") })
	desktop := info.Info.OperatingSystem == "Docker Desktop"
	return &connection{Client: c, builder: answer.BuilderVersion, desktop: desktop, loopback: loopback || rootless || desktop}, nil
}

// unreachable is errAway with what to do.
func unreachable(c *client.Client, err error) error {
	reason := err.Error()
	switch {
	case errors.Is(err, os.ErrPermission):
		reason = "permission denied: run bulsa as root or as a member of the socket's group"
	case client.IsErrConnectionFailed(err), errors.Is(err, os.ErrNotExist):
		reason = "is dockerd running? DOCKER_HOST or docker's context says where it is"
	}
	return fmt.Errorf("%w at %s: %s", errAway, c.DaemonHost(), reason)
}

// errAway: the engine could not be reached. That says nothing about a container.
var errAway = errors.New("cannot reach the Docker engine")

// isAway reports whether a call failed because the engine could not be reached.
func isAway(err error) bool {
	return errors.Is(err, errAway) || client.IsErrConnectionFailed(err)
}
