package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"bulsa/internal/api"
)

// work is what a row's clients ask for: connections clients, each of which asks
// again as soon as it has its answer (as ab -k does).
type work struct {
	name, path  string
	connections int
}

// measure gives the service work for the time of a row, and looks at its loops
// meanwhile.
func (s *service) measure(ctx context.Context, w work) (Row, error) {
	if log := s.bench.Log; log != nil {
		fmt.Fprintf(log, "%s ...\n", w.name)
	}
	ctx, cancel := context.WithCancel(ctx)
	l := newLoad(s.url+w.path, w.connections)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for range w.connections {
		running.Go(func() { l.client(ctx) })
	}
	if err := s.pause(ctx, warmUp); err != nil {
		return Row{}, err
	}
	l.begin()
	row := Row{Name: w.name}
	samples := 0
	for until := time.Now().Add(s.bench.Measure); time.Now().Before(until); {
		if err := s.pause(ctx, time.Second); err != nil {
			return Row{}, err
		}
		workers, err := s.workers(ctx)
		if err != nil {
			return Row{}, err
		}
		for _, worker := range workers {
			if row.add(worker) {
				samples++
			}
		}
	}
	l.end(&row)
	if samples == 0 {
		return row, errUnseen
	}
	row.divide(samples)
	return row, nil
}

func (s *service) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-s.ended:
		return fmt.Errorf("bulsa ended: %s", lastLine(s.output.String()))
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// add sums up what a worker's loop shows; false when nothing is known of it.
func (r *Row) add(w api.Worker) bool {
	e := w.EventLoop
	if e == nil {
		return false
	}
	r.Frequency += value(e.TickFrequency)
	r.Tick += seconds(e.TickDuration)
	r.Loop += seconds(e.LoopLatencyP50)
	r.Work += seconds(e.WorkLatency)
	r.Utilization += value(e.Utilization)
	return true
}

func (r *Row) divide(samples int) {
	n := time.Duration(samples)
	r.Frequency /= float64(samples)
	r.Utilization /= float64(samples)
	r.Tick /= n
	r.Loop /= n
	r.Work /= n
}

func value(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

func seconds(f *float64) time.Duration { return time.Duration(value(f) * float64(time.Second)) }

// load counts what its clients get.
type load struct {
	url  string
	http *http.Client

	mu     sync.Mutex
	began  time.Time // zero: what is answered does not count yet
	took   []time.Duration
	failed int
}

func newLoad(url string, connections int) *load {
	return &load{url: url, http: &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true},
	}}
}

func (l *load) client(ctx context.Context) {
	defer l.http.CloseIdleConnections()
	for ctx.Err() == nil {
		start := time.Now()
		err := l.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		l.note(time.Since(start), err)
	}
}

func (l *load) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url, nil)
	if err != nil {
		return err
	}
	answer, err := l.http.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

func (l *load) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.began.IsZero():
	case err != nil:
		l.failed++
	default:
		l.took = append(l.took, took)
	}
}

func (l *load) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = time.Now()
}

func (l *load) end(r *Row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Requests = float64(len(l.took)) / time.Since(l.began).Seconds()
	r.Failed = l.failed
	if n := len(l.took); n > 0 {
		slices.Sort(l.took)
		r.P99 = l.took[min(n-1, n*99/100)]
	}
	l.began = time.Time{}
}
