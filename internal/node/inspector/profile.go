package inspector

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// samplingInterval is V8's own default: a thousand looks a second.
const samplingInterval = time.Millisecond

// CPUProfile samples the program for d and returns the profile as Chrome
// DevTools reads it (.cpuprofile). It also works while JavaScript blocks the loop.
func (s *Session) CPUProfile(ctx context.Context, d time.Duration) (json.RawMessage, error) {
	steps := []struct {
		method string
		params any
	}{
		{"Profiler.enable", nil},
		{"Profiler.setSamplingInterval", map[string]any{"interval": samplingInterval.Microseconds()}},
		{"Profiler.start", nil},
	}
	for _, step := range steps {
		if err := s.conn.call(ctx, step.method, step.params, nil); err != nil {
			return nil, err
		}
	}
	if err := wait(ctx, d); err != nil {
		return nil, fmt.Errorf("profiling: %w", err)
	}
	var answer struct {
		Profile json.RawMessage `json:"profile"`
	}
	if err := s.conn.call(ctx, "Profiler.stop", nil, &answer); err != nil {
		return nil, err
	}
	return answer.Profile, s.conn.call(ctx, "Profiler.disable", nil, nil)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Hot is a function that takes time by itself.
type Hot struct {
	Frame         // Line is the one that took most; Column is unknown
	Share float64 // of the samples in which the program did anything, 0 to 1
}

// Summary is what a profile says in short.
type Summary struct {
	Busy      float64 // share of the time in which the program did anything, 0 to 1
	Collector float64 // share of that which went to the garbage collector
	Hot       []Hot   // functions by their own share, the hottest first
}

// profile is a .cpuprofile, as far as it is summed up
// (https://chromedevtools.github.io/devtools-protocol/v8/Profiler/#type-Profile).
type profile struct {
	Nodes []struct {
		CallFrame struct {
			FunctionName string `json:"functionName"`
			URL          string `json:"url"`
			LineNumber   int    `json:"lineNumber"`   // of the function, from 0
			ColumnNumber int    `json:"columnNumber"` // from 0
		} `json:"callFrame"`
		HitCount      int `json:"hitCount"`
		PositionTicks []struct {
			Line  int `json:"line"` // from 1
			Ticks int `json:"ticks"`
		} `json:"positionTicks"`
	} `json:"nodes"`
}

// Summarize finds the hottest functions of a .cpuprofile, at most most.
func Summarize(raw json.RawMessage, most int) (Summary, error) {
	var p profile
	if err := json.Unmarshal(raw, &p); err != nil {
		return Summary{}, fmt.Errorf("cannot read the profile: %w", err)
	}
	type key struct {
		function, url string
		line, column  int
	}
	hits, lines := map[key]int{}, map[key]map[int]int{}
	total, idle, collector := 0, 0, 0
	for _, n := range p.Nodes {
		total += n.HitCount
		k := key{n.CallFrame.FunctionName, n.CallFrame.URL, n.CallFrame.LineNumber + 1, n.CallFrame.ColumnNumber + 1}
		switch {
		case n.HitCount == 0:
			continue
		case k.function == "(idle)":
			idle += n.HitCount
			continue
		case k.function == "(garbage collector)":
			collector += n.HitCount
		}
		hits[k] += n.HitCount
		if lines[k] == nil {
			lines[k] = map[int]int{}
		}
		for _, tick := range n.PositionTicks {
			lines[k][tick.Line] += tick.Ticks
		}
	}
	if total == 0 || total == idle {
		return Summary{}, nil
	}
	busy := float64(total - idle)
	sum := Summary{Busy: busy / float64(total), Collector: float64(collector) / busy}
	for k, n := range hits {
		f := Frame{Function: k.function, File: filePath(k.url), Line: hottest(lines[k], k.line)}
		sum.Hot = append(sum.Hot, Hot{Frame: f, Share: float64(n) / busy})
	}
	slices.SortFunc(sum.Hot, func(a, b Hot) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	sum.Hot = sum.Hot[:min(most, len(sum.Hot))]
	return sum, nil
}

// hottest is the line with most samples; the function's own where none is known.
func hottest(ticks map[int]int, own int) int {
	best, most := own, 0
	for line, n := range ticks {
		if n > most || n == most && line < best {
			best, most = line, n
		}
	}
	return best
}
