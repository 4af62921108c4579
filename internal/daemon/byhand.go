package daemon

import (
	"context"
	"io"

	"bulsa/internal/engine/docker"
	"bulsa/internal/node"
	"bulsa/internal/spec"
)

// What commands do to containers and images by hand, without a project that runs.
type (
	Operator    = docker.Operator
	Streams     = docker.Streams
	ExecOptions = docker.ExecOptions
	RunOptions  = docker.RunOptions
	Image       = docker.Image
)

// NewOperator connects to the Docker Engine, for one project.
func NewOperator(ctx context.Context, project string) (*Operator, error) {
	return docker.NewOperator(ctx, "", project)
}

// Outside is the environment of a command beside a worker that is a process, made of the
// worker's own; isNode: its application is known to be a Node program.
func Outside(env []string, isNode bool) []string { return node.Outside(env, isNode) }

// Pull pulls the images of p's containers again.
func Pull(ctx context.Context, p spec.Project, out io.Writer) error {
	return docker.Pull(ctx, p, docker.Images{Out: out})
}

// Build builds the images of p's containers that are built.
func Build(ctx context.Context, p spec.Project, out io.Writer) error {
	return docker.Build(ctx, p, docker.Images{Out: out})
}

// ImagesOf are the images of p's containers.
func ImagesOf(ctx context.Context, p spec.Project) ([]Image, error) {
	return docker.ImagesOf(ctx, p, "")
}
