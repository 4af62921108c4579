package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	control "github.com/moby/buildkit/api/services/control"
	"github.com/moby/moby/api/types/jsonstream"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// shown is what a trace makes of BuildKit's messages, one string for each line or bar.
func shown(t *testing.T, responses ...*control.StatusResponse) ([]string, *trace) {
	t.Helper()
	var body bytes.Buffer
	for _, r := range responses {
		packed, err := r.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(packed)
		if err != nil {
			t.Fatal(err)
		}
		raw := json.RawMessage(text)
		if err := json.NewEncoder(&body).Encode(jsonstream.Message{ID: traceID, Aux: &raw}); err != nil {
			t.Fatal(err)
		}
	}
	tr := newTrace()
	var out []string
	for m, err := range tr.messages(&body) {
		switch {
		case err != nil:
			t.Fatal(err)
		case m.Progress != nil:
			out = append(out, fmt.Sprintf("%s %s %d/%d", m.ID, m.Status, m.Progress.Current, m.Progress.Total))
		default:
			out = append(out, strings.TrimSuffix(m.Stream, "\n"))
		}
	}
	return out, tr
}

func TestTraceOfABuildIsToldAsLinesAndBars(t *testing.T) {
	began, ended := &timestamppb.Timestamp{Seconds: 10}, &timestamppb.Timestamp{Seconds: 12}
	layer := "sha256:0123456789abcdef"
	got, _ := shown(t,
		&control.StatusResponse{Vertexes: []*control.Vertex{{Digest: "own", Name: "[internal] load .dockerignore", Started: began, Completed: ended}}},
		&control.StatusResponse{Vertexes: []*control.Vertex{{Digest: "from", Name: "[1/2] FROM node", Started: began}, {Digest: "later", Name: "[2/2] RUN x"}}},
		&control.StatusResponse{Statuses: []*control.VertexStatus{{ID: layer, Vertex: "from", Name: "downloading", Current: 5, Total: 10}, {ID: "extract", Vertex: "from"}}},
		&control.StatusResponse{Vertexes: []*control.Vertex{{Digest: "from", Name: "[1/2] FROM node", Started: began, Completed: ended}}},
		&control.StatusResponse{
			Vertexes: []*control.Vertex{{Digest: "later", Name: "[2/2] RUN x", Started: began, Completed: ended, Cached: true}},
			Logs:     []*control.VertexLog{{Vertex: "later", Msg: []byte("one\r\ntw")}, {Vertex: "later", Msg: []byte("o\nthree")}},
		},
		&control.StatusResponse{Vertexes: []*control.Vertex{{Digest: "later", Name: "[2/2] RUN x", Started: began, Completed: ended}}},
	)
	want := []string{"#2 [1/2] FROM node", "0123456789ab downloading 5/10", "#2 DONE 2.0s", "#3 [2/2] RUN x", "#3 one", "#3 two", "#3 three", "#3 CACHED"}
	if !slices.Equal(got, want) {
		t.Errorf("shown:\n%q\nwant:\n%q", got, want)
	}
}

func TestTraceOfAFailureNamesTheStepAndItsLastWords(t *testing.T) {
	at := &timestamppb.Timestamp{Seconds: 10}
	got, tr := shown(t, &control.StatusResponse{
		Vertexes: []*control.Vertex{{Digest: "own", Name: "[internal] load metadata", Started: at, Completed: at, Error: "no such host"}},
		Logs:     []*control.VertexLog{{Vertex: "own", Msg: []byte("looked everywhere\n\n")}},
	})
	want := []string{"#1 looked everywhere", "#1 ", "#1 [internal] load metadata", "#1 ERROR: no such host"}
	if !slices.Equal(got, want) {
		t.Errorf("shown:\n%q\nwant:\n%q", got, want)
	}
	if err := tr.explain(fmt.Errorf("failed to solve")); err.Error() != "failed to solve: looked everywhere" {
		t.Errorf("error %q", err)
	}
}

func TestMessageThatCannotBeReadEndsNoBuild(t *testing.T) {
	raw := json.RawMessage(`"AAAA"`)
	if got := newTrace().translate(jsonstream.Message{ID: traceID, Aux: &raw}); len(got) != 0 {
		t.Errorf("shown: %v", got)
	}
}
