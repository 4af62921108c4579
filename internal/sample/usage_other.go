//go:build !linux

package sample

// sessionUsage knows nothing where there is no /proc.
func sessionUsage(map[int]bool) map[int]Usage { return map[int]Usage{} }

func machineTime() ticks { return ticks{} }
