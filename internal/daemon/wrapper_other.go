//go:build !linux

package daemon

func commandLine(int) []string { return nil }

func children(int) []int { return nil }
