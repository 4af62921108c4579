package balance

import (
	"testing"
	"time"
)

func TestBusyIsInFlightOrAMomentAgo(t *testing.T) {
	a := worker("a")
	p := pool(t, "round_robin", a)
	busy := func(after time.Duration) bool { return a.Busy(start.Add(after), time.Second) }
	if busy(0) {
		t.Error("busy before the first request")
	}
	p.Pick(Request{Now: start})
	if !busy(time.Hour) {
		t.Error("not busy with a request in flight")
	}
	a.Release(start, true, time.Millisecond)
	if !busy(900*time.Millisecond) || busy(1100*time.Millisecond) {
		t.Errorf("after an answer: %v, %v", busy(900*time.Millisecond), busy(1100*time.Millisecond))
	}
	p.Pick(Request{Now: start})
	a.Release(start.Add(time.Minute), false, 0)
	if !busy(time.Minute+900*time.Millisecond) || busy(time.Minute+1100*time.Millisecond) {
		t.Error("a failure is not seen, or for ever")
	}
}

func TestARequestThatFindsNobodyIsNoticed(t *testing.T) {
	p := pool(t, "least_latency")
	one, other := make(chan struct{}, 1), make(chan struct{}, 1)
	p.AwaitMiss(one)
	p.AwaitMiss(other)
	p.AwaitMiss(one)
	if !p.Missed().IsZero() {
		t.Fatal("nobody has asked")
	}
	p.Pick(Request{Now: start})
	<-one
	<-other
	if !p.Missed().Equal(start) {
		t.Errorf("missed at %v", p.Missed())
	}
	p.Pick(Request{Now: start})
	select {
	case <-one:
		t.Error("told twice for one wait")
	default:
	}
	p.Publish([]*Endpoint{worker("a", maxConns(1))})
	p.Pick(Request{Now: start.Add(time.Second)})
	p.Pick(Request{Now: start.Add(time.Second)})
	if !p.Missed().Equal(start) {
		t.Error("a full worker counts as nobody")
	}
}
