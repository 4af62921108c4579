//go:build linux

// Command healthsched measures how late health checks begin when there are very
// many of them. It runs the real supervisor over an engine whose commands return
// at once, so what it shows is the cost of scheduling alone. Linux only: it
// compares with nanosleep(2).
//
//	go run ./bench/healthsched -workers 10000 -interval 1s -for 15s
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"bulsa/internal/daemon"
	"bulsa/internal/engine"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
)

func main() {
	workers := flag.Int("workers", 10000, "number of workers")
	interval := flag.Duration("interval", time.Second, "from the end of a check to the start of the next")
	length := flag.Duration("for", 15*time.Second, "how long to measure")
	most := flag.Duration("max", 0, "exit with 1 when the 99th percentile is above this; 0: never")
	flag.Parse()
	daemon.TuneCollector() // as bulsa does
	late, err := measure(*workers, *interval, *length)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if *most > 0 && late > *most {
		fmt.Fprintf(os.Stderr, "p99 is %s, more than %s\n", late, *most)
		os.Exit(1)
	}
}

// measure runs the supervisor, prints what it saw and returns the 99th percentile.
func measure(workers int, interval, length time.Duration) (time.Duration, error) {
	before := memory()
	e := newInstant(workers, interval)
	s := supervisor.New(supervisor.Config{
		Project: "bench", Engines: map[spec.Engine]engine.Engine{spec.EngineProcess: e},
		Pools: supervisor.NewPools(), Events: supervisor.NewEvents(),
	})
	started := time.Now()
	if _, err := s.Apply(project(workers, interval)); err != nil {
		return 0, err
	}
	if err := allReady(s, workers); err != nil {
		return 0, err
	}
	fmt.Printf("%d workers, a check every %s: ready after %s\n", workers, interval, time.Since(started).Round(time.Millisecond))
	time.Sleep(2 * interval) // every worker has been checked in its rhythm
	cpu := cpuTime()
	e.record(true)
	machine := wakeups(length)
	e.record(false)
	cpu = cpuTime() - cpu

	late := e.lateness()
	if len(late) == 0 {
		return 0, errors.New("no check was seen")
	}
	fmt.Printf("%d checks in %s, %.0f a second\n", len(late), length, float64(len(late))/length.Seconds())
	fmt.Printf("lateness  %s\n", percentiles(late))
	fmt.Printf("machine   %s (how late the kernel wakes a sleeping thread at the same time)\n", percentiles(machine))
	fmt.Printf("CPU       %.1f %% of one core, %s a check\n", 100*cpu.Seconds()/length.Seconds(), (cpu / time.Duration(len(late))).Round(100*time.Nanosecond))
	fmt.Printf("memory    %.1f MB more than at the start\n", float64(memory()-before)/(1<<20))
	return at(late, 0.99), end(s, e)
}

// project is one service of many workers. What it would execute does not matter.
func project(workers int, interval time.Duration) spec.Project {
	sv := spec.NewService("app")
	sv.Replicas = workers
	sv.Command = spec.Command{Args: []string{"app"}, Dir: "/"}
	sv.Health.Test = []string{"CMD", "check"}
	sv.Health.Interval = interval
	return spec.Project{Name: "bench", Dir: "/", Services: []spec.Service{sv}}
}

func allReady(s *supervisor.Supervisor, workers int) error {
	limit := time.After(5 * time.Minute)
	for {
		changed := s.Changed()
		if s.Status().Services[0].Ready == workers {
			return nil
		}
		select {
		case <-changed:
		case <-limit:
			return fmt.Errorf("only %d of %d workers are ready after 5 minutes", s.Status().Services[0].Ready, workers)
		}
	}
}

func end(s *supervisor.Supervisor, e *instant) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		return fmt.Errorf("the workers do not end: %w", err)
	}
	if err := e.Close(); err != nil {
		return err
	}
	s.Wait()
	return nil
}

// wakeups sleeps in steps of a millisecond for length and returns how much
// longer each of them took, in ascending order: no scheduler on this machine
// can be more punctual than that.
func wakeups(length time.Duration) []time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	step := syscall.NsecToTimespec(time.Millisecond.Nanoseconds())
	var late []time.Duration
	for end := time.Now().Add(length); time.Now().Before(end); {
		began := time.Now()
		if syscall.Nanosleep(&step, nil) == nil {
			late = append(late, time.Since(began)-time.Millisecond)
		}
	}
	return sorted(late)
}

// at returns the value below which a share of the ascending values lies.
func at(values []time.Duration, share float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	return values[int(share*float64(len(values)-1))].Round(time.Microsecond)
}

func percentiles(values []time.Duration) string {
	return fmt.Sprintf("p50 %s  p99 %s  p99.9 %s  max %s", at(values, 0.5), at(values, 0.99), at(values, 0.999), at(values, 1))
}

// cpuTime is what this program has used, user and system time together.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is what lives on the program's heap, and its stacks, in bytes.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func sorted(d []time.Duration) []time.Duration {
	slices.Sort(d)
	return d
}
