package compose

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bulsa/internal/spec"
)

func TestRenderedConfigurationLoadsAgainAsTheSame(t *testing.T) {
	for _, name := range []string{"testdata/everything/bulsa.yaml", "testdata/container/compose.yaml", "testdata/container/rare.yaml", "testdata/pool/compose.yaml"} {
		rendersTheSame(t, name)
	}
}

func rendersTheSame(t *testing.T, name string) {
	environ := []string{"TOKEN=secret-value", "INHERITED=x"}
	p, _, err := Load(context.Background(), Options{Files: []string{name}, Dir: here(t), CPUs: 4, NoInherit: true, Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"yaml", "json"} {
		t.Run(filepath.Base(filepath.Dir(name))+"/"+format, func(t *testing.T) {
			text, err := Render(p, format)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "secret-value") {
				t.Error("the value of a secret is shown")
			}
			file := filepath.Join(t.TempDir(), "bulsa."+format)
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			again, warnings, err := Load(context.Background(), Options{Files: []string{file}, Dir: here(t), NoInherit: true, Environ: environ})
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			for _, w := range warnings {
				t.Errorf("warning %s: %s", w.Where, w.Message)
			}
			if len(again.Services) != len(p.Services) || again.Name != p.Name {
				t.Fatalf("%d services in %s, want %d in %s", len(again.Services), again.Name, len(p.Services), p.Name)
			}
			for i, s := range p.Services {
				if got := again.Services[i]; !same(got, s) {
					t.Errorf("service %s changed:\n%+v\nwas\n%+v", s.Name, got, s)
				}
			}
		})
	}
}

// same compares what stands behind the pointer, too.
func same(a, b spec.Service) bool {
	digests := a.Digest() == b.Digest()
	a.Container, b.Container = nil, nil
	return digests && fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
}

func here(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
