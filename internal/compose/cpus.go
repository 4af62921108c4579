package compose

import "runtime"

// CPUs is how many CPUs this process may use, at least 1. Go's own default
// counts the CPU affinity and the cgroup's quota, rounded up (Go 1.25 release
// notes); GOMAXPROCS in the environment overrides both.
func CPUs() int { return cpus }

// cpus is from before the proxy raises GOMAXPROCS for its event loops.
var cpus = runtime.GOMAXPROCS(0)
