package compose

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
)

var update = flag.Bool("update", false, "write the golden parts of documents again")

// Every key that Compose's schema has is in the table, and nothing else: a key of a
// newer schema has no fate until somebody decides on it.
func TestEveryKeyOfComposeHasAFate(t *testing.T) {
	inSchema := schemaPaths(t)
	tree := newKeyTree()
	for _, path := range inSchema {
		group, above := tree.find(strings.Split(strings.ReplaceAll(path, "[]", ".[]"), "."))
		covered := slices.ContainsFunc(above, func(g *keyGroup) bool { return g.containers.effect != done })
		if group == nil && !covered {
			t.Errorf("%s: is it done, warned of or refused? keyTable does not say", path)
		}
	}
	seen := map[string]bool{}
	for _, g := range keyTable() {
		for _, path := range g.paths() {
			if seen[path] {
				t.Errorf("%s stands twice", path)
			}
			seen[path] = true
			if !slices.Contains(inSchema, path) {
				t.Errorf("%s is no key of Compose", path)
			}
		}
	}
}

// schemaPaths are the paths of all keys of Compose's schema, without extensions.
func schemaPaths(t *testing.T) []string {
	var root schemaNode
	if err := json.Unmarshal([]byte(schema.Schema), &root); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	var walk func(node schemaNode, path string, inside []string)
	walk = func(node schemaNode, path string, inside []string) {
		if name, isRef := strings.CutPrefix(asText(node["$ref"]), "#/$defs/"); isRef {
			if slices.Contains(inside, name) {
				return
			}
			defs, _ := root["$defs"].(schemaNode)
			target, _ := defs[name].(schemaNode)
			walk(target, path, append(slices.Clone(inside), name))
		}
		for _, key := range []string{"allOf", "oneOf", "anyOf"} {
			list, _ := node[key].([]any)
			for _, item := range list {
				if one, ok := item.(schemaNode); ok {
					walk(one, path, inside)
				}
			}
		}
		properties, _ := node["properties"].(schemaNode)
		for key, value := range properties {
			child := join(path, key)
			found[child] = true
			if one, ok := value.(schemaNode); ok {
				walk(one, child, inside)
			}
		}
		patterns, _ := node["patternProperties"].(schemaNode)
		for pattern, value := range patterns {
			if one, ok := value.(schemaNode); ok && pattern != "^x-" {
				walk(one, join(path, "*"), inside)
			}
		}
		if one, ok := node["items"].(schemaNode); ok {
			walk(one, path+"[]", inside)
		}
		if one, ok := node["additionalProperties"].(schemaNode); ok {
			walk(one, join(path, "*"), inside)
		}
	}
	walk(root, "", nil)
	return slices.Sorted(maps.Keys(found))
}

// What docs/configuration.md says of every key is what the table says:
// go test ./internal/compose -run Documented -update writes it.
func TestEveryKeyIsDocumentedAsItIs(t *testing.T) {
	const file, begin, end = "../../docs/configuration.md", "<!-- every key: written by a test -->\n", "<!-- end of every key -->\n"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + begin + keyDocument() + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(content) != want {
		t.Errorf("%s does not have the table that is right now; write it with -update:\n%s", file, keyDocument())
	}
}

func keyDocument() string {
	var b strings.Builder
	b.WriteString("| keys | of containers | of processes |\n|---|---|---|\n")
	for _, g := range keyTable() {
		var keys []string
		for _, path := range g.paths() {
			keys = append(keys, "`"+strings.TrimPrefix(path, "services.*.")+"`")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.Join(keys, ", "), g.containers.document(), g.processes.document())
	}
	return b.String()
}

func (f fate) document() string {
	text := map[effect]string{done: "yes", ignored: "ignored, with a warning", refused: "an error", silent: "no effect"}[f.effect]
	if f.note != "" {
		text += ": " + f.note
	}
	return text
}

// A key that is warned of is warned of, and one that is done is not: for each key of a
// service, by itself, with a value that the schema takes.
func TestWarningsAreThoseOfTheTable(t *testing.T) {
	tree := newKeyTree()
	for _, c := range []struct{ path, containers, processes string }{
		{"cap_add", "", "cap_add of service a is ignored: it has no meaning for a process"},
		{"deploy.resources.limits.cpus", "", ""},
		{"deploy.resources", "", "deploy.resources of service a is ignored: limits are not enforced on processes"},
		{"deploy.placement.constraints", "", ""},
		{"deploy.placement", "deploy.placement of service a is ignored: only a swarm knows it", "deploy.placement of service a is ignored: only a swarm knows it"},
		{"deploy.update_config.monitor", "deploy.update_config.monitor of service a is ignored: a new worker must prove its health before an old one goes", "deploy.update_config.monitor of service a is ignored: a new worker must prove its health before an old one goes"},
		{"build.secrets.0.uid", "build.secrets.0.uid of service a is ignored: RUN --mount sets them", ""},
		{"networks.front.gw_priority", "", ""},
		{"x-own.cap_add", "", ""},
		{"environment.cap_add", "", ""},
	} {
		if got := tree.warning("a", c.path, func(g *keyGroup) fate { return g.containers }); got != c.containers {
			t.Errorf("%s of a container: %q, want %q", c.path, got, c.containers)
		}
		if got := tree.warning("a", c.path, func(g *keyGroup) fate { return g.processes }); got != c.processes {
			t.Errorf("%s of a process: %q, want %q", c.path, got, c.processes)
		}
	}
}
