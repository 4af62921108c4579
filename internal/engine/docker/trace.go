package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	control "github.com/moby/buildkit/api/services/control"
	"github.com/moby/moby/api/types/jsonstream"
)

// traceID marks the messages that hold what BuildKit tells of its steps.
const traceID = "moby.buildkit.trace"

// trace turns what BuildKit tells of a build into messages like those of the
// classic builder: a line for each step, its output, bars for what is fetched.
type trace struct {
	steps  map[string]*step // by digest
	failed *step
}

// step is a step of a build that has begun.
type step struct {
	number  int
	hidden  bool   // BuildKit's own doing, told only if it fails
	done    bool   // its end was told
	partial []byte // of a line of output
	last    string // line of output that says something
}

func newTrace() *trace { return &trace{steps: map[string]*step{}} }

// messages reads the engine's answer.
func (t *trace) messages(body io.Reader) iter.Seq2[jsonstream.Message, error] {
	return func(yield func(jsonstream.Message, error) bool) {
		for d := json.NewDecoder(body); ; {
			var m jsonstream.Message
			switch err := d.Decode(&m); {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(m, fmt.Errorf("the engine's answer broke off: %w", err))
				return
			}
			for _, told := range t.translate(m) {
				if !yield(told, nil) {
					return
				}
			}
		}
	}
}

// translate returns what is to be shown for a message. One that cannot be read is
// of a newer BuildKit, and not worth the build.
func (t *trace) translate(m jsonstream.Message) []jsonstream.Message {
	if m.Aux == nil {
		return []jsonstream.Message{m}
	}
	var packed []byte
	var r control.StatusResponse
	if m.ID != traceID || json.Unmarshal(*m.Aux, &packed) != nil || r.UnmarshalVT(packed) != nil {
		return nil
	}
	var out []jsonstream.Message
	for _, v := range r.Vertexes {
		out = append(out, t.begin(v)...)
	}
	for _, s := range r.Statuses {
		out = append(out, t.bar(s)...)
	}
	for _, l := range r.Logs {
		out = append(out, t.output(l)...)
	}
	for _, v := range r.Vertexes { // after its output
		out = append(out, t.end(v)...)
	}
	return out
}

func (t *trace) begin(v *control.Vertex) []jsonstream.Message {
	if v.Started == nil || t.steps[v.Digest] != nil {
		return nil
	}
	s := &step{number: len(t.steps) + 1, hidden: isOwn(v.Name)}
	t.steps[v.Digest] = s
	if s.hidden {
		return nil
	}
	return s.say(v.Name)
}

// isOwn tells a step that no line of the Dockerfile asks for: reading what was
// sent, looking at base images.
func isOwn(name string) bool {
	return strings.HasPrefix(name, "[internal]") || name == "copy /context /" || strings.HasPrefix(name, "resolve image config for ")
}

func (t *trace) end(v *control.Vertex) []jsonstream.Message {
	s := t.steps[v.Digest]
	if s == nil || s.done || v.Completed == nil {
		return nil
	}
	s.done = true
	var out []jsonstream.Message
	if rest := strings.TrimRight(string(s.partial), "\r\n"); rest != "" {
		s.note(rest)
		out = s.say(rest)
	}
	switch {
	case v.Error != "":
		t.failed = s
		if s.hidden {
			out = append(out, s.say(v.Name)...)
		}
		return append(out, s.say("ERROR: "+v.Error)...)
	case s.hidden:
		return out
	case v.Cached:
		return append(out, s.say("CACHED")...)
	}
	took := v.Completed.AsTime().Sub(v.Started.AsTime())
	return append(out, s.say(fmt.Sprintf("DONE %.1fs", took.Round(100*time.Millisecond).Seconds()))...)
}

// bar shows how much of something is fetched.
func (t *trace) bar(v *control.VertexStatus) []jsonstream.Message {
	s := t.steps[v.Vertex]
	if s == nil || s.hidden || v.Total <= 0 {
		return nil
	}
	name := strings.TrimPrefix(v.ID, "sha256:")
	if name != v.ID {
		name = short(name)
	}
	return []jsonstream.Message{{ID: name, Status: v.Name, Progress: &jsonstream.Progress{Current: v.Current, Total: v.Total}}}
}

// output shows whole lines.
func (t *trace) output(l *control.VertexLog) []jsonstream.Message {
	s := t.steps[l.Vertex]
	if s == nil {
		return nil
	}
	s.partial = append(s.partial, l.Msg...)
	end := bytes.LastIndexByte(s.partial, '\n')
	if end < 0 {
		return nil
	}
	var out []jsonstream.Message
	for line := range strings.Lines(string(s.partial[:end+1])) {
		line = strings.TrimRight(line, "\r\n")
		s.note(line)
		out = append(out, s.say(line)...)
	}
	s.partial = append([]byte(nil), s.partial[end+1:]...)
	return out
}

func (s *step) note(line string) {
	if strings.TrimSpace(line) != "" {
		s.last = strings.TrimSpace(line)
	}
}

func (s *step) say(text string) []jsonstream.Message {
	return []jsonstream.Message{{Stream: fmt.Sprintf("#%d %s\n", s.number, text)}}
}

// explain adds to a build's error the last thing that the failing step said.
func (t *trace) explain(err error) error {
	if t.failed == nil || t.failed.last == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, t.failed.last)
}
