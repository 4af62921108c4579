package view

import (
	"time"

	"bulsa/internal/api"
	"bulsa/internal/eventloop"
)

// eventLoop is what is known of a loop, in the words on the wire.
func eventLoop(f *eventloop.Figures) *api.EventLoop {
	if f == nil {
		return nil
	}
	out := &api.EventLoop{
		Source: string(f.Source), PID: f.PID, Blocked: f.Blocked.Seconds(),
		TickDuration: span(f.TickMean), TickDurationMax: span(f.TickMax), WorkLatency: span(f.WorkLatency),
		LoopLatency: span(f.Latency.P99), LoopLatencyP50: span(f.Latency.P50), LoopLatencyMax: span(f.Latency.Max),
		TickFrequency: known(f.Frequency), Utilization: known(f.Utilization),
		Threads: known(f.Threads), Busy: known(f.Busy), Queued: known(f.Queued),
		Handles: known(f.Handles), Requests: known(f.Requests),
	}
	if f.Frequency > 0 {
		period := 1 / f.Frequency
		out.TickPeriod = &period
	}
	if a := f.Inside; a != nil {
		out.InFlight, out.HeapUsed, out.HeapLimit, out.External = &a.InFlight, &a.HeapUsed, &a.HeapLimit, &a.External
		for _, p := range a.Pauses {
			out.GarbageCollections = append(out.GarbageCollections, api.Pauses{Kind: p.Kind, Count: p.Count, Total: p.Total.Seconds(), Max: p.Max.Seconds()})
		}
	}
	return out
}

// known is nil for a figure that nobody can tell.
func known[T int | float64](v T) *T {
	if v < 0 {
		return nil
	}
	return &v
}

func span(d time.Duration) *float64 { return known(d.Seconds()) }
