package compose

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// Files as strangers have them: what bulsa makes of a service, written as Compose again,
// is what Compose's own library makes of the file, key by key.
func TestPublicFilesMeanWhatTheyMeanToCompose(t *testing.T) {
	names, err := filepath.Glob("testdata/public/*.yaml")
	if err != nil || len(names) < 30 {
		t.Fatalf("%d files: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			t.Parallel()
			environ := []string{"APP_PASSWORD=p", "SECRET_KEY=k", "HOME=/home/x"}
			want := projection(t, name, environ)
			p := mustLoad(t, Options{Files: []string{name}, Dir: here(t), NoInherit: true, Environ: environ, Profiles: []string{"*"}, ProjectName: "test"})
			text, err := Render(p, "yaml")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "compose.yaml")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			got := projection(t, file, environ)
			for service, keys := range want {
				for key, value := range keys {
					if !reflect.DeepEqual(got[service][key], value) {
						t.Errorf("%s.%s:\n  bulsa   %s\n  Compose %s", service, key, asJSON(got[service][key]), asJSON(value))
					}
				}
			}
		})
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// projection is what Compose's library makes of a file, by service and key, but for keys
// that bulsa spells out or has its own mind about.
func projection(t *testing.T, file string, environ []string) map[string]map[string]any {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{file}, cli.WithEnv(environ), cli.WithName("test"), cli.WithResolvedPaths(true), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	var model *types.Project
	_, err = listening(func() (err error) { // as all who use the library's globals do
		model, err = o.LoadProject(t.Context())
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	out := map[string]map[string]any{}
	for name, s := range model.Services {
		plain(&s, model)
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		keys := map[string]any{}
		if err := json.Unmarshal(b, &keys); err != nil {
			t.Fatal(err)
		}
		out[name] = keys
	}
	return out
}

// plain takes away from a service what two ways to write the same differ in, and what
// bulsa decides by itself.
func plain(s *types.ServiceConfig, model *types.Project) {
	s.Restart, s.Scale, s.Develop, s.ContainerName, s.Extends, s.Profiles, s.Init, s.Logging, s.Extensions = "", nil, nil, "", nil, nil, nil, nil, nil
	s.CPUS, s.MemLimit, s.MemReservation, s.PidsLimit, s.StopGracePeriod, s.EnvFiles, s.Deploy = 0, 0, 0, 0, nil, nil, nil
	s.Secrets, s.Configs = nil, nil // of another name afterwards; TestRareKeys and the tests of secrets have them
	if s.Image == "" {
		s.Image = model.Name + "-" + s.Name
	}
	if b := s.Build; b != nil && b.Dockerfile != "" {
		b.Dockerfile = absolute(b.Context, b.Dockerfile)
	}
	for _, u := range s.Ulimits {
		if u.Single != 0 {
			u.Soft, u.Hard, u.Single = u.Single, u.Single, 0
		}
	}
	for i := 0; i < len(s.Expose); i++ {
		if first, last, err := portRange(s.Expose[i]); err == nil && last > first {
			s.Expose[i] = strconv.Itoa(first)
			s.Expose = slices.Insert(s.Expose, i+1, fmt.Sprintf("%d-%d", first+1, last))
		} else if one, _, isRange := strings.Cut(s.Expose[i], "-"); isRange {
			s.Expose[i] = one
		}
	}
	for name, value := range s.Environment {
		if value == nil {
			delete(s.Environment, name)
		}
	}
	for i := range s.Ports {
		s.Ports[i].Mode, s.Ports[i].Name = "", ""
		if s.Ports[i].Published == "" {
			s.Ports[i].Published = "0"
		}
	}
	slices.SortFunc(s.Ports, func(a, b types.ServicePortConfig) int { return int(a.Target) - int(b.Target) })
	s.Volumes = slices.DeleteFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
		return slices.ContainsFunc([]string{"/run/secrets/", "/etc/ssl/app.pem"}, func(at string) bool { return strings.HasPrefix(v.Target, at) })
	})
	for i := range s.Volumes {
		if v := s.Volumes[i].Volume; v != nil && !v.NoCopy && v.Subpath == "" && len(v.Labels) == 0 {
			s.Volumes[i].Volume = nil
		}
	}
	if h := s.HealthCheck; h != nil && h.Retries != nil && *h.Retries == 0 {
		h.Retries = nil // Docker's default
	}
	if h := s.HealthCheck; h != nil && (len(h.Test) > 0 && h.Test[0] == "NONE" || h.Disable) {
		s.HealthCheck = &types.HealthCheckConfig{Disable: true}
	}
	for key, use := range s.Networks {
		if use != nil {
			use.Priority = 0
			if len(use.Aliases) == 0 && use.Ipv4Address == "" {
				s.Networks[key] = nil
			}
		}
	}
}
