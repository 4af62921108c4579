package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"bulsa/internal/spec"
)

// Pull pulls the images of a project's services again, also those that are there.
// Services that are built are left alone. An error is a *spec.Problem.
func Pull(ctx context.Context, p spec.Project, o Images) error {
	return eachImage(ctx, p, o, func(j job) error {
		if j.container.Build != nil || j.container.Pull == spec.PullBuild {
			return nil
		}
		return j.pull(ctx)
	})
}

// Build builds the images of a project's services that are built.
func Build(ctx context.Context, p spec.Project, o Images) error {
	return eachImage(ctx, p, o, func(j job) error {
		if j.container.Build == nil {
			return nil
		}
		return j.build(ctx)
	})
}

func eachImage(ctx context.Context, p spec.Project, o Images, do func(job) error) error {
	done := map[string]bool{}
	var conn *connection
	for _, s := range p.Services {
		if s.Engine != spec.EngineDocker || done[s.Container.Image] {
			continue
		}
		done[s.Container.Image] = true
		if conn == nil {
			var err error
			if conn, err = connect(ctx, o.Host, false); err != nil {
				return &spec.Problem{Where: p.Place("services." + s.Name + ".image"), What: err.Error()}
			}
			defer conn.Close()
		}
		if err := do(job{conn: conn, images: o, service: s.Name, container: *s.Container, project: p}); err != nil {
			return &spec.Problem{Where: p.Place("services." + s.Name + ".image"), What: fmt.Sprintf("service %s: %v", s.Name, err)}
		}
	}
	return nil
}

// Image is one image of a project.
type Image struct {
	Service string    `json:"service"`
	Name    string    `json:"image"`
	ID      string    `json:"id"`         // empty: it is not there
	Size    int64     `json:"size_bytes"` // of all layers
	Created time.Time `json:"created_at"`
}

// ImagesOf are the images of a project's containers, as they are now.
func ImagesOf(ctx context.Context, p spec.Project, host string) ([]Image, error) {
	var list []Image
	var conn *connection
	for _, s := range p.Services {
		if s.Engine != spec.EngineDocker {
			continue
		}
		if conn == nil {
			var err error
			if conn, err = connect(ctx, host, false); err != nil {
				return nil, err
			}
			defer conn.Close()
		}
		image := Image{Service: s.Name, Name: s.Container.Image}
		found, err := conn.ImageInspect(ctx, s.Container.Image)
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("cannot look at the image %s: %w", s.Container.Image, plain(err))
		}
		if err == nil {
			image.ID, image.Size = found.ID, found.Size
			created, wrong := time.Parse(time.RFC3339Nano, found.Created)
			if wrong != nil && found.Created != "" {
				return nil, fmt.Errorf("the image %s: %w", s.Container.Image, wrong)
			}
			image.Created = created
		}
		list = append(list, image)
	}
	return list, nil
}
