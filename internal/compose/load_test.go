package compose

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every file of testdata/cases is loaded; what must come out stands in its
// comments: "# error: LINE", or any number of "# warning: LINE". FILE stands
// for the file's own name.
func TestFilesSayWhatIsWrong(t *testing.T) {
	names, err := filepath.Glob("testdata/cases/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.Abs("testdata/cases")
			if err != nil {
				t.Fatal(err)
			}
			_, warnings, err := Load(context.Background(), Options{
				Files: []string{filepath.Base(name)}, Dir: dir, ProjectName: "test", CPUs: 4,
				Environ: []string{"PATH=/bin", "ONE=1"},
			})
			var got []string
			if err != nil {
				got = append(got, "error: "+err.Error())
			}
			for _, w := range warnings {
				got = append(got, "warning: "+w.Where+": "+w.Message)
			}
			if want := wanted(t, name); !slices.Equal(got, want) {
				t.Errorf("got:\n# %s\nwant:\n# %s", strings.Join(got, "\n# "), strings.Join(want, "\n# "))
			}
		})
	}
}

func wanted(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		line := strings.ReplaceAll(scanner.Text(), "FILE", filepath.Base(name))
		for _, kind := range []string{"error: ", "warning: "} {
			if rest, found := strings.CutPrefix(line, "# "+kind); found {
				lines = append(lines, kind+rest)
			}
		}
	}
	return lines
}
