package docker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bulsa/internal/engine"
	"bulsa/internal/engine/docker"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/spec"
)

// asked is what an engine of a version of the API is asked when it is to create a
// container, or a network, and what bulsa says meanwhile.
func asked(t *testing.T, api string, s spec.Service) (bodies map[string]string, notices []string) {
	t.Helper()
	bodies = map[string]string{}
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Api-Version", api)
		w.Header().Set("Ostype", "linux")
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/events"):
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-over:
			}
		case strings.HasSuffix(path, "/containers/json") && strings.Contains(r.URL.RawQuery, "bulsa.service"):
			fmt.Fprint(w, `[{"Id": "second", "Labels": {"bulsa.worker": "base.2"}}, {"Id": "first", "Labels": {"bulsa.worker": "base.1"}}]`)
		case strings.HasSuffix(path, "/containers/json"), strings.HasSuffix(path, "/networks"):
			fmt.Fprint(w, "[]")
		case strings.Contains(path, "/networks/") && r.Method == http.MethodGet:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message": "none"}`)
		case strings.HasSuffix(path, "/create"):
			var body bytes.Buffer
			body.ReadFrom(r.Body)
			bodies[filepath.Base(filepath.Dir(path))] = body.String()
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"Id": "0123456789abcdef"}`)
		case strings.HasSuffix(path, "/start"):
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"message": "enough"}`)
		default:
			fmt.Fprint(w, "{}")
		}
	}))
	e := docker.New(docker.Config{Project: projectName(t), Host: "tcp://" + server.Listener.Addr().String()})
	t.Cleanup(func() {
		e.Close()
		close(over)
		server.Close()
	})
	b := enginetest.NewBench(t, e, func(testing.TB, string) spec.Service { return s })
	l := b.Launch("", 1)
	l.Release.Service = s
	_, err := e.Start(t.Context(), l)
	if err == nil || !strings.Contains(err.Error(), "enough") {
		t.Fatalf("Start = %v", err)
	}
	for _, f := range b.Facts(l.ID) {
		if f.Kind == engine.Notice {
			notices = append(notices, f.Message)
		}
	}
	return bodies, notices
}

// rareService has every key that few files have.
func rareService(t *testing.T) spec.Service {
	s := appService(t)
	umask, swappiness := uint32(18), int64(10)
	c := s.Container
	c.Annotations = map[string]string{"note": "5"}
	c.TTY, c.StdinOpen = true, true
	c.Expose, c.ExposeOther = []int{9000}, []string{"53/udp"}
	c.HostPorts = []spec.HostPort{{Published: 8100, Last: 8110, Target: 81, Protocol: "udp"}}
	c.VolumesFrom = []string{"base:ro", "container:other"}
	c.Network.MAC = "02:42:ac:11:65:43"
	n := &c.Network.Networks[0]
	n.Endpoint = spec.Endpoint{LinkLocal: []string{"169.254.8.1"}, Gateway: 3, Interface: "eth9", Options: map[string]string{"o": "a"}, Nameless: true}
	n.Open, n.NoIPv4, n.IPAM = true, true, spec.IPAM{Driver: "custom", Options: map[string]string{"p": "b"}}
	n.Subnets = []spec.Subnet{{Subnet: "10.9.0.0/24", Aux: map[string]string{"router": "10.9.0.2"}}}
	c.Mounts = []spec.Mount{
		{Type: "bind", Source: "/a", Target: "/a", Create: true, SELinux: "z"},
		{Type: "volume", Source: "named", Target: "/n", SELinux: "Z", NoCopy: true, ReadOnly: true},
		{Type: "bind", Source: "/b", Target: "/b", Nested: "readonly", ReadOnly: true},
		{Type: "volume", Source: "data", Target: "/c", ReadOnly: true, Subpath: "part", Marks: map[string]string{"x": "1"}},
		{Type: "image", Source: "alpine", Target: "/d", Subpath: "etc"},
	}
	c.Resources = spec.Resources{
		Swappiness: &swappiness, OOMKillDisable: true, CPUPeriod: 1, CPUQuota: 2, CPURTPeriod: 3, CPURTRuntime: 4, CgroupParent: "parent",
		BlockIO:  &spec.BlockIO{Weight: 300, ReadBps: []spec.Throttle{{Path: "/dev/sda", Rate: 12}}},
		Requests: []spec.DeviceRequest{{Count: -1, Capabilities: []string{"gpu"}}},
	}
	c.Security = spec.Security{
		PID: "service:base", IPC: "container:other", UTS: "host", Cgroup: "private", DeviceRules: []string{"c 1:3 mr"},
		Storage: map[string]string{"size": "1G"}, Umask: &umask, Options: []string{"label:disable", "systempaths=unconfined"},
	}
	s.Stop.Grace = 1500 * time.Millisecond
	return s
}

