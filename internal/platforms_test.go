//go:build !race

package internal_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// source is a package as go list tells it.
type source struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string
}

// checker checks the types of packages from their sources, in the order in which
// they depend on each other. Of those of other modules it reads the declarations alone.
type checker struct {
	files *token.FileSet
	done  map[string]*types.Package
	arch  types.Sizes
}

// TestTypesFitOnDarwin checks what a compiler would refuse on the system that
// nothing here runs on, in a tenth of the time that compiling takes. With the race
// detector it would take seven times as long and find nothing more: make check runs it.
func TestTypesFitOnDarwin(t *testing.T) {
	c := &checker{token.NewFileSet(), map[string]*types.Package{}, types.SizesFor("gc", "arm64")}
	for _, s := range sources(t, "darwin", "arm64") {
		if err := c.check(s); err != nil {
			t.Errorf("%s: %v", s.ImportPath, err)
		}
	}
	if len(c.done) < 100 {
		t.Errorf("only %d packages were checked", len(c.done))
	}
}

func (c *checker) check(s source) error {
	own := s.ImportPath == "bulsa" || strings.HasPrefix(s.ImportPath, "bulsa/")
	var files []*ast.File
	for _, name := range s.GoFiles {
		f, err := parser.ParseFile(c.files, filepath.Join(s.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	var wrong []error
	config := types.Config{
		IgnoreFuncBodies: !own,
		Sizes:            c.arch,
		Importer:         importing(func(path string) (*types.Package, error) { return c.imported(s, path) }),
		Error: func(err error) {
			if own {
				wrong = append(wrong, err)
			}
		},
	}
	c.done[s.ImportPath], _ = config.Check(s.ImportPath, c.files, files, nil) // the errors are in wrong
	return errors.Join(wrong...)
}

func (c *checker) imported(by source, path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if mapped, ok := by.ImportMap[path]; ok {
		path = mapped
	}
	if p := c.done[path]; p != nil {
		return p, nil
	}
	return nil, errors.New("no package " + path)
}

type importing func(path string) (*types.Package, error)

func (f importing) Import(path string) (*types.Package, error) { return f(path) }

// sources lists every package of the module and what they need, dependencies first.
func sources(t *testing.T, system, processor string) []source {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap", "bulsa/...")
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []source
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var s source
		err := dec.Decode(&s)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
}
