package daemon

import "testing"

func TestTheMemoryLimitFollowsWhatIsAlive(t *testing.T) {
	for live, want := range map[uint64]int64{0: usualMemory, 5 << 20: usualMemory, 64 << 20: usualMemory, 100 << 20: 200 << 20, 1 << 30: 2 << 30} {
		if got := (&memory{live: live}).limit(); got != want {
			t.Errorf("%d bytes alive: a limit of %d, want %d", live, got, want)
		}
	}
}

func TestFreeMemoryGoesBackWhenItIsNotUsedForAWhile(t *testing.T) {
	m := memory{calm: calmLooks - 1}
	if m.excessive() {
		t.Error("too soon")
	}
	m.calm = calmLooks
	if !m.excessive() || m.excessive() {
		t.Error("it goes back once")
	}
}
