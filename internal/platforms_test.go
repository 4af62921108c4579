//go:build !race

package internal_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"testing"
)

// source is a package as go list tells it.
type source struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string
}

// checker checks the types of packages from their sources, each after those that it
// depends on.
type checker struct {
	files *token.FileSet
	done  map[string]*types.Package
	arch  types.Sizes
}

// TestTypesFitOnDarwin checks what a compiler would refuse on a system that no
// test runs on, in a fraction of the time that compiling takes. With the race detector
// it would take several times as long and find nothing more: make check runs it.
func TestTypesFitOnDarwin(t *testing.T) {
	for _, processor := range []string{"amd64", "arm64"} {
		c := &checker{token.NewFileSet(), map[string]*types.Package{}, types.SizesFor("gc", processor)}
		env := []string{"GOOS=darwin", "GOARCH=" + processor, "CGO_ENABLED=0"}
		for _, s := range list[source](t, env, "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap", "bulsa/...") { // dependencies come first
			if err := c.check(s); err != nil {
				t.Errorf("%s on %s: %v", s.ImportPath, processor, err)
			}
		}
		if len(c.done) < 100 {
			t.Errorf("only %d packages were checked on %s", len(c.done), processor)
		}
	}
}

func (c *checker) check(s source) error {
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
		Sizes:    c.arch,
		Importer: importing(func(path string) (*types.Package, error) { return c.imported(s, path) }),
		Error:    func(err error) { wrong = append(wrong, err) },
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
