package process_test

import (
	"testing"
	"time"

	"bulsa/internal/engine"
)

// BenchmarkCommand is what one command check costs: start, wait, clean up.
func BenchmarkCommand(b *testing.B) {
	bench := newBench(b)
	i := bench.Start("obedient")
	for b.Loop() {
		if _, err := bench.Engine.Exec(b.Context(), i.ID, engine.Command{Args: []string{"/bin/true"}, Timeout: time.Minute}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRespawn is a worker's death and the start of its successor.
func BenchmarkRespawn(b *testing.B) {
	bench := newBench(b)
	l := bench.Launch("", 1)
	l.Release.Service.Command.Args = []string{"/bin/sleep", "3600"}
	for b.Loop() {
		bench.Kill(bench.StartLaunch(l).ID)
		l.ID += "+"
	}
}
