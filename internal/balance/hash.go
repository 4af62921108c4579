package balance

import (
	"encoding/binary"
	"net/netip"
)

// hashString is FNV-1a with a final mix: FNV alone leaves the upper bits of
// names like app.1 and app.2 alike.
func hashString(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}

// hashClient takes what nginx's ip_hash takes: the first three octets of an
// IPv4 address (a /24 stays together), the whole of an IPv6 address.
func hashClient(a netip.Addr) uint64 {
	if a.Is4() || a.Is4In6() {
		b := a.As4()
		b[3] = 0
		return mix(uint64(binary.BigEndian.Uint32(b[:])))
	}
	b := a.As16()
	return mix(binary.BigEndian.Uint64(b[:8]) ^ mix(binary.BigEndian.Uint64(b[8:])))
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
