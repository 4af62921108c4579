package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/go-archive"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/jsonmessage"
	"github.com/moby/moby/client/pkg/versions"
	"github.com/moby/patternmatcher/ignorefile"

	"bulsa/internal/spec"
)

// build builds the image: by BuildKit where the engine has it.
func (j job) build(ctx context.Context) error {
	if asked, err := j.asksBuildx(ctx); asked || err != nil {
		if err == nil {
			err = j.buildByBuildx(ctx)
		}
		if err != nil {
			return fmt.Errorf("cannot build %s: %w", j.container.Image, err)
		}
		return nil
	}
	kit, err := j.conn.hasBuildKit()
	if err != nil {
		return err
	}
	options, err := j.buildOptions()
	if err != nil {
		return err
	}
	var content io.ReadCloser
	b := j.container.Build
	if strings.Contains(b.Context, "://") || strings.HasPrefix(b.Context, "git@") || strings.HasPrefix(b.Context, "github.com/") {
		options.RemoteContext = b.Context
	} else if content, options.Dockerfile, err = buildContext(*b); err != nil {
		return err
	} else {
		defer content.Close()
	}
	fmt.Fprintf(j.images.Out, "%s: building %s\n", j.service, j.container.Image)
	if kit {
		err = j.buildKit(ctx, content, options)
	} else {
		err = j.buildClassic(ctx, content, options)
	}
	if err != nil {
		return fmt.Errorf("cannot build %s: %w", j.container.Image, err)
	}
	return nil
}

// buildKitAPI is the first version of the API with BuildKit behind it.
const buildKitAPI = "1.39"

// hasBuildKit tells which builder is asked: DOCKER_BUILDKIT decides, as for
// docker's own client, else what the engine says of itself. One that says nothing
// (before Docker 23) has BuildKit all the same.
func (c *connection) hasBuildKit() (bool, error) {
	if choice := os.Getenv("DOCKER_BUILDKIT"); choice != "" {
		on, err := strconv.ParseBool(choice)
		if err != nil {
			return false, fmt.Errorf("DOCKER_BUILDKIT is %q: write 1 or 0", choice)
		}
		return on, nil
	}
	return c.builder != build.BuilderV1 && versions.GreaterThanOrEqualTo(c.ClientVersion(), buildKitAPI), nil
}

// buildClassic builds by the builder that Docker had before BuildKit.
func (j job) buildClassic(ctx context.Context, content io.Reader, options client.ImageBuildOptions) error {
	if len(j.container.Build.Secrets) > 0 {
		return errors.New("build.secrets needs BuildKit, which this engine lacks or DOCKER_BUILDKIT=0 switches off")
	}
	answer, err := j.conn.ImageBuild(ctx, content, options)
	if err != nil {
		return plain(err)
	}
	defer answer.Body.Close()
	err = jsonmessage.DisplayStream(answer.Body, j.images.Out)
	if err == nil {
		return nil
	}
	if strings.Contains(err.Error(), "BuildKit") {
		return fmt.Errorf("%w; this engine lacks it, or DOCKER_BUILDKIT=0 switches it off", plain(err))
	}
	return plain(err)
}

func (j job) buildOptions() (client.ImageBuildOptions, error) {
	b := j.container.Build
	o := client.ImageBuildOptions{
		Tags: append([]string{j.container.Image}, b.Tags...), Dockerfile: b.Dockerfile, Target: b.Target, Labels: b.Labels,
		CacheFrom: b.CacheFrom, ExtraHosts: b.ExtraHosts, NetworkMode: b.Network, ShmSize: b.ShmSize, NoCache: b.NoCache,
		PullParent: b.Pull, Remove: true, ForceRemove: true, BuildArgs: map[string]*string{}, AuthConfigs: map[string]registry.AuthConfig{},
	}
	for name, value := range b.Args {
		o.BuildArgs[name] = &value
	}
	file, err := dockerConfig()
	if err != nil {
		return o, err
	}
	all, err := file.GetAllCredentials()
	if err != nil {
		return o, fmt.Errorf("docker's credentials cannot be read: %w", err)
	}
	for domain, c := range all {
		o.AuthConfigs[domain] = registry.AuthConfig{
			Username: c.Username, Password: c.Password, Auth: c.Auth,
			ServerAddress: c.ServerAddress, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
		}
	}
	for _, u := range b.Ulimits {
		o.Ulimits = append(o.Ulimits, &container.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	wanted := j.container.Platform
	if wanted == "" && len(b.Platforms) > 0 {
		wanted = b.Platforms[0] // several are Buildx's business
	}
	o.Platforms, err = platforms(wanted)
	return o, err
}

// buildContext packs the folder without what .dockerignore names, and says
// where in it the Dockerfile is. One from elsewhere is packed beside it.
func buildContext(b spec.Build) (io.ReadCloser, string, error) {
	info, err := os.Stat(b.Context)
	if err != nil || !info.IsDir() {
		return nil, "", fmt.Errorf("the build context %s is not a folder", b.Context)
	}
	path := b.Dockerfile
	if path == "" {
		path = filepath.Join(b.Context, "Dockerfile")
	}
	inside, err := filepath.Rel(b.Context, path)
	foreign := b.Inline != "" || err != nil || strings.HasPrefix(inside, "..")
	var dockerfile []byte
	switch {
	case b.Inline != "":
		dockerfile = []byte(b.Inline)
	case foreign:
		if dockerfile, err = os.ReadFile(path); err != nil {
			return nil, "", fmt.Errorf("the Dockerfile cannot be read: %w", err)
		}
	default:
		if _, err := os.Stat(path); err != nil {
			return nil, "", fmt.Errorf("there is no Dockerfile at %s", path)
		}
	}
	excluded, err := ignored(b.Context, path)
	if err != nil {
		return nil, "", err
	}
	if !foreign {
		excluded = append(excluded, "!"+filepath.ToSlash(inside)) // the builder needs it, whatever .dockerignore says
	}
	packed, err := archive.TarWithOptions(b.Context, &archive.TarOptions{ExcludePatterns: excluded, ChownOpts: &archive.ChownOpts{}})
	if err != nil {
		return nil, "", fmt.Errorf("the build context cannot be packed: %w", err)
	}
	if !foreign {
		return packed, filepath.ToSlash(inside), nil
	}
	return withFile(packed, ownDockerfile, dockerfile), ownDockerfile, nil
}

// ownDockerfile is the name of a Dockerfile that is not a file of the context.
const ownDockerfile = ".bulsa.Dockerfile"

// ignored are the patterns of the Dockerfile's own ignore file, else of the
// context's .dockerignore.
func ignored(context, dockerfile string) ([]string, error) {
	for _, name := range []string{dockerfile + ".dockerignore", filepath.Join(context, ".dockerignore")} {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		patterns, err := ignorefile.ReadAll(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return patterns, nil
	}
	return nil, nil
}
