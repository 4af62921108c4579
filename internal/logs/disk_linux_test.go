package logs

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The disk is full in the middle of a line: what is on it stays readable, and
// the output goes on where it can as soon as there is room.
func TestDiskThatFillsUpKeepsWholeLines(t *testing.T) {
	r := open(t)
	small := filepath.Join(r.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small disk here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(small, syscall.MNT_DETACH) })
	s, err := Open(small, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ballast := filepath.Join(small, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 700<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	const total = 6000
	line := strings.Repeat("x", 100) + "\n"
	s.Capture(worker, Stdout, Limits{}, io.NopCloser(strings.NewReader(strings.Repeat(line, total))))()
	kept, err := s.Tail(-1)
	if err != nil || len(kept) == 0 || len(kept) >= total {
		t.Fatalf("kept %d of %d lines, %v", len(kept), total, err)
	}
	for _, l := range kept {
		if len(l.Text) != 100 {
			t.Fatalf("half a line: %q", l.Text)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.Capture(worker, Stdout, Limits{}, io.NopCloser(strings.NewReader("room again\n")))()
	after, err := s.Tail(2)
	if err != nil || len(after) != 2 || after[1].Text != "room again" || !strings.Contains(after[0].Text, "lines lost") {
		t.Fatalf("after: %+v, %v", after, err)
	}
}
