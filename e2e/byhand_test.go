package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// The commands of docker compose, on a project of one process and one container.
func TestComposesCommandsWorkOnProcessesAndContainers(t *testing.T) {
	w, docker := newDockerWorld(t)
	web, shop := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	w.write("quick.js", quick)
	w.write("Dockerfile", "FROM "+baseImage+"\nARG WHO=nobody\nENV WHO=$WHO\nCOPY quick.js /quick.js\nCMD [\"node\", \"/quick.js\"]\n")
	w.write("compose.yaml", fmt.Sprintf(`name: hands
services:
  web:
    command: node quick.js
    ports: ["%s:3000"]
    environment: {GREETING: from the file}
  shop:
    build: {context: ., args: {WHO: file}}
    image: bulsa-test/hands
    ports: ["%s:3000"]
    environment: {GREETING: from the file}
    volumes: ["kept:/kept", "/nameless"]
    stop_grace_period: 1s
  job:
    image: bulsa-test/hands
    command: ["node", "-e", "console.log('job of', process.env.WHO, require('fs').readFileSync('/kept/note', 'utf8').trim())"]
    volumes: ["kept:/kept"]
    depends_on: [shop]
    profiles: [tools]
volumes: {kept: }
`, web, shop))
	w.must("build", "-q", "--build-arg", "WHO=flag", "shop")
	if out := w.must("images", "--format", "json"); !strings.Contains(out, "bulsa-test/hands") || !strings.Contains(out, "sha256:") {
		t.Errorf("images: %s", out)
	}
	w.must("up", "--wait", "--admin", "off")

	for _, c := range []struct {
		args string
		want string
	}{
		{"exec -T web sh -c 'echo $GREETING $BULSA_WORKER'", "from the file 1\n"},
		{"exec -T shop sh -c 'echo $GREETING $WHO'", "from the file flag\n"},
		{"exec -T -e GREETING=mine -w /kept shop sh -c 'echo $GREETING $PWD; echo noted > note'", "mine /kept\n"},
		{"run --rm -T job", "job of flag noted\n"},
		{"run --rm -T --entrypoint cat job /kept/note", "noted\n"},
		{"run --rm -T web node -p 'process.env.GREETING'", "from the file\n"},
		{"port web 3000", web + "\n"},
		{"ps --services", "shop\nweb\n"},
		{"config --services", "shop\nweb\n"},
	} {
		r := w.do(split(c.args)...)
		if r.status != 0 || !sameLines(r.stdout, c.want) {
			t.Errorf("bulsa %s: status %d, %q %q; want %q", c.args, r.status, r.stdout, r.stderr, c.want)
		}
	}
	for _, service := range []string{"web", "shop"} {
		if r := w.do("exec", "-T", service, "sh", "-c", "exit 9"); r.status != 9 || r.stderr != "" {
			t.Errorf("exec of %s: %+v; want status 9", service, r)
		}
	}
	if out := w.must("top"); strings.Count(out, "quick.js") < 2 {
		t.Errorf("top: %s", out)
	}

	w.write("settings.json", "{}")
	w.must("cp", "settings.json", "shop:/kept/")
	w.must("cp", "shop:/kept/settings.json", "back.json")
	if content, err := os.ReadFile(filepath.Join(w.dir, "back.json")); err != nil || string(content) != "{}" {
		t.Errorf("copied back: %q, %v", content, err)
	}

	w.must("pause", "shop")
	eventually(t, "the container takes no requests", func() bool { return strings.Contains(w.must("ps"), "(Paused)") })
	w.must("unpause", "shop")
	eventually(t, "the container serves again", func() bool { code, _ := get(t, "http://"+shop); return code == 200 })

	before := w.pidsOf("web")
	w.must("up", "-d", "--force-recreate", "web")
	if after := w.pidsOf("web"); fmt.Sprint(after) == fmt.Sprint(before) {
		t.Error("--force-recreate replaced nothing")
	}

	w.must("stop", "-t", "0", "shop")
	w.must("down", "-v")
	filters := client.Filters{}.Add("label", "bulsa.project=hands")
	if left, err := docker.VolumeList(t.Context(), client.VolumeListOptions{Filters: filters}); err != nil || len(left.Items) != 0 {
		t.Errorf("volumes left: %v, %v", left.Items, err)
	}
	one := client.Filters{}.Add("label", "bulsa.oneoff=hands")
	if left, err := docker.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: one}); err != nil || len(left.Items) != 0 {
		t.Errorf("one-off containers left: %v, %v", left.Items, err)
	}
}

// split splits a line as a shell does, without escapes.
func split(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

func sameLines(a, b string) bool {
	have := map[string]int{}
	for line := range strings.Lines(a) {
		have[line]++
	}
	for line := range strings.Lines(b) {
		have[line]--
	}
	for _, n := range have {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestTheProjectEndsWithTheJobThatItIsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("compose.yaml", `name: tests
services:
  db: {command: sleep 600, stop_grace_period: 1s}
  tests: {command: [sh, -c, "sleep 0.3; echo done; exit 5"], restart: "no", depends_on: [db]}
`)
	r := w.do("up", "--admin", "off", "--exit-code-from", "tests")
	if r.status != 5 || !strings.Contains(r.stdout, "done") {
		t.Errorf("%+v; want status 5", r)
	}
	if r := w.do("up", "--admin", "off", "--exit-code-from", "db"); r.status != 143 {
		t.Errorf("of the one that was stopped: %+v; want status 143", r)
	}
}

func TestWaitGivesTheStatusOfAJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("compose.yaml", "name: jobs\nservices:\n  job: {command: [sh, -c, \"exit 4\"], restart: \"no\"}\n  other: {command: sleep 600}\n")
	s := w.start("up", "--admin", "off")
	eventually(t, "the project answers", func() bool { return w.do("ps", "-p", "jobs").status == 0 })
	if r := w.do("wait", "-p", "jobs", "job"); r.status != 4 || r.stdout != "job: 4\n" {
		t.Errorf("%+v; want status 4", r)
	}
	s.stop()
}
