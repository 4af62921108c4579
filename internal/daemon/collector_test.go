package daemon

import "testing"

func TestTheMemoryLimitFollowsWhatIsAlive(t *testing.T) {
	for _, c := range []struct {
		live, rest uint64
		want       int64
	}{
		{0, 0, usualMemory}, {5 << 20, 10 << 20, usualMemory}, {50 << 20, 28 << 20, usualMemory}, {100 << 20, 20 << 20, 220 << 20}, {1 << 30, 0, 2 << 30},
		{5 << 20, 300 << 20, 364 << 20}, // the stacks of many goroutines
	} {
		if got := (&memory{live: c.live, rest: c.rest}).limit(); got != c.want {
			t.Errorf("%d bytes alive and %d of no heap: a limit of %d, want %d", c.live, c.rest, got, c.want)
		}
	}
}

func TestFreeMemoryGoesBackWhenTooMuchIsHeldForAWhile(t *testing.T) {
	var m memory
	for _, want := range []int{calmLooks, 2 * calmLooks, 4 * calmLooks} {
		looks := 0
		for m.late++; !m.excessive(); m.late++ {
			looks++
		}
		if looks+1 != want {
			t.Errorf("after %d looks, want %d", looks+1, want)
		}
	}
}

// What the runtime says adds up.
func TestMemoryIsRead(t *testing.T) {
	var m memory
	m.look()
	if m.rest == 0 || m.rest > 1<<30 || m.held > 1<<40 {
		t.Errorf("read %+v", m)
	}
}
