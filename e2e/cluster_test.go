package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// member is an app of testdata/cluster, which talks to its primary by a package.
func member(t *testing.T, name string) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("testdata", "cluster"))
	if err != nil {
		t.Fatal(err)
	}
	needsPackages(t, folder)
	return filepath.Join(folder, name)
}

// TestLog4jsLogs what its workers hand to their primary.
func TestLog4jsLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public := freePort(t)
	w.run("-w", "2", "-p", "127.0.0.1:"+public, member(t, "log.js"))
	for i := range 6 {
		get(t, fmt.Sprintf("http://127.0.0.1:%s/page/%d", public, i))
	}
	eventually(t, "every request is logged once", func() bool {
		text := w.must("logs", "-p", "app")
		for i := range 6 {
			if strings.Count(text, fmt.Sprintf(`[INFO] shop - asked for /page/%d {"by":"a client"}`, i)) != 1 {
				return false
			}
		}
		return strings.Contains(text, "app.1 | [") && strings.Contains(text, "app.2 | [")
	})
}

// TestARateLimiterCountsForAllWorkers, and goes on counting when they are replaced.
func TestARateLimiterCountsForAllWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public := freePort(t)
	w.run("-w", "2", "-p", "127.0.0.1:"+public, member(t, "limit.js"))
	for left := 4; left >= 0; left-- {
		status, body := get(t, "http://127.0.0.1:"+public)
		if status != http.StatusOK || body != fmt.Sprint("left ", left) {
			t.Errorf("%d %q, want that %d are left", status, body, left)
		}
		if left == 2 {
			w.must("restart", "-p", "app")
		}
	}
	if status, body := get(t, "http://127.0.0.1:"+public); status != http.StatusTooManyRequests {
		t.Errorf("the sixth request: %d %q", status, body)
	}
}

// TestSocketIOReachesTheClientsOfAllWorkers by its cluster adapter.
func TestSocketIOReachesTheClientsOfAllWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public := freePort(t)
	w.run("-w", "3", "-p", "127.0.0.1:"+public, member(t, "chat.js"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", member(t, "clients.js"), "http://127.0.0.1:"+public, "7").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all have heard all") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestMessagesThatNobodyReadsAreTold; the app's own primary reads them where it runs.
func TestMessagesThatNobodyReadsAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public := freePort(t)
	w.run("-w", "2", "-p", "127.0.0.1:"+public, member(t, "own.js"))
	for range 4 {
		answers(t, "http://127.0.0.1:"+public+"/dropped", "sent")
	}
	eventually(t, "the messages are told, once", func() bool {
		return strings.Count(w.must("events", "-p", "app"), "nobody reads (topic jobs:done)") == 1
	})
	eventually(t, "doctor counts them", func() bool {
		return strings.Contains(w.do("doctor", "-p", "app").stdout, "topic jobs:done: 4 times")
	})
	w.must("down", "-p", "app")
	t.Run("and read by the app's own primary", func(t *testing.T) {
		w := newWorld(t)
		public := freePort(t)
		w.run("-w", "1", "--node", "off", "-p", "127.0.0.1:"+public, member(t, "own.js"))
		for n := 1; n <= 4; n++ {
			answers(t, "http://127.0.0.1:"+public, fmt.Sprint("total ", n))
		}
	})
}

// TestPromClientsMetricsAreAddedUp over all workers, on bulsa's own page.
func TestPromClientsMetricsAreAddedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public, admin := freePort(t), freePort(t)
	w.ready("run", "--name", "app", "--admin", "127.0.0.1:"+admin, "-w", "2", "-p", "127.0.0.1:"+public, member(t, "figures.js"))
	asked, seen := 0, map[string]bool{}
	eventually(t, "both workers have sold", func() bool {
		_, worker := get(t, "http://127.0.0.1:"+public)
		asked++
		seen[worker] = true
		return len(seen) == 2
	})
	_, text := get(t, "http://127.0.0.1:"+admin+"/metrics")
	for _, want := range []string{
		fmt.Sprintf(`shop_sold_total{service="app",what="a \"pen\""} %d`, asked),
		`shop_stock{service="app"} 2`,
		fmt.Sprintf(`shop_seconds_bucket{exported_service="till",service="app",le="1"} %d`, asked),
		`process_resident_memory_bytes{service="app"} `,
		`bulsa_worker_up{service="app",worker="app.1"} 1`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("missing: %s", want)
		}
	}
}