func TestEveryKeyReachesTheContainer(t *testing.T) {
	t.Parallel()
	bodies, notices := asked(t, "1.52", rareService(t))
	if len(notices) > 0 {
		t.Errorf("said %q", notices)
	}
	for part, wants := range map[string][]string{
		"containers": {
			`"Tty":true`, `"OpenStdin":true`, `"StopTimeout":2`, `"Annotations":{"note":"5"}`, `"3000/tcp":{}`, `"53/udp":{}`, `"81/udp":{}`, `"9000/tcp":{}`,
			`"81/udp":[{"HostIp":"","HostPort":"8100-8110"}]`, `"VolumesFrom":["first:ro","other"]`, `"PidMode":"container:first"`, `"IpcMode":"container:other"`,
			`"MacAddress":"02:42:ac:11:65:43"`, `"LinkLocalIPs":["169.254.8.1"]`, `"GwPriority":3`, `"DriverOpts":{"com.docker.network.endpoint.ifname":"eth9","o":"a"}`,
			`"Binds":["/a:/a:rw,z","named:/n:ro,Z,nocopy"]`, `"ReadOnlyForceRecursive":true`, `"Labels":{"x":"1"},"Subpath":"part"`, `"ImageOptions":{"Subpath":"etc"}`,
			`"MemorySwappiness":10`, `"OomKillDisable":true`, `"CpuPeriod":1`, `"CpuQuota":2`, `"CpuRealtimePeriod":3`, `"CpuRealtimeRuntime":4`, `"CgroupParent":"parent"`,
			`"BlkioWeight":300`, `"BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":12}]`, `"DeviceRequests":[{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":null}]`,
			`"UTSMode":"host"`, `"CgroupnsMode":"private"`, `"DeviceCgroupRules":["c 1:3 mr"]`, `"StorageOpt":{"size":"1G"}`, `"Umask":18`,
			`"SecurityOpt":["label:disable"]`, `"MaskedPaths":[]`, `"ReadonlyPaths":[]`,
		},
		"networks": {`"Attachable":true`, `"EnableIPv4":false`, `"IPAM":{"Driver":"custom","Options":{"p":"b"}`, `"AuxiliaryAddresses":{"router":"10.9.0.2"}`},
	} {
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(bodies[part])); err != nil {
			t.Fatalf("%s: %v in %q", part, err, bodies[part])
		}
		for _, want := range wants {
			if !strings.Contains(compact.String(), want) {
				t.Errorf("%s: there is no %s in\n%s", part, want, compact.String())
			}
		}
	}
	if strings.Contains(bodies["containers"], `"Aliases":["app",`) {
		t.Error("the alias of the service is there, although use_service_name_alias is false")
	}
}

func TestAnOlderEngineIsNotSilent(t *testing.T) {
	t.Parallel()
	_, notices := asked(t, "1.41", rareService(t))
	for _, key := range []string{"annotations", "mac_address", "networks.default.gw_priority", "networks.default.interface_name", "networks.default.enable_ipv4", "bind.recursive of /b", "volume.subpath of /c", "image.subpath of /d"} {
		if !slices.ContainsFunc(notices, func(n string) bool { return strings.HasPrefix(n, key+" has no effect: this Docker is older than 2") }) {
			t.Errorf("nothing is said of %s: %q", key, notices)
		}
	}
}

