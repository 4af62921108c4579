package flood

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func TestWhoIsCutOffAgainAndAgainIsTurnedAway(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	now := time.Unix(0, 0)
	var f Addresses
	for range toleratedCuts - 1 {
		f.Cut(a, now)
	}
	if f.Banned(a, now) {
		t.Error("banned before its time")
	}
	for _, ban := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		f.Cut(a, now)
		if end := now.Add(ban * time.Second); !f.Banned(a, end.Add(-1)) || f.Banned(a, end) || f.Banned(b, now) {
			t.Errorf("the ban of %d s is another one", ban)
		}
		now = now.Add(ban * time.Second)
	}
	now = now.Add(floodMemory + 1)
	if f.Cut(a, now); f.Banned(a, now) {
		t.Error("what was long ago counts")
	}
}

func TestFloodsFromManyAddressesFillNoMemory(t *testing.T) {
	now := time.Unix(0, 0)
	var f Addresses
	for i := range 3 * mostFlooders {
		f.Cut(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(i)))), now)
		if i == mostFlooders/2 {
			now = now.Add(2 * floodMemory)
		}
		if len(f.addresses) > mostFlooders {
			t.Fatalf("%d are remembered", len(f.addresses))
		}
	}
}
