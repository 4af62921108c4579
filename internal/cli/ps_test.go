package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"bulsa/internal/api"
)

func TestTheTableFitsTheTerminal(t *testing.T) {
	var workers []api.Worker
	for _, s := range samples().Services {
		workers = append(workers, s.Workers...)
	}
	for _, width := range []int{0, 120, 100, 80, 40} {
		got := workerTable(workers, width)
		want, err := os.ReadFile(filepath.Join("testdata", "ps-"+strconv.Itoa(width)+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("width %d:\n%swant:\n%s", width, got, want)
		}
		for line := range strings.Lines(got) {
			if width >= 80 && len(line)-1 > width {
				t.Errorf("width %d: a line of %d: %s", width, len(line)-1, line)
			}
		}
	}
}

func TestATableWithoutWorkersIsItsHead(t *testing.T) {
	want := "NAME   ENGINE   PID/ID   STATUS   RESTARTS   REQ/S   P99   CPU   MEM   PORTS\n"
	if got := workerTable(nil, 0); got != want {
		t.Errorf("got %q", got)
	}
}

func TestFiguresAreShort(t *testing.T) {
	for got, want := range map[string]string{
		rate(0): "0.0", rate(12.34): "12.3", rate(1234.5): "1234",
		seconds(0.0032): "3.2ms", seconds(0.25): "250ms", seconds(1.5): "1.50s",
		percent(99.96): "100.0%",
		size(0):        "0B", size(1536): "1.5KiB", size(47_000_000): "44.8MiB", size(3 << 30): "3.0GiB", size(5 << 40): "5.0TiB",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPrefixesAreAlignedAndKeepTheirColor(t *testing.T) {
	plain := newPrefixer([]string{"app.1", "worker.10"}, false)
	if got := plain.of("app.1"); got != "app.1     | " {
		t.Errorf("plain: %q", got)
	}
	colored := newPrefixer([]string{"app.1", "app.2"}, true)
	first, second := colored.of("app.1"), colored.of("app.2")
	if first == second || first != colored.of("app.1") || !strings.HasPrefix(first, "\x1b[32mapp.1 |\x1b[0m ") {
		t.Errorf("colored: %q, %q", first, second)
	}
}
