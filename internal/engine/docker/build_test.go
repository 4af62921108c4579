package docker_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"bulsa/internal/engine/docker"
	"bulsa/internal/spec"
)

// The two builders, as DOCKER_BUILDKIT names them.
const (
	classic  = "0"
	buildKit = "1"
)

// prepare builds an image, and returns the service with it and what was shown.
func prepare(t *testing.T, b spec.Build) (spec.Service, string, error) {
	t.Helper()
	s := appService(t)
	s.Container.Image, s.Container.Build = strings.NewReplacer("/", "-", "=", "-").Replace(projectName(t)), &b
	p := spec.Project{Name: "p", Services: []spec.Service{s}, Places: map[string]string{"services.app.build": "compose.yaml:7"}}
	var out bytes.Buffer
	got, err := docker.Prepare(t.Context(), p, docker.Images{Host: appDaemon(t).Host, Build: true, Out: &out})
	if err == nil && (!strings.HasPrefix(got.Services[0].Container.ImageID, "sha256:") || s.Digest() == got.Services[0].Digest()) {
		t.Errorf("image %q; want its id, in the digest", got.Services[0].Container.ImageID)
	}
	if err != nil && !strings.HasPrefix(err.Error(), "compose.yaml:7: ") {
		t.Errorf("%v; want the line of the file", err)
	}
	return got.Services[0], out.String(), err
}

// failsWith checks the error of a build; empty: there is none.
func failsWith(t *testing.T, err error, want, shown string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Fatalf("Prepare = %v; want %q\n%s", err, want, shown)
	}
}

func TestBuild(t *testing.T) {
	appDaemon(t)
	const failsOnSecret = "FROM bulsa-test/base\nCOPY . /ctx/\nARG WANT\nRUN test ! -e /ctx/secret && test -e /ctx/$WANT\n"
	other := folder(t, map[string]string{"elsewhere": failsOnSecret})
	cases := []struct {
		name  string
		build spec.Build
		want  map[string]string // error by builder; empty: it works
	}{
		{".dockerignore is honoured", spec.Build{Context: folder(t, map[string]string{"Dockerfile": failsOnSecret, ".dockerignore": "secret\nDockerfile\n", "secret": "", "app": ""})}, nil},
		{"the Dockerfile's own ignore file counts", spec.Build{Context: folder(t, map[string]string{"Dockerfile": failsOnSecret, "Dockerfile.dockerignore": "secret\n", ".dockerignore": "app\n", "secret": "", "app": ""})}, nil},
		{"a Dockerfile from elsewhere", spec.Build{Context: folder(t, map[string]string{"app": ""}), Dockerfile: filepath.Join(other, "elsewhere")}, nil},
		{"an inline Dockerfile", spec.Build{Context: folder(t, map[string]string{"app": ""}), Inline: failsOnSecret}, nil},
		{"a step that fails", spec.Build{Context: folder(t, map[string]string{"Dockerfile": failsOnSecret, "secret": ""})}, map[string]string{classic: "returned a non-zero code: 1", buildKit: "exit code: 1"}},
		{"no Dockerfile", spec.Build{Context: folder(t, nil)}, map[string]string{classic: "there is no Dockerfile at", buildKit: "there is no Dockerfile at"}},
		{"no folder", spec.Build{Context: "/nowhere"}, map[string]string{classic: "the build context /nowhere is not a folder", buildKit: "the build context /nowhere is not a folder"}},
	}
	for builder, step := range map[string]string{classic: "Step 1/4", buildKit: "[1/3] FROM"} {
		t.Run("DOCKER_BUILDKIT="+builder, func(t *testing.T) {
			t.Setenv("DOCKER_BUILDKIT", builder)
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.build.Args, c.build.Network = map[string]string{"WANT": "app"}, "none"
					_, shown, err := prepare(t, c.build)
					failsWith(t, err, c.want[builder], shown)
					if err == nil && !strings.Contains(shown, step) {
						t.Errorf("no progress is shown: %q", shown)
					}
				})
			}
		})
	}
}

