package node

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// countedPauses drives pauses.cjs with a garbage collector and a time of its own.
// It prints what was told of a steady load, how many of its 100 spans were watched,
// and what was told of a quiet time after it.
const countedPauses = `
const hooks = require('perf_hooks');
let on = false, watched = 0, records = [];
hooks.PerformanceObserver = class {
  observe() { on = true; }
  disconnect() { on = false; records = []; }
  takeRecords() { return records.splice(0); }
};
const { told } = require(process.argv[1]);
let now = 1000;
const span = (pauses) => {
  watched += on;
  if (on) for (let i = 0; i < pauses; i++) records.push({ duration: 2, detail: { kind: 1 } });
  now += 1000;
  return told(now)[1];
};
told(now);
for (let i = 0; i < 100; i++) span(40);
console.log('%d watched', watched);
while (!on) span(40);
const [count, total, longest] = span(4);
const [more] = span(4);
console.log('%d ms for each, %d at most, then %d more', total / count, longest, more - count);
`

func TestFrequentPausesAreWatchedNowAndThenAndRareOnesAlways(t *testing.T) {
	preload, err := WritePreload(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	eachNode(t, func(t *testing.T, binary string) {
		out, err := exec.Command(binary, "-e", countedPauses, filepath.Join(filepath.Dir(preload), "pauses.cjs")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got, want := strings.TrimSpace(string(out)), "12 watched\n2 ms for each, 2 at most, then 4 more"; got != want {
			t.Errorf("it said %q, not %q", got, want)
		}
	})
}

// garbage makes many short pauses and counts them by itself.
const garbage = `
const { PerformanceObserver } = require('perf_hooks');

new PerformanceObserver((list) => { list.getEntries().forEach(() => console.log('pauses')); }).observe({ entryTypes: ['gc'] });
setInterval(() => gc({ type: 'minor' }), 2);
`

func TestFrequentPausesAreToldAsOftenAsTheyHappen(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := watched(t, binary, garbage, "--expose-gc", "app.js")
		var told uint64
		waitFor(t, "many pauses", func() bool {
			for _, p := range r.ask(true).Pauses {
				if p.Kind == "scavenge" || p.Kind == "minor_mark_sweep" {
					told = p.Count
				}
			}
			return told > 300
		})
		if own := uint64(strings.Count(r.said(), "pauses")); told > 2*own || own > 2*told {
			t.Errorf("%d pauses were told, the application counted %d", told, own)
		}
	})
}
