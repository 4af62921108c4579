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
		got := workerTable(workers, workerColumns(), width)
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

func TestWorkersInsideStandBelowTheirContainer(t *testing.T) {
	rows := withInner([]api.Worker{{Name: "app.1", Inner: []api.Worker{{Name: "app.1/1"}, {Name: "app.1/2"}}}, {Name: "app.2"}})
	var names []string
	for _, w := range rows {
		names = append(names, w.Name)
	}
	if got := strings.Join(names, " "); got != "app.1 app.1/1 app.1/2 app.2" {
		t.Errorf("the rows are %s", got)
	}
}

func TestATableWithoutWorkersIsItsHead(t *testing.T) {
	want := "NAME   ENGINE   PID/ID   STATUS   RESTARTS   REQ/S   P99   LOOP   POOL   CPU   MEM   PORTS\n"
	if got := workerTable(nil, workerColumns(), 0); got != want {
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

func TestALoopIsShownByItsLatencyOrAsBlocked(t *testing.T) {
	latency, threads, none, busy, queued := 0.0041, 4, 0, 3, 7
	for _, c := range []struct {
		loop       *api.EventLoop
		text, pool string
	}{
		{nil, "-", "-"},
		{&api.EventLoop{}, "-", "-"},
		{&api.EventLoop{LoopLatency: &latency, Threads: &threads, Busy: &busy, Queued: &none}, "4.1ms", "3/4"},
		{&api.EventLoop{LoopLatency: &latency, Blocked: 0.2, Threads: &threads, Busy: &threads, Queued: &queued}, "4.1ms", "4/4+7"},
		{&api.EventLoop{LoopLatency: &latency, Blocked: 2.1}, "blocked 2.10s", "-"},
	} {
		if text, pool := loopText(c.loop), poolText(c.loop); text != c.text || pool != c.pool {
			t.Errorf("%+v: %s and %s, want %s and %s", c.loop, text, pool, c.text, c.pool)
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
