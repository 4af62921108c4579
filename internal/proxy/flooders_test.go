package proxy

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func TestWhoIsCutOffAgainAndAgainIsTurnedAway(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	now := time.Unix(0, 0)
	var f flooders
	for range toleratedCuts - 1 {
		f.cut(a, now)
	}
	if f.banned(a, now) {
		t.Error("banned before its time")
	}
	for _, ban := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		f.cut(a, now)
		if end := now.Add(ban * time.Second); !f.banned(a, end.Add(-1)) || f.banned(a, end) || f.banned(b, now) {
			t.Errorf("the ban of %d s is another one", ban)
		}
		now = now.Add(ban * time.Second)
	}
	now = now.Add(floodMemory + 1)
	if f.cut(a, now); f.banned(a, now) {
		t.Error("what was long ago counts")
	}
}

func TestFloodsFromManyAddressesFillNoMemory(t *testing.T) {
	now := time.Unix(0, 0)
	var f flooders
	for i := range 3 * mostFlooders {
		f.cut(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(i)))), now)
		if i == mostFlooders/2 {
			now = now.Add(2 * floodMemory)
		}
		if len(f.addresses) > mostFlooders {
			t.Fatalf("%d are remembered", len(f.addresses))
		}
	}
}

func TestAFlooderThatComesBackIsToldToCalmDown(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", hello("app.1")))
	drown(t, h, floods()[0])
	client, now := netip.MustParseAddr("127.0.0.1"), time.Now()
	eventually(t, "it is counted", func() bool {
		h.server.flooders.mu.Lock()
		defer h.server.flooders.mu.Unlock()
		return h.server.flooders.addresses[client].cuts > 0
	})
	for range 10 * toleratedCuts { // for long enough, on any machine
		h.server.flooders.cut(client, now)
	}
	c := h.dial()
	if _, err := c.Write([]byte(clientPreface)); err != nil {
		t.Fatal(err)
	}
	if f, _, err := readFrame(c); err != nil || f.kind != frameSettings {
		t.Fatalf("first came %v, %v", f, err)
	}
	if f, payload, err := readFrame(c); err != nil || f.kind != frameGoAway || payload[7] != enhanceYourCalm {
		t.Errorf("then came %v with %v, %v", f, payload, err)
	}
	if status, _ := h.get("/"); status != 200 {
		t.Errorf("its neighbours of HTTP/1.1 got %d", status)
	}
	if n := h.stats().TurnedAway; n != 1 {
		t.Errorf("%d were counted as turned away", n)
	}
}