// fakeDocker puts a docker with the Buildx plugin, or without, in front of PATH. It
// notes its arguments.
func fakeDocker(t *testing.T, buildx bool) (calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	script := "#!/bin/sh\nif [ \"$2\" = version ]; then exit " + map[bool]string{true: "0", false: "1"}[buildx] + "; fi\nprintf '%s\\n' \"$@\" > " + calls + "\necho \"secret $BULSA_BUILD_SECRET_0\" >> " + calls + "\necho 'cannot build that' >&2\nexit 3\n"
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

func TestBuildxIsAskedForWhatOnlyItKnows(t *testing.T) {
	d := appDaemon(t)
	s := appService(t)
	context := folder(t, map[string]string{"Dockerfile": "FROM bulsa-test/base\n"})
	s.Container.Build = &spec.Build{
		Context: context, Dockerfile: context + "/Dockerfile", Args: map[string]string{"A": "1"}, Platforms: []string{"linux/amd64", "linux/arm64"},
		Secrets: []spec.BuildSecret{{ID: "token", Content: "quiet"}},
		Buildx: spec.Buildx{
			SSH: []string{"default"}, Contexts: map[string]string{"base": "service:base", "lib": "/lib"}, Privileged: true, Entitlements: []string{"network.host"},
			CacheTo: []string{"type=inline"}, NoCacheFilter: []string{"deps"}, Provenance: "mode=max", SBOM: "true",
		},
	}
	base := appService(t)
	base.Name, base.Container.Image = "base", "example/base"
	p := spec.Project{Name: "p", Services: []spec.Service{s, base}}

	fakeDocker(t, false)
	_, err := docker.Prepare(t.Context(), p, docker.Images{Host: d.Host, Build: true, Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "build.ssh needs docker's Buildx, which is not installed") {
		t.Errorf("without Buildx: %v", err)
	}

	calls := fakeDocker(t, true)
	_, err = docker.Prepare(t.Context(), p, docker.Images{Host: d.Host, Build: true, Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "docker buildx: cannot build that") {
		t.Errorf("with Buildx: %v", err)
	}
	content, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(string(content), "\n", " ")
	for _, want := range []string{
		"buildx build --load --tag " + appImage, "--file " + context + "/Dockerfile", "--build-arg A=1", "--platform linux/amd64,linux/arm64", "--ssh default",
		"--build-context base=docker-image://example/base --build-context lib=/lib", "--allow network.host --allow security.insecure", "--cache-to type=inline",
		"--no-cache-filter deps", "--provenance mode=max", "--sbom true", "--secret id=token,env=BULSA_BUILD_SECRET_0", context + " secret quiet",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %s in %s", want, got)
		}
	}
}

func TestWithoutBuildxTheImageIsBuiltAllTheSame(t *testing.T) {
	d := appDaemon(t)
	fakeDocker(t, false)
	s := appService(t)
	s.Container.Image = "bulsa-test/without-buildx"
	s.Container.Build = &spec.Build{
		Context: folder(t, map[string]string{"Dockerfile": "FROM bulsa-test/base\n"}), Ulimits: []spec.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}},
		Platforms: []string{"linux/amd64"}, Buildx: spec.Buildx{CacheTo: []string{"type=inline"}},
	}
	var said bytes.Buffer
	if _, err := docker.Prepare(t.Context(), spec.Project{Name: "p", Services: []spec.Service{s}}, docker.Images{Host: d.Host, Build: true, Out: &said}); err != nil {
		t.Fatal(err)
	}
	if want := "app: build.cache_to has no effect: docker's Buildx is not installed\n"; !strings.Contains(said.String(), want) {
		t.Errorf("said %q", said.String())
	}
}

