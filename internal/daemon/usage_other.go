//go:build !linux

package daemon

// sessionUsage knows nothing where there is no /proc.
func sessionUsage(map[int]bool) map[int]usage { return map[int]usage{} }

func machineTime() ticks { return ticks{} }

func commandLine(int) []string { return nil }

func children(int) []int { return nil }
