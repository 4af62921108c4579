package inspector

import (
	"net"
	"net/netip"
	"os"
	"testing"
)

// Both ways to see what listens agree on sockets of both families.
func TestListeningSocketsAreSeenWithAndWithoutTheTable(t *testing.T) {
	self, err := find(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]func() (map[uint64]listener, error){"asked": diagnosed, "from the table": self.tabled}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue // no IPv6 here
		}
		want := netip.MustParseAddrPort(l.Addr().String())
		for way, look := range ways {
			all, err := look()
			if err != nil {
				t.Fatalf("%s: %v", way, err)
			}
			own, err := self.owns(all)
			if err != nil {
				t.Fatal(err)
			}
			seen := false
			for _, one := range own {
				seen = seen || one.address == want
			}
			if !seen {
				t.Errorf("%s: %s is not among %v", way, want, own)
			}
		}
		l.Close()
	}
}

func BenchmarkListening(b *testing.B) {
	self, err := find(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("asked", func(b *testing.B) {
		for b.Loop() {
			self.listening()
		}
	})
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			self.tabled()
		}
	})
}