func TestAnOldImageIsPulledAgain(t *testing.T) {
	d := appDaemon(t)
	s := appService(t)
	s.Container.Image = "localhost:1/old"
	c, err := d.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ImageTag(t.Context(), client.ImageTagOptions{Source: appImage, Target: s.Container.Image}); err != nil {
		t.Fatal(err)
	}
	s.Container.Pull, s.Container.Refresh = spec.PullRefresh, time.Hour
	prepare := func() error {
		_, err := docker.Prepare(t.Context(), spec.Project{Name: "p", Services: []spec.Service{s}}, docker.Images{Host: d.Host, Out: &bytes.Buffer{}})
		return err
	}
	if err := prepare(); err != nil {
		t.Errorf("an image of this hour: %v", err)
	}
	s.Container.Refresh = time.Nanosecond
	if err := prepare(); err == nil || !strings.Contains(err.Error(), "cannot pull localhost:1/old") {
		t.Errorf("an old image: %v", err)
	}
}

// A container in the network of another one is reached at that one's address, and
// starts again when that one has ended.
func TestANetworkIsShared(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	lender := b.Launch("", 1)
	lender.Worker, lender.Release.Service = "lender.1", appService(t)
	lender.Release.Service.Name, lender.Release.Service.Ports = "lender", nil
	lender.Release.Service.Command.Args = []string{"sleep", "3600"}
	b.StartLaunch(lender)
	b.Await(lender.ID, engine.Settled)

	borrower := b.Launch("", 2)
	s := appService(t)
	s.Ports, s.Health.TCP = nil, true
	s.Container.Network = spec.Networking{Mode: "service:lender"}
	s.Container.Expose, s.Command.Env = []int{3000}, []string{"PORT=3000"}
	borrower.Worker, borrower.Release.Service = "app.1", s
	b.StartLaunch(borrower)
	b.Await(borrower.ID, engine.Listening)

	b.Kill(lender.ID)
	gone := b.Await(borrower.ID, engine.Exited)
	if !gone.Exit.Voluntary || gone.Exit.Cause != "the container that it shares with has ended" {
		t.Errorf("exit %+v", gone.Exit)
	}

	next := lender
	next.ID = "lender.1#2"
	b.StartLaunch(next)
	b.Await(next.ID, engine.Settled)
	again := borrower
	again.ID = "app.1#2"
	b.StartLaunch(again)
	b.Await(again.ID, engine.Listening)
}

// A service may run the image that another one is built into, wherever it stands; what is
// pulled is pulled together, and the first that fails is named.
func TestImagesAreMadeBeforeTheyAreUsed(t *testing.T) {
	d := appDaemon(t)
	user, maker := appService(t), appService(t)
	user.Name, maker.Name = "a-user", "maker"
	image := "bulsa-test/made-here"
	user.Container.Image, maker.Container.Image = image, image
	maker.Container.Build = &spec.Build{Context: folder(t, map[string]string{"Dockerfile": "FROM bulsa-test/base\nENV MADE=1\n"})}
	got, err := docker.Prepare(t.Context(), spec.Project{Name: "p", Services: []spec.Service{user, maker}}, docker.Images{Host: d.Host, Out: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := got.Services[0].Container.ImageID, got.Services[1].Container.ImageID; a == "" || a != b {
		t.Errorf("images %q and %q", a, b)
	}

	one, two := appService(t), appService(t)
	one.Name, two.Name = "one", "two"
	one.Container.Image, two.Container.Image = "localhost:1/first", "localhost:1/second"
	var out bytes.Buffer
	_, err = docker.Prepare(t.Context(), spec.Project{Name: "p", Services: []spec.Service{one, two}}, docker.Images{Host: d.Host, Out: &out})
	if err == nil || !strings.Contains(err.Error(), "service one: cannot pull localhost:1/first") {
		t.Errorf("error %v", err)
	}
	if said := out.String(); !strings.Contains(said, "one: pulling localhost:1/first\n") || !strings.Contains(said, "two: pulling localhost:1/second\n") {
		t.Errorf("said %q", said)
	}
}
