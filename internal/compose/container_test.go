package compose

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"bulsa/internal/spec"
)

// What a container is given stands here as the spec has it: a key that is read into
// nothing, or into another field, shows.
func TestRareKeysOfContainersAreRead(t *testing.T) {
	p := mustLoad(t, Options{Files: []string{"testdata/container/rare.yaml"}, Dir: here(t), NoInherit: true})
	app := service(t, p, "app")
	c := *app.Container
	dir := here(t) + "/testdata/container"
	if got := app.Ports; len(got) != 3 || got[2] != (spec.Port{Published: 8002, Target: 80}) {
		t.Errorf("ports %v", got)
	}
	if c.Pull != spec.PullRefresh || c.Refresh != 7*24*time.Hour {
		t.Errorf("pull %s after %s", c.Pull, c.Refresh)
	}
	got, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(strings.Join(strings.Fields(string(got)), ""), dir, "DIR")
	for _, want := range []string{
		`"ulimits":[{"name":"nofile","soft":100,"hard":100}]`, `"platforms":["linux/amd64","linux/arm64"]`,
		`"buildx":{"ssh":["default","key=DIR/id"],"contexts":{"db":"service:base","lib":"DIR/lib","web":"https://example.com/x.git"},"privileged":true,"entitlements":["network.host"],"cache_to":["type=local,dest=./cache"],"no_cache_filter":["deps"],"provenance":"mode=max","sbom":"true"}`,
		`"labels":{"kept":"here","team":"core"}`, `"annotations":{"note":"$5"}`, `"tty":true,"stdin_open":true`,
		`"expose":[3000,3001,3002],"expose_other":["53/udp"]`,
		`"host_ports":[{"published":8100,"last":8110,"target":81,"protocol":"udp"}]`, `"mac":"02:42:ac:11:65:43"`,
		`"endpoint":{"mac":"02:42:ac:11:65:44","link_local":["169.254.8.1"],"gateway":3,"interface":"eth9","options":{"com.example":"a"},"nameless":true}`,
		`"open":true`, `"with_ipv6":true,"no_ipv4":true,"ipam":{"driver":"custom","options":{"o":"1"}}`, `"aux":{"router":"10.9.0.2"}`,
		`{"type":"bind","source":"DIR/a","target":"/a","create":true,"selinux":"z"}`,
		`{"type":"bind","source":"DIR/b","target":"/b","nested":"readonly","selinux":"Z","usage":"cached"}`,
		`"no_copy":true,"subpath":"part","marks":{"x":"1"}`, `{"type":"image","source":"alpine","target":"/d","subpath":"etc"}`,
		`"volumes_from":["base:ro","container:other"]`, `"pid":"service:base","ipc":"container:other"`,
		`"uts":"host","cgroup":"private","device_rules":["c1:3mr"],"storage":{"size":"1G"},"umask":18`,
		`"options":["seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}","systempaths=unconfined","label:disable"]`,
		`"swappiness":10,"oom_kill_disable":true,"cpu_period":100000,"cpu_quota":50000,"cpu_rt_period":1000,"cpu_rt_runtime":500,"cgroup_parent":"m-executor"`,
		`"block_io":{"weight":300,"weights":[{"path":"/dev/sda","rate":400}],"read_bps":[{"path":"/dev/sda","rate":12582912}],"write_iops":[{"path":"/dev/sda","rate":30}]}`,
		`"requests":[{"count":-1,"capabilities":["gpu"]},{"driver":"nvidia","count":2,"capabilities":["gpu","utility"],"options":{"a":"b"}}]`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	if inside := service(t, p, "inside"); inside.Container.Network.Mode != "service:app" || len(inside.Container.Network.Networks) > 0 {
		t.Errorf("network %+v", inside.Container.Network)
	}
}
