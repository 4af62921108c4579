package compose

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"

	"bulsa/internal/spec"
)

const (
	maxDepth = 100     // nesting of a configuration file
	maxNodes = 100_000 // values in all files, aliases counted each time
)

// position is a line of a file.
type position struct {
	file   string
	line   int
	folder string // of an included or extended file; "": the project's
}

func (p position) String() string {
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// source knows where each value of the merged configuration stands. A path
// is the keys to a value joined by dots: services.app.ports.0.
type source struct {
	base    string // folder that shown file names are relative to
	dir     string // the project's folder
	first   string // shown name of the first file
	values  map[string]position
	scalars []scalar
	nodes   int
	seen    map[string]bool // included and extended files that were read
}

// scalar is a text of a file, for messages that repeat it.
type scalar struct {
	path string
	text string
	at   position
}

// readSource indexes the files in order: a value of a later file replaces
// the position of an earlier one, as merging replaces the value.
func readSource(base, dir string, configs []types.ConfigFile) (*source, error) {
	s := &source{base: base, dir: dir, first: shown(base, configs[0].Filename), values: map[string]position{}, seen: map[string]bool{}}
	for _, config := range configs {
		documents, err := s.parse(config.Filename, config.Content)
		if err != nil {
			return nil, err
		}
		for _, document := range documents {
			in := indexing{source: s, file: shown(base, config.Filename), replace: true}
			if err := in.add("", document, 0); err != nil {
				return nil, err
			}
			s.follow(document, filepath.Dir(config.Filename), dir)
		}
	}
	return s, nil
}

// shown is how messages name a file: relative to base where it is below it.
func shown(base, file string) string {
	if rel, err := filepath.Rel(base, file); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return file
}

func (s *source) parse(file string, content []byte) ([]*yaml.Node, error) {
	var documents []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, yamlProblem(shown(s.base, file), content, err)
		}
		if document.Kind == yaml.DocumentNode && len(document.Content) == 1 {
			documents = append(documents, document.Content[0])
		}
	}
}

// indexing is one walk over a document.
type indexing struct {
	source  *source
	file    string
	folder  string
	replace bool // false: a base file, whose values others may have replaced
}

func (in indexing) add(path string, n *yaml.Node, depth int) error {
	in.source.nodes++
	if depth > maxDepth || in.source.nodes > maxNodes {
		return &spec.Problem{Where: in.position(n).String(), What: "the configuration is nested too deeply or too large", Fix: "remove aliases that repeat each other"}
	}
	switch n.Kind {
	case yaml.AliasNode:
		return in.add(path, n.Alias, depth+1)
	case yaml.MappingNode:
		return in.addMapping(path, n, depth)
	case yaml.SequenceNode:
		for i, item := range n.Content {
			child := join(path, strconv.Itoa(i))
			in.mark(child, item)
			if err := in.add(child, item, depth+1); err != nil {
				return err
			}
		}
	case yaml.ScalarNode:
		in.source.scalars = append(in.source.scalars, scalar{path, n.Value, in.position(n)})
	}
	return nil
}

