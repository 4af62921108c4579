package sample

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestACommandMayHoldAnything(t *testing.T) {
	stat := "12 (a) R 1 (b c) S 1 12 7 0 -1 0 0 0 0 0 40 2 0 0 20 0 1 0 99 1000 33 0"
	session, ticks, pages, ok := parseStat([]byte(stat))
	if !ok || session != 7 || ticks != 42 || pages != 33 {
		t.Errorf("session %d, %d ticks, %d pages, %v", session, ticks, pages, ok)
	}
	if _, _, _, ok := parseStat([]byte("12 (a) S 1")); ok {
		t.Error("half a line was read")
	}
}

func TestASessionUsesWhatItsProcessesUse(t *testing.T) {
	session, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	used := sessionUsage(map[int]bool{session: true})
	if len(used) != 1 || used[session].Memory < 1<<20 {
		t.Errorf("the session of this test uses %+v", used)
	}
	if m := machineTime(); m.busy == 0 || m.busy > m.all {
		t.Errorf("the machine has spent %+v", m)
	}
}
