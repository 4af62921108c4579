package retry

import (
	"fmt"
	"testing"
)

func TestTheLineIsServedInOrder(t *testing.T) {
	var q Line
	var woken []int
	waiters := make([]*waiter, 3)
	for i := range waiters {
		waiters[i] = &waiter{wake: func() { woken = append(woken, i) }}
		if !q.join(waiters[i], 3) {
			t.Fatalf("waiter %d found no place", i)
		}
	}
	if q.join(&waiter{}, 3) {
		t.Error("a fourth got a place of three")
	}
	q.vacancy()
	q.leave(waiters[1]) // gave up: the first is told once more
	q.leave(waiters[0])
	if fmt.Sprint(woken) != "[0 0 2]" || !q.first(waiters[2]) {
		t.Errorf("woken %v", woken)
	}
	q.leave(waiters[2])
	if q.length.Load() != 0 {
		t.Error("the line is not empty")
	}
}
