package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bulsa/internal/spec"
)

// asksBuildx reports whether docker's Buildx is to build the image: for what only it
// can do. The engine's own API has no words for that; Compose hands all builds to it.
func (j job) asksBuildx(ctx context.Context) (bool, error) {
	must, may := onlyBuildx(*j.container.Build)
	if len(must)+len(may) == 0 {
		return false, nil
	}
	err := exec.CommandContext(ctx, "docker", "buildx", "version").Run()
	switch {
	case err == nil:
		return true, nil
	case len(must) > 0:
		return false, fmt.Errorf("build.%s needs docker's Buildx, which is not installed: install the package docker-buildx or docker-buildx-plugin", must[0])
	}
	for _, key := range may {
		fmt.Fprintf(j.images.Out, "%s: build.%s has no effect: docker's Buildx is not installed\n", j.service, key)
	}
	return false, nil
}

// onlyBuildx are the keys of a build that only Buildx knows: those without which the
// image would be another one, and the others.
func onlyBuildx(b spec.Build) (must, may []string) {
	x := b.Buildx
	for _, key := range []struct {
		name  string
		given bool
		list  *[]string
	}{
		{"ssh", len(x.SSH) > 0, &must},
		{"additional_contexts", len(x.Contexts) > 0, &must},
		{"platforms", len(b.Platforms) > 1, &must},
		{"privileged", x.Privileged, &must},
		{"entitlements", len(x.Entitlements) > 0, &must},
		{"cache_to", len(x.CacheTo) > 0, &may},
		{"no_cache_filter", len(x.NoCacheFilter) > 0, &may},
		{"provenance", x.Provenance != "", &may},
		{"sbom", x.SBOM != "", &may},
	} {
		if key.given {
			*key.list = append(*key.list, key.name)
		}
	}
	return must, may
}

// buildByBuildx runs docker buildx build.
func (j job) buildByBuildx(ctx context.Context) error {
	args, err := j.buildxArgs()
	if err != nil {
		return err
	}
	fmt.Fprintf(j.images.Out, "%s: building %s\n", j.service, j.container.Image)
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = os.Environ()
	if j.images.Host != "" {
		cmd.Env = append(cmd.Env, "DOCKER_HOST="+j.images.Host)
	}
	for i, s := range j.container.Build.Secrets {
		if s.File == "" {
			cmd.Env = append(cmd.Env, secretVariable(i)+"="+s.Content)
		}
	}
	cmd.Stdin = strings.NewReader(j.container.Build.Inline)
	last := &bytes.Buffer{}
	both := io.MultiWriter(j.images.Out, last) // one writer: exec writes to it from one goroutine
	cmd.Stdout, cmd.Stderr = both, both
	err = cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); failed {
		return fmt.Errorf("docker buildx: %s", lastLine(last.String()))
	}
	return err
}

// arguments are those of a command line, flag by flag.
type arguments []string

func (a *arguments) add(flag string, values ...string) {
	for _, value := range values {
		if value != "" {
			*a = append(*a, flag, value)
		}
	}
}

// buildxArgs are the arguments for docker. No content of a secret is among them.
func (j job) buildxArgs() ([]string, error) {
	b := j.container.Build
	args := arguments{"buildx", "build", "--load"}
	args.add("--tag", append([]string{j.container.Image}, b.Tags...)...)
	switch {
	case b.Inline != "":
		args.add("--file", "-")
	case b.Dockerfile != "" && !filepath.IsAbs(b.Dockerfile) && !strings.Contains(b.Context, "://"):
		args.add("--file", filepath.Join(b.Context, b.Dockerfile))
	default:
		args.add("--file", b.Dockerfile)
	}
	args.add("--target", b.Target)
	args.add("--build-arg", pairs(b.Args)...)
	args.add("--label", pairs(b.Labels)...)
	args.add("--cache-from", b.CacheFrom...)
	args.add("--add-host", b.ExtraHosts...)
	args.add("--network", b.Network)
	for _, u := range b.Ulimits {
		args.add("--ulimit", fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard))
	}
	if b.ShmSize > 0 {
		args.add("--shm-size", strconv.FormatInt(b.ShmSize, 10))
	}
	for i, s := range b.Secrets {
		source := "env=" + secretVariable(i)
		if s.File != "" {
			source = "src=" + s.File
		}
		args.add("--secret", "id="+s.ID+","+source)
	}
	if b.NoCache {
		args = append(args, "--no-cache")
	}
	if b.Pull {
		args = append(args, "--pull")
	}
	if err := j.ownArgs(&args); err != nil {
		return nil, err
	}
	return append(args, b.Context), nil
}

// ownArgs adds what the engine's own API has no words for.
func (j job) ownArgs(args *arguments) error {
	b := j.container.Build
	platforms := b.Platforms
	if j.container.Platform != "" {
		platforms = []string{j.container.Platform}
	}
	args.add("--platform", strings.Join(platforms, ","))
	args.add("--ssh", b.Buildx.SSH...)
	for _, pair := range pairs(b.Buildx.Contexts) {
		name, value, _ := strings.Cut(pair, "=")
		if service, isService := strings.CutPrefix(value, "service:"); isService {
			image, err := j.imageOf(service)
			if err != nil {
				return err
			}
			value = "docker-image://" + image
		}
		args.add("--build-context", name+"="+value)
	}
	args.add("--allow", b.Buildx.Entitlements...)
	if b.Buildx.Privileged {
		args.add("--allow", "security.insecure")
	}
	args.add("--cache-to", b.Buildx.CacheTo...)
	args.add("--no-cache-filter", b.Buildx.NoCacheFilter...)
	args.add("--provenance", b.Buildx.Provenance)
	args.add("--sbom", b.Buildx.SBOM)
	return nil
}

// imageOf is the image of another service of the project.
func (j job) imageOf(service string) (string, error) {
	i := slices.IndexFunc(j.project.Services, func(s spec.Service) bool { return s.Name == service && s.Container != nil })
	if i < 0 {
		return "", fmt.Errorf("build.additional_contexts: service %q is not one of the services to run", service)
	}
	return j.project.Services[i].Container.Image, nil
}

// secretVariable is the variable that tells Buildx the content of a secret.
func secretVariable(i int) string { return "BULSA_BUILD_SECRET_" + strconv.Itoa(i) }

// pairs are the entries of a map as KEY=VALUE, sorted.
func pairs(m map[string]string) []string { return spec.SortEnvironment(m) }

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
