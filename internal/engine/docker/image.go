package docker

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/jsonmessage"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"bulsa/internal/spec"
)

// dockerHub is how docker's configuration names the registry of names without one.
const dockerHub = "https://index.docker.io/v1/"

// Images is what Prepare needs to know.
type Images struct {
	Host  string    // see Config
	Build bool      // build again what can be built
	Out   io.Writer // progress, with bars where it is a terminal
}

// Prepare makes sure that the image of every container of p is there: it is
// built or pulled as the file says. The project that it returns names the images
// by what they are now, so that another image is another release. Nothing is
// asked of Docker where no service is a container. An error is a *spec.Problem.
func Prepare(ctx context.Context, p spec.Project, o Images) (spec.Project, error) {
	first := slices.IndexFunc(p.Services, func(s spec.Service) bool { return s.Engine == spec.EngineDocker })
	if first < 0 {
		return p, nil
	}
	conn, err := connect(ctx, o.Host, false)
	if err != nil {
		return p, &spec.Problem{Where: p.Place("services." + p.Services[first].Name + ".image"), What: err.Error()}
	}
	defer conn.Close()
	images, err := provideAll(ctx, jobsOf(conn, p, o))
	if err != nil {
		return p, err
	}
	p.Services = slices.Clone(p.Services)
	for i, s := range p.Services {
		if s.Engine != spec.EngineDocker {
			continue
		}
		c := *s.Container
		image := images[imageKey(c)]
		c.ImageID, c.ImageVolumes = image.id, image.volumes
		p.Services[i].Container = &c
	}
	return p, nil
}

// imageKey is what two services must have in common to run the same image.
func imageKey(c spec.Container) string { return c.Image + " " + c.Platform }

// jobsOf is a job for each image of p: first those that are built, which others may run,
// too, or be built from.
func jobsOf(conn *connection, p spec.Project, o Images) []job {
	var jobs []job
	seen := map[string]bool{}
	for _, built := range []bool{true, false} {
		for _, s := range p.Services {
			if s.Engine != spec.EngineDocker || (s.Container.Build != nil) != built || !built && seen[imageKey(*s.Container)] {
				continue
			}
			seen[imageKey(*s.Container)] = true
			jobs = append(jobs, job{conn: conn, images: o, service: s.Name, container: *s.Container, project: p})
		}
	}
	return jobs
}

// provideAll does the jobs: builds one after another, then the others together, so that
// ten images take no longer than the network. It returns the images by imageKey.
func provideAll(ctx context.Context, jobs []job) (map[string]found, error) {
	images := map[string]found{}
	var rest []job
	for _, j := range jobs {
		if j.container.Build == nil {
			rest = append(rest, j)
			continue
		}
		image, err := j.provide(ctx)
		if err != nil {
			return nil, j.problem(err)
		}
		images[imageKey(j.container)] = image
	}
	given := make([]found, len(rest))
	errs := make([]error, len(rest))
	var pulls sync.WaitGroup
	var writing sync.Mutex
	slots := make(chan struct{}, pullsAtATime)
	for i, j := range rest {
		if len(rest) > 1 {
			j.images.Out = &lines{mu: &writing, out: j.images.Out}
		}
		pulls.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			given[i], errs[i] = j.provide(ctx)
		})
	}
	pulls.Wait()
	for i, j := range rest {
		if errs[i] != nil {
			return nil, j.problem(errs[i])
		}
		images[imageKey(j.container)] = given[i]
	}
	return images, nil
}

// pullsAtATime bounds what is asked of registries and of the disk at once.
const pullsAtATime = 4

