//go:build !linux

package diagnose

func commandLine(int) []string { return nil }

func children(int) []int { return nil }
