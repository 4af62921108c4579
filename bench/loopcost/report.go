package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"bulsa/bench/measure"
)

// report says what each side used for a request, and how the sides differ.
func report(blocks []block) string {
	var b strings.Builder
	b.WriteString("| event_loop.monitor | µs of workers for a request | µs of bulsa for a request | requests | failed |\n|---|---|---|---|---|\n")
	for _, name := range sides {
		workers, bulsa := each(blocks, name, ofWorkers), each(blocks, name, ofBulsa)
		all := used{}
		for _, one := range blocks {
			all.add(*one[name])
		}
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %d | %d |\n", name, measure.Median(workers), measure.Median(bulsa), all.Requests, all.Failed)
	}
	fmt.Fprintf(&b, "\n%d blocks. Ratios: the middle of all (Hodges and Lehmann), with the interval that has the true one 95 times of 100; then the quartiles of the blocks.\n\n", len(blocks))
	b.WriteString("| | workers | bulsa |\n|---|---|---|\n")
	for _, pair := range []struct {
		title string
		a, b  []string
	}{
		{"control / off: nothing but chance", []string{"control"}, []string{"off"}},
		{"on / off", []string{"on"}, []string{"off"}},
		{"on / both without", []string{"on"}, []string{"off", "control"}},
	} {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", pair.title, compare(blocks, pair.a, pair.b, ofWorkers), compare(blocks, pair.a, pair.b, ofBulsa))
	}
	return b.String()
}

func ofWorkers(u used) time.Duration { return u.Workers }
func ofBulsa(u used) time.Duration   { return u.Bulsa }

// each is what one side used for a request, in µs, by block.
func each(blocks []block, name string, part func(used) time.Duration) (all []float64) {
	for _, b := range blocks {
		all = append(all, float64(part(*b[name]).Nanoseconds())/1000/float64(b[name].Requests))
	}
	return all
}

// compare tells the ratio of two sets of sides. Within a block it is taken of
// logarithms, so that a / b and b / a are equally far from 1.
func compare(blocks []block, a, b []string, part func(used) time.Duration) string {
	ratios := make([]float64, len(blocks))
	for _, name := range a {
		for i, v := range each(blocks, name, part) {
			ratios[i] += math.Log(v) / float64(len(a))
		}
	}
	for _, name := range b {
		for i, v := range each(blocks, name, part) {
			ratios[i] -= math.Log(v) / float64(len(b))
		}
	}
	middle, low, high := measure.Middle(ratios)
	first, third := measure.Quartiles(ratios)
	return fmt.Sprintf("%.4f (%.4f to %.4f); %.3f to %.3f", math.Exp(middle), math.Exp(low), math.Exp(high), math.Exp(first), math.Exp(third))
}
