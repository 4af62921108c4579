package compose

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"bulsa/internal/spec"
)

func TestRenderedConfigurationLoadsAgainAsTheSame(t *testing.T) {
	p, _, err := Load(context.Background(), Options{Files: []string{"testdata/everything/bulsa.yaml"}, Dir: here(t), CPUs: 4, NoInherit: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"yaml", "json"} {
		t.Run(format, func(t *testing.T) {
			text, err := spec.Render(p, format)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "bulsa."+format)
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			again, warnings, err := Load(context.Background(), Options{Files: []string{file}, Dir: here(t), NoInherit: true})
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
				if got := again.Services[i]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", s) {
					t.Errorf("service %s changed:\n%+v\nwas\n%+v", s.Name, got, s)
				}
			}
		})
	}
}

func here(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
