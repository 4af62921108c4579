// Command crashloop measures what a crash loop costs: workers that exit at once,
// under the restart settings that everybody has who sets nothing.
//
//	go run ./bench/crashloop -workers 8 -for 30s
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("binary", "", "the bulsa to measure (default: built from this tree)")
	workers := flag.Int("workers", 8, "number of workers that exit at once")
	length := flag.Duration("for", 30*time.Second, "how long to measure")
	most := flag.Float64("max", 5, "exit with 1 when bulsa takes more than this many percent of one core")
	flag.Parse()
	share, err := measure(*binary, *workers, *length)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if share > *most {
		fmt.Fprintf(os.Stderr, "%.2f %% of one core is more than %.2f %%\n", share, *most)
		os.Exit(1)
	}
}

// measure runs the loop, prints its cost and returns the share of one core, in percent.
func measure(binary string, workers int, length time.Duration) (float64, error) {
	dir, err := os.MkdirTemp("", "crashloop")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if binary == "" {
		binary = filepath.Join(dir, "bulsa")
		if err := command("go", "build", "-o", binary, "./cmd/bulsa").Run(); err != nil {
			return 0, fmt.Errorf("cannot build bulsa: %w", err)
		}
	}
	os.Setenv("BULSA_RUNTIME_DIR", dir)
	bulsa, err := start(binary, workers)
	if err != nil {
		return 0, err
	}
	defer stop(bulsa)
	time.Sleep(time.Second) // past the first deaths, which come all at once
	before, err := read(bulsa.Process.Pid)
	if err != nil {
		return 0, err
	}
	time.Sleep(length)
	after, err := read(bulsa.Process.Pid)
	if err != nil {
		return 0, err
	}
	share := percent(after.own-before.own, length)
	fmt.Printf("%d workers that exit at once, for %s after the first second:\n", workers, length)
	fmt.Printf("bulsa    %.3f s of CPU, %.2f %% of one core\n", (after.own - before.own).Seconds(), share)
	fmt.Printf("workers  %.3f s of CPU, %.2f %% of one core\n", (after.children - before.children).Seconds(), percent(after.children-before.children, length))
	fmt.Printf("memory   %.1f MB, then %.1f MB\n", before.megabytes, after.megabytes)
	return share, nil
}

func percent(d, of time.Duration) float64 { return 100 * d.Seconds() / of.Seconds() }

// start runs the crash loop and returns once it has begun.
func start(binary string, workers int) (*exec.Cmd, error) {
	bulsa := command(binary, "run", "--name", "crashloop", "--admin", "off", "-w", strconv.Itoa(workers), "--", "/bin/false")
	bulsa.Stderr = nil
	if err := bulsa.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for exec.CommandContext(ctx, binary, "ps", "-p", "crashloop").Run() != nil {
		if ctx.Err() != nil {
			stop(bulsa)
			return nil, errors.New("bulsa does not come up")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return bulsa, nil
}

func stop(bulsa *exec.Cmd) {
	bulsa.Process.Signal(syscall.SIGTERM)
	bulsa.Wait()
}

func command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c
}

// usage is what a process has used up to now: the rusage of itself and of the
// children that it has waited for.
type usage struct {
	own, children time.Duration
	megabytes     float64 // resident
}

// tick is the unit of the times in /proc: 1/sysconf(_SC_CLK_TCK), always 10 ms on Linux.
const tick = 10 * time.Millisecond

// read looks into /proc/PID/stat (proc_pid_stat(5)). The name in parentheses may
// hold anything, so the fields are counted from its end.
func read(pid int) (usage, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("bulsa has ended: %w", err)
	}
	line := string(b)
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 22 {
		return usage{}, fmt.Errorf("cannot understand %q", line)
	}
	number := func(i int) time.Duration {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		return time.Duration(n)
	}
	return usage{
		own:       (number(11) + number(12)) * tick,
		children:  (number(13) + number(14)) * tick,
		megabytes: float64(number(21)) * float64(os.Getpagesize()) / (1 << 20),
	}, nil
}
