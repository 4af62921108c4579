package logs

import (
	"io"
	"strings"
	"testing"
)

func TestLinesThatComeByAnotherWayAreAmongTheWorkersOwn(t *testing.T) {
	s, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Add("app.1", Stdout, "before there is a run\n")
	s.Capture("app.1", Stdout, Limits{}, io.NopCloser(strings.NewReader("its own\n")))()
	long := strings.Repeat("x", maxLine+10)
	s.Add("app.1", Stdout, "one\ntwo\n"+long+"\n")
	lines, err := s.Tail(-1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines {
		got = append(got, l.Text)
	}
	if text := strings.Join(got, "|"); !strings.HasPrefix(text, "its own|one|two|xxx") || strings.Count(text, "x") != len(long) {
		t.Errorf("%d lines: %.60q", len(got), text)
	}
}
