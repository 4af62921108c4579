package measure

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine says what this was measured on.
func Machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s, Node %s", model, runtime.NumCPU(), FirstLine("uname", "-sr"), FirstLine("node", "--version"))
}

// LoadAverage is that of the last 1, 5 and 15 minutes.
func LoadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

// FirstLine is what a program says of itself; "" where it is missing.
func FirstLine(command ...string) string {
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	line, _, _ = strings.Cut(line, " - ") // HAProxy adds its address
	return strings.TrimSpace(strings.TrimPrefix(line, "nginx version: "))
}
