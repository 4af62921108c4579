package lab

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// TaskRow is what many goroutines, or threads of the system, cost.
type TaskRow struct {
	Name   string
	Count  int
	Create time.Duration // each
	Memory int64         // bytes each: the growth of what the process has resident, and of the kernel's stacks
	Stack  int64         // bytes each that are reserved for its stack at the start
	Switch time.Duration // from one to the next and back, halved
}

const (
	goroutines = 100_000
	// systemThreads is what every Linux lets a process have (threads-max,
	// pid_max 32768), well below what Go lets it have (10,000).
	systemThreads = 4_000
	switches      = 20_000
)

// threads compares what parks: goroutines, and threads that are locked to one.
func threads(ctx context.Context, b *bench, t *Table) error {
	light := TaskRow{Name: "goroutine", Count: goroutines, Stack: 2 << 10}
	heavy := TaskRow{Name: "thread of the system", Count: systemThreads, Stack: stackLimit()}
	for _, row := range []*TaskRow{&light, &heavy} {
		if b.Log != nil {
			fmt.Fprintf(b.Log, "%d times %s ...\n", row.Count, row.Name)
		}
		park := row == &heavy
		row.Create, row.Memory = create(row.Count, park)
		row.Switch = handOver(park)
		if err := ctx.Err(); err != nil {
			return err
		}
		t.Tasks = append(t.Tasks, *row)
	}
	t.expect(light.Memory < heavy.Memory, "a goroutine takes less memory")
	t.expect(light.Create < heavy.Create, "it is created faster")
	t.expect(light.Switch < heavy.Switch, "switching to it is faster")
	return nil
}

// create starts n goroutines that wait, each on a thread of its own if so asked,
// and ends them.
func create(n int, threads bool) (each time.Duration, memory int64) {
	debug.FreeOSMemory()
	before := resident() + kernelStacks()
	release := make(chan struct{})
	var waiting, ended sync.WaitGroup
	waiting.Add(n)
	start := time.Now()
	for range n {
		ended.Go(func() {
			if threads {
				runtime.LockOSThread() // the thread ends with the goroutine
			}
			waiting.Done()
			<-release
		})
	}
	waiting.Wait()
	took := time.Since(start)
	memory = resident() + kernelStacks() - before
	close(release)
	ended.Wait()
	return took / time.Duration(n), memory / int64(n)
}

// handOver lets two goroutines wake each other in turn.
func handOver(threads bool) time.Duration {
	there, back := make(chan struct{}), make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		if threads {
			runtime.LockOSThread()
		}
		for range there {
			back <- struct{}{}
		}
	})
	var took time.Duration
	ended.Go(func() {
		defer close(there)
		if threads {
			runtime.LockOSThread()
		}
		start := time.Now()
		for range switches {
			there <- struct{}{}
			<-back
		}
		took = time.Since(start)
	})
	ended.Wait()
	return took / (2 * switches)
}

// resident is the memory of this process in bytes; 0 where /proc does not tell.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// kernelStacks is what the kernel uses for the stacks of all threads of the
// machine, in bytes; 0 where it does not tell (proc_meminfo(5)).
func kernelStacks() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if after, ok := strings.CutPrefix(line, "KernelStack:"); ok {
			var kilobytes int64
			if _, err := fmt.Sscan(after, &kilobytes); err == nil {
				return kilobytes << 10
			}
		}
	}
	return 0
}

// stackLimit is what the system reserves for a new thread's stack (ulimit -s); it
// takes memory only as it is used.
func stackLimit() int64 {
	text, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if after, ok := strings.CutPrefix(line, "Max stack size"); ok {
			var soft int64
			if _, err := fmt.Sscan(after, &soft); err == nil {
				return soft
			}
		}
	}
	return 0
}