func (in indexing) addMapping(path string, n *yaml.Node, depth int) error {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == "<<" {
			if err := (indexing{in.source, in.file, in.folder, false}).addMerged(path, value, depth); err != nil {
				return err
			}
			continue
		}
		if first, twice := lines[key.Value]; twice {
			return &spec.Problem{
				Where: in.position(key).String(),
				What:  fmt.Sprintf("the key %q stands twice, first in line %d", key.Value, first),
				Fix:   "remove one of them",
			}
		}
		lines[key.Value] = key.Line
		child := join(path, key.Value)
		in.mark(child, key)
		if err := in.add(child, value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// addMerged indexes what a YAML merge key (<<) brings: one mapping or several.
func (in indexing) addMerged(path string, value *yaml.Node, depth int) error {
	if value.Kind == yaml.SequenceNode {
		for _, item := range value.Content {
			if err := in.add(path, item, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return in.add(path, value, depth+1)
}

func (in indexing) position(n *yaml.Node) position { return position{in.file, n.Line, in.folder} }

func (in indexing) mark(path string, n *yaml.Node) {
	if _, known := in.source.values[path]; known && !in.replace {
		return
	}
	in.source.values[path] = in.position(n)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// follow indexes what include and extends bring to a file of the folder dir, whose
// project's folder is project. Files that cannot be read are left to compose-go,
// which says so.
func (s *source) follow(document *yaml.Node, dir, project string) {
	include := child(document, "include")
	if include != nil {
		for _, item := range include.Content {
			s.include(item, project)
		}
	}
	services := child(document, "services")
	if services == nil || services.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(services.Content); i += 2 {
		extends := child(services.Content[i+1], "extends")
		if extends == nil {
			continue
		}
		file, base := child(extends, "file"), child(extends, "service")
		to := "services." + services.Content[i].Value
		if file != nil && base != nil {
			name := absolute(dir, file.Value)
			s.followFile(name, filepath.Dir(name), base.Value, to)
			continue
		}
		if base == nil {
			base = extends
		}
		if from := child(services, base.Value); from != nil {
			in := indexing{source: s, file: s.first}
			_ = in.add(to, from, 1) // a limit that is passed is reported by compose-go, too
		}
	}
}

// include indexes the files of one entry. Their services run in the folder of the
// first one, or in the one that the entry names (Compose, include).
func (s *source) include(item *yaml.Node, project string) {
	paths, folder := item, ""
	if of := child(item, "path"); of != nil {
		paths = of
	}
	if named := child(item, "project_directory"); named != nil {
		folder = absolute(project, named.Value)
	}
	for _, name := range texts(paths) {
		name = absolute(project, name)
		folder = cmp.Or(folder, filepath.Dir(name))
		s.followFile(name, folder, "", "")
	}
}

// followFile indexes a file below what is known: the whole of it, or the
// service that is extended, under the path of the one that extends it.
func (s *source) followFile(name, folder, service, to string) {
	if s.seen[name+"\x00"+to] {
		return
	}
	s.seen[name+"\x00"+to] = true
	content, err := os.ReadFile(name)
	if err != nil {
		return
	}
	documents, err := s.parse(name, content)
	if err != nil {
		return
	}
	for _, document := range documents {
		in := indexing{source: s, file: shown(s.base, name), folder: folder}
		node := document
		if service != "" {
			node = child(child(document, "services"), service)
		}
		if node == nil || in.add(to, node, 1) != nil {
			continue
		}
		if service == "" {
			s.follow(document, filepath.Dir(name), folder)
		}
	}
}

// folder is where what the first of the paths that is there says is meant to be: the
// folder of the file that was included, or extended, for it; "" for the project's own.
func (s *source) folder(paths ...string) string {
	for _, path := range paths {
		if at, known := s.values[path]; known {
			return at.folder
		}
	}
	return ""
}

func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// child is the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// texts are the scalars of a text or of a list of texts.
func texts(n *yaml.Node) []string {
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	var all []string
	for _, item := range n.Content {
		if item.Kind == yaml.ScalarNode {
			all = append(all, item.Value)
		}
	}
	return all
}

// where is file:line of a path, or of the nearest value around it.
func (s *source) where(path string) string {
	for at := path; at != ""; {
		if p, known := s.values[at]; known {
			return p.String()
		}
		i := strings.LastIndexByte(at, '.')
		if i < 0 {
			break
		}
		at = at[:i]
	}
	return s.first
}

// text is the text at a path as the last file has it, before interpolation;
// empty when it is not a text.
func (s *source) text(path string) string {
	found := ""
	for _, sc := range s.scalars {
		if sc.path == path && sc.at.file == s.values[path].file {
			found = sc.text
		}
	}
	return found
}

// place turns the path of a problem into file:line.
func (s *source) place(err error) error {
	var p *spec.Problem
	if !errors.As(err, &p) {
		return err
	}
	return &spec.Problem{Where: s.where(p.Where), What: p.What, Fix: p.Fix}
}

// unsetVariables warns of ${X} without a value or default: it becomes empty.
func (s *source) unsetVariables(env types.Mapping) []spec.Warning {
	var warnings []spec.Warning
	seen := map[string]bool{}
	for _, sc := range s.scalars {
		if !strings.Contains(sc.text, "$") {
			continue
		}
		for name, v := range template.ExtractVariables(map[string]any{"": sc.text}, nil) {
			if _, set := env[name]; set || v.Required || v.DefaultValue != "" || v.PresenceValue != "" || seen[name] || hasDefault(sc.text, name) {
				continue
			}
			seen[name] = true
			warnings = append(warnings, spec.Warning{Where: sc.at.String(), Message: fmt.Sprintf("the variable %s is not set and becomes empty; set it, or write ${%s:-default}", name, name)})
		}
	}
	slices.SortFunc(warnings, func(a, b spec.Warning) int { return strings.Compare(a.Where+a.Message, b.Where+b.Message) })
	return warnings
}

// hasDefault sees ${X-} and ${X:-}, an empty default written on purpose.
func hasDefault(text, name string) bool {
	return strings.Contains(text, "${"+name+"-") || strings.Contains(text, "${"+name+":-")
}