// lines is the output of one of several jobs: whole lines, one at a time, and no bars,
// since those of two jobs would write over each other.
type lines struct {
	mu  *sync.Mutex
	out io.Writer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

// problem is an error with the place of the service in the file.
func (j job) problem(err error) error {
	what := "image"
	if j.container.Build != nil {
		what = "build"
	}
	return &spec.Problem{Where: j.project.Place("services." + j.service + "." + what), What: fmt.Sprintf("service %s: %v", j.service, err)}
}

// job provides the image of one service.
type job struct {
	conn      *connection
	images    Images
	service   string
	container spec.Container
	project   spec.Project
}

// found is what an image says of itself; the zero value: it is not there.
type found struct {
	id      string
	volumes []string  // paths, sorted
	tagged  time.Time // when it was pulled or built last
}

// stale reports whether pull_policy wants the image to be pulled again.
func (f found) stale(c spec.Container, now time.Time) bool {
	return c.Pull == spec.PullRefresh && f.tagged.Add(c.Refresh).Before(now)
}

// provide returns the image, once it is there.
func (j job) provide(ctx context.Context) (found, error) {
	image, err := j.find(ctx)
	if err != nil {
		return found{}, err
	}
	id := image.id
	c := j.container
	switch {
	case c.Build != nil && (j.images.Build || c.Pull == spec.PullBuild || id == "" && c.Pull != spec.PullNever):
		err = j.build(ctx)
	case c.Build == nil && (c.Pull == spec.PullAlways || id == "" && c.Pull != spec.PullNever || image.stale(c, time.Now())):
		err = j.pull(ctx)
	case id != "":
		return image, nil
	default:
		return found{}, fmt.Errorf("the image %s is not there, and pull_policy is never", c.Image)
	}
	if err != nil {
		return found{}, err
	}
	if image, err = j.find(ctx); image.id == "" && err == nil {
		err = fmt.Errorf("the image %s is not there, although it was made", c.Image)
	}
	return image, err
}

// find looks at the image, or returns nothing.
func (j job) find(ctx context.Context) (found, error) {
	image, err := j.conn.ImageInspect(ctx, j.container.Image)
	if errdefs.IsNotFound(err) {
		return found{}, nil
	}
	if err != nil {
		return found{}, fmt.Errorf("cannot look at the image %s: %w", j.container.Image, plain(err))
	}
	out := found{id: image.ID, tagged: image.Metadata.LastTagTime}
	if image.Config != nil {
		out.volumes = slices.Sorted(maps.Keys(image.Config.Volumes))
	}
	return out, nil
}

func (j job) pull(ctx context.Context) error {
	name, err := reference.ParseNormalizedNamed(j.container.Image)
	if err != nil {
		return fmt.Errorf("%q is not an image: %w", j.container.Image, err)
	}
	fmt.Fprintf(j.images.Out, "%s: pulling %s\n", j.service, j.container.Image)
	began := time.Now()
	auth, err := credentials(reference.Domain(name))
	if err != nil {
		return err
	}
	platforms, err := platforms(j.container.Platform)
	if err != nil {
		return err
	}
	answer, err := j.conn.ImagePull(ctx, reference.TagNameOnly(name).String(), client.ImagePullOptions{RegistryAuth: auth, Platforms: platforms})
	if err != nil {
		return fmt.Errorf("cannot pull %s: %w", j.container.Image, plain(err))
	}
	defer answer.Close()
	out := j.images.Out
	_, several := out.(*lines)
	if several {
		out = io.Discard
	}
	if err := jsonmessage.DisplayStream(answer, out); err != nil {
		return fmt.Errorf("cannot pull %s: %w", j.container.Image, plain(err))
	}
	if several {
		fmt.Fprintf(j.images.Out, "%s: pulled %s in %.1f s\n", j.service, j.container.Image, time.Since(began).Seconds())
	}
	return nil
}

// credentials are docker's own for a registry, from its configuration and its
// credential helpers.
func credentials(domain string) (string, error) {
	file, err := dockerConfig()
	if err != nil {
		return "", err
	}
	if domain == "docker.io" {
		domain = dockerHub
	}
	found, err := file.GetAuthConfig(domain)
	if err != nil {
		return "", fmt.Errorf("docker's credentials for %s cannot be read: %w", domain, err)
	}
	return authconfig.Encode(registry.AuthConfig{
		Username: found.Username, Password: found.Password, Auth: found.Auth,
		ServerAddress: found.ServerAddress, IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
	})
}

func dockerConfig() (*configfile.ConfigFile, error) {
	file, err := config.Load(config.Dir())
	if err != nil {
		return nil, fmt.Errorf("docker's configuration cannot be read: %w", err)
	}
	return file, nil
}

// platforms reads os/arch[/variant].
func platforms(text string) ([]ocispec.Platform, error) {
	if text == "" {
		return nil, nil
	}
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return nil, fmt.Errorf("%q is not a platform: write it like linux/amd64", text)
	}
	p := ocispec.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return []ocispec.Platform{p}, nil
}