func TestBuildWithWhatOnlyBuildKitKnows(t *testing.T) {
	t.Setenv("DOCKER_BUILDKIT", buildKit)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets := []spec.BuildSecret{{ID: "file", File: token}, {ID: "variable", Variable: "X", Content: "from outside"}}
	for _, c := range []struct {
		name, file string
		api        string // of the first engine that can do it; empty: all
		want       string // of the error; empty: it works
		shown      string
	}{
		{name: "a cache", file: "RUN --mount=type=cache,target=/cache test -d /cache && echo mounted", shown: "mounted\n"},
		{name: "secrets", file: "RUN --mount=type=secret,id=file --mount=type=secret,id=variable cat /run/secrets/file /run/secrets/variable && test ! -e /run/secrets/other", shown: "from a filefrom outside\n"},
		{name: "a heredoc", file: "RUN <<END\necho one\necho two\nEND", api: "1.42", shown: "one\n"},
		{name: "a linked copy", file: "COPY --link <<END /x\nabc\nEND\nRUN cat /x", api: "1.42", shown: "abc\n"},
		{name: "a step that fails", file: "RUN echo this is the reason; exit 3", want: "exit code: 3: this is the reason"},
		{name: "a word that is none", file: "NONSENSE x", want: "unknown instruction: NONSENSE"},
		{name: "an image that is nowhere", file: "COPY --from=localhost:1/nothing /x /x", want: "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			needs(t, c.api)
			_, shown, err := prepare(t, spec.Build{Context: folder(t, nil), Inline: "FROM bulsa-test/base\n" + c.file + "\n", Network: "none", Secrets: secrets, NoCache: true})
			failsWith(t, err, c.want, shown)
			if !strings.Contains(shown, c.shown) {
				t.Errorf("shown: %s; want %q", shown, c.shown)
			}
		})
	}
}

// needs skips a test on an engine that is too old for it.
func needs(t *testing.T, api string) {
	t.Helper()
	c, err := appDaemon(t).Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	is, err := c.ServerVersion(t.Context(), client.ServerVersionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if api != "" && versions.LessThan(is.APIVersion, api) {
		t.Skipf("the engine speaks %s of the API; this needs %s", is.APIVersion, api)
	}
}

// TestBuildChoosesItsBuilder: docker's own variable, else what the engine has.
func TestBuildChoosesItsBuilder(t *testing.T) {
	appDaemon(t)
	mount := spec.Build{Context: folder(t, nil), Inline: "FROM bulsa-test/base\nRUN --mount=type=cache,target=/c true\n", Network: "none"}
	secret := mount
	secret.Secrets = []spec.BuildSecret{{ID: "x"}}
	for _, c := range []struct {
		name, builder string
		build         spec.Build
		want          string
	}{
		{"nothing said", "", mount, ""},
		{"classic", classic, mount, "DOCKER_BUILDKIT=0 switches it off"},
		{"classic with a secret", classic, secret, "build.secrets needs BuildKit"},
		{"neither", "maybe", mount, `DOCKER_BUILDKIT is "maybe": write 1 or 0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("DOCKER_BUILDKIT", c.builder)
			_, shown, err := prepare(t, c.build)
			failsWith(t, err, c.want, shown)
		})
	}
}

// TestBuildGivesCredentials: the registry of a base image is shown those of
// docker's configuration.
func TestBuildGivesCredentials(t *testing.T) {
	asked := make(chan string, 100)
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); ok {
			asked <- user + ":" + password
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer registry.Close()
	host := registry.Listener.Addr().String()
	before := config.Dir()
	t.Cleanup(func() { config.SetDir(before) })
	config.SetDir(folder(t, map[string]string{"config.json": `{"auths": {"` + host + `": {"username": "me", "password": "word"}}}`}))
	t.Setenv("DOCKER_BUILDKIT", buildKit)
	_, shown, err := prepare(t, spec.Build{Context: folder(t, nil), Inline: "FROM " + host + "/private\n"})
	failsWith(t, err, "not found", shown)
	select {
	case got := <-asked:
		if got != "me:word" {
			t.Errorf("the registry was shown %q", got)
		}
	default:
		t.Errorf("the registry was shown no credentials: %v\n%s", err, shown)
	}
}
