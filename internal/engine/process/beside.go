package process

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"bulsa/internal/engine"
)

var _ engine.Binder = (*Engine)(nil)

// BindsPort implements engine.Binder. What the kernel says counts: a socket that the
// worker's processes listen on, and that bulsa does not hold as well, since what was
// inherited does not stand in a successor's way.
func (e *Engine) BindsPort(id engine.InstanceID) int {
	r := e.find(id)
	if r == nil || !watchable {
		return 0
	}
	all := listeners()
	inherited := map[uint64]address{}
	for inode := range heldSockets(os.Getpid()) {
		if a, ok := all[inode]; ok {
			inherited[inode] = a
		}
	}
	first, last := ephemeral()
	open := slices.DeleteFunc(r.listensOn(inherited), func(a address) bool {
		return a.port == r.port || r.joins() && a.port >= inspectorPort && a.port < inspectorPort+inspectors || a.port >= first && a.port <= last
	})
	if len(open) == 0 {
		return 0
	}
	return slices.MinFunc(open, func(a, b address) int { return a.port - b.port }).port
}

// inspectors is how many ports from inspectorPort on are taken for debuggers, which
// serve nobody that a successor would have to serve.
const inspectors = 32

// ephemeral is the range from which the kernel gives ports to who asks for any (ip(7),
// ip_local_port_range): the successor gets another one.
func ephemeral() (first, last int) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) != 2 {
		return 32768, 60999
	}
	first, _ = strconv.Atoi(fields[0])
	last, _ = strconv.Atoi(fields[1])
	return first, last
}
