package flood

import (
	"net/netip"
	"sync"
	"time"
)

// Addresses are the addresses whose HTTP/2 connections had to be cut off. Who comes back
// to be cut off again is turned away for a while: each connection costs the server
// more than its client.
type Addresses struct {
	mu        sync.Mutex
	addresses map[netip.Addr]flooder
}

type flooder struct {
	cuts  int       // each less than floodMemory after the one before
	last  time.Time // of them
	until time.Time // no connection is taken before
}

const (
	toleratedCuts = 3 // a client may have a bug, and an address many clients
	floodMemory   = time.Minute
	shortestBan   = time.Second // doubled with each further cut
	longestBan    = time.Minute
	mostFlooders  = 4096
)

// Cut counts that a connection of a was cut off.
func (f *Addresses) Cut(a netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.addresses == nil || len(f.addresses) >= mostFlooders {
		f.forget(now)
	}
	one := f.addresses[a]
	if now.Sub(one.last) > floodMemory {
		one.cuts = 0
	}
	one.cuts++
	one.last = now
	if further := one.cuts - toleratedCuts; further >= 0 {
		one.until = now.Add(min(shortestBan<<min(further, 10), longestBan))
	}
	f.addresses[a] = one
}

// forget drops those who were not cut off lately, and all where that is not enough: a
// flood from so many addresses is not held up by remembering them.
func (f *Addresses) forget(now time.Time) {
	kept := make(map[netip.Addr]flooder)
	for a, one := range f.addresses {
		if now.Sub(one.last) <= floodMemory {
			kept[a] = one
		}
	}
	if len(kept) >= mostFlooders {
		clear(kept)
	}
	f.addresses = kept
}

// Banned says whether a is not to be taken now.
func (f *Addresses) Banned(a netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Before(f.addresses[a].until)
}
