package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// reference is Docker Compose, as scripts/compose-reference.sh builds it.
func reference(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../.cache/compose-reference/docker-compose")
	if err != nil {
		t.Fatal(err)
	}
	if given := os.Getenv("BULSA_TEST_COMPOSE"); given != "" {
		path = given
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("Docker Compose is not there: scripts/compose-reference.sh builds it")
	}
	return path
}

// referenceFile has most of what a file can say of a container. PROJECT is the
// project's name, with which the names of networks and volumes begin.
const referenceFile = `name: PROJECT
services:
  app:
    image: ` + baseImage + `
    command: ["sleep", "1000"]
    environment: {A: one, B: two}
    working_dir: /srv
    user: "1000:1000"
    hostname: host-of-app
    domainname: example.test
    init: true
    labels: {own: label}
    stop_signal: SIGINT
    stop_grace_period: 3s
    expose: ["3000", "3001/udp"]
    ports: [{target: 9000, published: "PORT", mode: host}]
    volumes: ["data:/data", "/anonymous", "./folder:/folder:ro", {type: tmpfs, target: /memory, tmpfs: {size: 1048576}}]
    tmpfs: ["/scratch"]
    healthcheck: {test: ["CMD", "sh", "-c", "exit 0"], interval: 7s, timeout: 3s, retries: 4, start_period: 2s}
    cap_add: [CHOWN]
    cap_drop: [NET_RAW]
    extra_hosts: ["somewhere:10.1.2.3"]
    dns: [10.9.9.9]
    dns_search: [example.test]
    dns_opt: ["ndots:2"]
    group_add: ["50"]
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 128m
    cpus: 0.5
    cpu_shares: 512
    pids_limit: 50
    shm_size: 8m
    oom_score_adj: 100
    ulimits: {nofile: {soft: 100, hard: 200}, nproc: 64}
    sysctls: {net.core.somaxconn: "512"}
    security_opt: ["no-new-privileges:true"]
    read_only: true
    privileged: false
    ipc: shareable
    logging: {driver: json-file, options: {max-size: 1m}}
    restart: unless-stopped
    networks:
      front: {aliases: [other]}
      back: {}
    links: ["db:database"]
  db:
    image: ` + baseImage + `
    command: sleep 1000
    stop_grace_period: 1s
    networks: [front, back]
networks: {front: {}, back: {driver_opts: {own: option}}}
volumes: {data: {labels: {own: label}}}
`

// ourDifferences are the fields in which a container of bulsa is not one of
// Compose's, on purpose, with the reason.
func ourDifferences() map[string]string {
	const form = "a volume with a name is asked for as a mount; Compose uses the older form, which Docker shows as another Mode"
	return map[string]string{
		"Config.Env":                         "bulsa tells BULSA_SERVICE, BULSA_WORKER and NODE_APP_INSTANCE",
		"Config.Labels.bulsa.*":              "whose it is",
		"Config.Labels.com.docker.compose*":  "those by which tools group are set; those by which Compose would take it for its own are not",
		"HostConfig.RestartPolicy.*":         "bulsa is who restarts",
		"NetworkSettings.Networks.*.Aliases": "a worker is found by its own name (app.1) and its host name, too",
		"NetworkSettings.Networks.*.Links":   "an alias leads to the service, whichever containers it has by then",
		"HostConfig.Binds":                   form,
		"HostConfig.Mounts":                  form,
		"Config.AttachStdout":                "of the one who made it: nobody is attached",
		"Config.AttachStderr":                "of the one who made it: nobody is attached",
	}
}

// TestContainersAreThoseThatComposeMakes compares docker inspect field by field.
func TestContainersAreThoseThatComposeMakes(t *testing.T) {
	t.Parallel()
	compose := reference(t)
	w, docker := newDockerWorld(t)
	w.write("folder/file", "")
	file := func(project string) string {
		return w.write(project+".yaml", strings.NewReplacer("PROJECT", project, "PORT", freePort(t)).Replace(referenceFile))
	}
	theirs, ours := file("theirs"), file("ours")
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(compose, args...)
		cmd.Dir, cmd.Env = w.dir, w.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker compose %v: %v\n%s", args, err, out)
		}
	}
	run("-f", theirs, "up", "-d")
	defer run("-f", theirs, "down", "-v", "-t", "1")
	w.ready("up", "-f", ours, "--admin", "off")

	a, b := inspected(t, docker, "theirs-app-1"), inspected(t, docker, "ours-app-1")
	allowed := ourDifferences()
	met := map[string]bool{}
	for _, field := range slices.Sorted(maps.Keys(union(a, b))) {
		if a[field] == b[field] {
			continue
		}
		if rule := ruleOf(field, allowed); rule != "" {
			met[rule] = true
			continue
		}
		t.Errorf("%s: Compose has %s, bulsa %s", field, a[field], b[field])
	}
	for rule := range allowed {
		if !met[rule] {
			t.Errorf("%s is the same in both: the table of differences need not have it", rule)
		}
	}
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func ruleOf(field string, allowed map[string]string) string {
	for rule := range allowed {
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(rule), `\*`, ".*") + "$"
		if regexp.MustCompile(pattern).MatchString(field) {
			return rule
		}
	}
	return ""
}

// inspected is what a user can see of a container and what somebody has decided,
// as text by the path of its field. Names of the project are made equal.
func inspected(t *testing.T, docker *client.Client, name string) map[string]string {
	t.Helper()
	c, err := docker.ContainerInspect(context.Background(), name, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	project, _, _ := strings.Cut(name, "-")
	raw, err := json.Marshal(map[string]any{
		"Name": c.Container.Name, "Config": c.Container.Config, "HostConfig": c.Container.HostConfig, "Mounts": c.Container.Mounts,
		"NetworkSettings": map[string]any{"Networks": c.Container.NetworkSettings.Networks},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(raw), project, "PROJECT")
	text = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(text, "ID")
	text = strings.ReplaceAll(text, c.Container.ID[:12], "ID")
	text = regexp.MustCompile(`"Mode":"(z|rw)"`).ReplaceAllString(text, `"Mode":""`) // see HostConfig.Binds
	text = regexp.MustCompile(`"HostPort":"\d+"`).ReplaceAllString(text, `"HostPort":"N"`)
	var tree any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	flatten("", tree, out)
	// These are different for any two containers.
	own := regexp.MustCompile(`\.(NetworkID|EndpointID|Gateway|IPAddress|MacAddress|IPPrefixLen|GlobalIPv6\w*|IPv6Gateway|HostPort|DNSNames)$`)
	maps.DeleteFunc(out, func(field, _ string) bool { return own.MatchString(field) })
	return out
}

// flatten notes what is not empty by its path. A list counts as a set.
func flatten(path string, value any, out map[string]string) {
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			flatten(strings.TrimPrefix(path+"."+key, "."), below, out)
		}
	case []any:
		var items []string
		for _, item := range v {
			raw, _ := json.Marshal(item)
			items = append(items, string(raw))
		}
		slices.Sort(items)
		if len(items) > 0 {
			out[path] = strings.Join(items, " ")
		}
	case nil:
	default:
		if text := fmt.Sprint(v); text != "" && text != "0" && text != "false" {
			out[path] = text
		}
	}
}
