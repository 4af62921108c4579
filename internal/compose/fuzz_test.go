package compose

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"bulsa/internal/spec"
)

// Whatever stands in a file: no panic; an error is one line that names a
// place; what loads is valid, renders and loads again.
func FuzzLoad(f *testing.F) {
	names, err := filepath.Glob("testdata/cases/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(names, "testdata/everything/bulsa.yaml") {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if strings.Contains(string(content), "include") || strings.Contains(string(content), "extends") || strings.Contains(string(content), "file") {
			t.Skip("reads other files")
		}
		dir := t.TempDir()
		p, _, err := loadBytes(t, dir, content)
		if err != nil {
			checkProblem(t, err)
			return
		}
		if err := spec.Validate(p); err != nil {
			t.Fatalf("loaded, but not valid: %v", err)
		}
		text, err := Render(p, "yaml")
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := loadBytes(t, dir, text)
		if err != nil {
			t.Fatalf("rendered, but does not load: %v\n%s", err, text)
		}
		for i, s := range p.Services {
			if !same(again.Services[i], s) {
				t.Fatalf("changed by rendering:\n%+v\nwas\n%+v\n%s", again.Services[i], s, text)
			}
		}
	})
}

func loadBytes(t *testing.T, dir string, content []byte) (spec.Project, []spec.Warning, error) {
	t.Helper()
	file := filepath.Join(dir, "bulsa.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(context.Background(), Options{Files: []string{file}, Dir: dir, CPUs: 2, NoInherit: true})
}

func checkProblem(t *testing.T, err error) {
	t.Helper()
	var p *spec.Problem
	if !errors.As(err, &p) {
		t.Fatalf("%T is not a *spec.Problem: %v", err, err)
	}
	if p.Where == "" || strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Fatalf("not one line with a place: %q", err.Error())
	}
}
