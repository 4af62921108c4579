package inner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"bulsa/internal/api"
)

// What a report may hold. More is cut off where it is sent, and refused where it is read.
const (
	maxReport  = 512 << 10 // bytes
	maxWorkers = 256
	maxEvents  = 32
	maxText    = 200 // characters
	maxPauses  = 8   // kinds of garbage collections
	maxFigure  = 1e15
)

// errMalformed is wrapped by errors about what no bulsa sends.
var errMalformed = errors.New("this is no report of a bulsa")

// encode makes a line of a report.
func encode(r api.Inside) ([]byte, error) {
	r.Workers = r.Workers[:min(len(r.Workers), maxWorkers)]
	r.Events = r.Events[:min(len(r.Events), maxEvents)]
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if len(line) >= maxReport {
		return nil, fmt.Errorf("a report of %d bytes is too long", len(line))
	}
	return append(line, '\n'), nil
}

// reader reads reports that may come from anybody.
type reader struct {
	in   *bufio.Reader
	last int // bytes of the last report
}

func newReader(in io.Reader) *reader { return &reader{in: bufio.NewReaderSize(in, 16<<10)} }

// next reads a report and makes it harmless.
func (r *reader) next() (*api.Inside, error) {
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	r.last = len(line)
	return decode(line)
}

func (r *reader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if len(line)+len(part) > maxReport {
			return nil, fmt.Errorf("%w: it is longer than %d bytes", errMalformed, maxReport)
		}
		line = append(line, part...)
		if err == nil {
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// decode takes a line for what it says, as far as it says anything that a bulsa
// would: what it does not know is ignored, so that a newer one may say more.
func decode(line []byte) (*api.Inside, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("{")) {
		return nil, errMalformed
	}
	var r api.Inside
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, fmt.Errorf("%w: %s", errMalformed, clean(err.Error()))
	}
	if len(r.Workers) > maxWorkers || len(r.Events) > maxEvents {
		return nil, fmt.Errorf("%w: %d workers and %d events", errMalformed, len(r.Workers), len(r.Events))
	}
	r.Program = path(r.Program)
	seen := map[int]bool{}
	for i := range r.Workers {
		w := cleanWorker(r.Workers[i])
		if w.Number < 1 || seen[w.Number] {
			return nil, fmt.Errorf("%w: worker %d is no number, or stands twice", errMalformed, w.Number)
		}
		seen[w.Number], r.Workers[i] = true, w
	}
	slices.SortFunc(r.Workers, func(a, b api.Worker) int { return a.Number - b.Number })
	for i, e := range r.Events {
		n, err := strconv.Atoi(e.Worker)
		if err != nil || n < 1 || n > math.MaxUint16 {
			return nil, fmt.Errorf("%w: an event of no worker", errMalformed)
		}
		r.Events[i] = api.Event{Worker: strconv.Itoa(n), Kind: word(e.Kind), Message: clean(e.Message), Cause: clean(e.Cause)}
	}
	return &r, nil
}

// cleanWorker takes over what may be shown of a worker, and nothing else.
func cleanWorker(w api.Worker) api.Worker {
	out := api.Worker{
		Name: name(w.Name), Number: w.Number, PID: max(w.PID, 0), State: word(w.State), Health: word(w.Health), Restarts: max(w.Restarts, 0),
		Cause: clean(w.Cause), Status: clean(w.Status), InFlight: max(w.InFlight, 0), Ports: []string{}, Engine: "inner", ID: "-",
		RequestsPerSecond: figure(w.RequestsPerSecond), P99Seconds: figure(w.P99Seconds), CPUPercent: figure(w.CPUPercent),
		MemoryBytes: count(w.MemoryBytes), EventLoop: cleanLoop(w.EventLoop),
	}
	if out.PID > 0 {
		out.ID = strconv.Itoa(out.PID)
	}
	if w.StartedAt != nil {
		started := *w.StartedAt
		out.StartedAt = &started
	}
	return out
}

func cleanLoop(l *api.EventLoop) *api.EventLoop {
	if l == nil {
		return nil
	}
	out := *l
	out.Source, out.PID = word(l.Source), max(l.PID, 0)
	if blocked := figure(&l.Blocked); blocked == nil {
		out.Blocked = 0
	}
	for _, v := range []**float64{
		&out.TickFrequency, &out.TickDuration, &out.TickDurationMax, &out.WorkLatency,
		&out.LoopLatency, &out.LoopLatencyP50, &out.LoopLatencyMax, &out.Utilization,
	} {
		*v = figure(*v)
	}
	for _, v := range []**int{&out.Threads, &out.Busy, &out.Queued, &out.Handles, &out.Requests, &out.InFlight} {
		*v = count(*v)
	}
	out.HeapUsed, out.HeapLimit, out.External = count(l.HeapUsed), count(l.HeapLimit), count(l.External)
	out.GarbageCollections = nil
	for _, p := range l.GarbageCollections[:min(len(l.GarbageCollections), maxPauses)] {
		kind := word(p.Kind)
		known := slices.ContainsFunc(out.GarbageCollections, func(p api.Pauses) bool { return p.Kind == kind })
		if !known && figure(&p.Total) != nil && figure(&p.Max) != nil {
			out.GarbageCollections = append(out.GarbageCollections, api.Pauses{Kind: kind, Count: p.Count, Total: p.Total, Max: p.Max})
		}
	}
	return &out
}

func figure(v *float64) *float64 {
	if v == nil || !(*v >= 0 && *v <= maxFigure) {
		return nil
	}
	return v
}

func count[T int | int64](v *T) *T {
	if v == nil || *v < 0 {
		return nil
	}
	return v
}

// name is that of a worker as the bulsa inside knows it; "" for anything else.
func name(text string) string {
	odd := strings.ContainsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	})
	if odd || len(text) > maxText || strings.HasPrefix(text, "-") {
		return ""
	}
	return text
}

// path is an absolute one, of a program inside of the container.
func path(text string) string {
	if clean(text) != text || !strings.HasPrefix(text, "/") {
		return ""
	}
	return text
}

// word keeps what a name of a state or a kind may have.
func word(text string) string {
	text = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r == '_' {
			return r
		}
		return -1
	}, text[:min(len(text), 32)])
	return text
}

// Clean makes a line of what a program inside of a container has said.
func Clean(text string) string { return clean(text) }

// clean makes a line of text that does nothing to a terminal.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), 4*maxText)], " "))
	if runes := []rune(text); len(runes) > maxText {
		text = string(runes[:maxText])
	}
	return strings.TrimSpace(text)
}
