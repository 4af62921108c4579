package limit

import (
	"net/netip"
	"testing"
	"time"
)

func TestTheLogIsLimited(t *testing.T) {
	var l Log
	now := time.Now()
	written := 0
	for range 100 {
		if _, ok := l.allow(now); ok {
			written++
		}
	}
	if suppressed, ok := l.allow(now.Add(time.Second)); !ok || suppressed != 95 || written != 5 {
		t.Fatal(written, suppressed, ok)
	}
}

func TestAnIPv6ClientIsItsSubnet(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::",
	} {
		if got := OneClient(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

func TestAClientsPaceIsJudgedByTheTimeItTakes(t *testing.T) {
	var p Meter
	for range 100 { // a worker that is slow is not the client's fault
		if p.Slow(1, 0, 1000) {
			t.Fatal("too slow, although nobody waited for it")
		}
	}
	if p.Slow(4000, 4*time.Second, 1000) || p.Slow(1000, time.Second, 1000) {
		t.Error("too slow at its rate")
	}
	if p.Slow(4000, 4*time.Second, 1000) || !p.Slow(100, time.Second, 1000) {
		t.Error("not too slow below its rate")
	}
	if p.Slow(0, time.Hour, 0) {
		t.Error("too slow without a limit")
	}
}
