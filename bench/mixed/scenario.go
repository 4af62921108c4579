package main

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"bulsa/bench/measure"
)

// stream is requests of one kind at random times (a Poisson process).
type stream struct {
	path string
	rate float64 // a second
}

// scenario is what comes beside the light requests.
type scenario struct {
	name, title string
	heavy       []stream
	background  bool
}

const (
	lightRate = 100 // a second
	lateFrom  = 30 * time.Millisecond
)

func scenarios() []scenario {
	return []scenario{
		{name: "S1", title: "1.5 requests a second block the loop for 300 ms", heavy: []stream{{"/block", 1.5}}},
		{name: "S2", title: "a background job blocks each worker for 300 ms every 1.5 s", background: true},
		{name: "S3", title: "1 request a second blocks for 300 ms, 10 a second wait for 1 s", heavy: []stream{{"/block", 1}, {"/wait", 10}}},
		{name: "S4", title: "1.5 requests a second answer and then block for 300 ms", heavy: []stream{{"/after", 1.5}}},
	}
}

func (s scenario) environment(workers int) []string {
	env := []string{"WORKERS=" + strconv.Itoa(workers)}
	if s.background {
		env = append(env, "BACKGROUND=1")
	}
	return env
}

// due is one request and when it is sent.
type due struct {
	at   time.Duration
	path string
}

// plan is the same for every peer with the same seed.
func (s scenario) plan(seed uint64, span time.Duration) []due {
	random := rand.New(rand.NewPCG(seed, 1))
	var all []due
	for _, stream := range append([]stream{{"/", lightRate}}, s.heavy...) {
		for at := time.Duration(0); ; {
			at += time.Duration(random.ExpFloat64() / stream.rate * float64(time.Second))
			if at >= span {
				break
			}
			all = append(all, due{at, stream.path})
		}
	}
	slices.SortFunc(all, func(a, b due) int { return int(a.at - b.at) })
	return all
}

// result is what the light requests met.
type result struct {
	took   []time.Duration // sorted
	failed int             // of all requests
}

func (r result) quantile(q float64) time.Duration {
	if len(r.took) == 0 {
		return 0
	}
	return r.took[min(len(r.took)-1, int(q*float64(len(r.took))))].Round(100 * time.Microsecond)
}

// late is how many light requests took so long that they must have met a blocked
// loop: a busy machine delays them by less.
func (r result) late() int {
	first, _ := slices.BinarySearch(r.took, lateFrom)
	return len(r.took) - first
}

// drive sends the requests when they are due, whether or not others are still
// under way, over kept connections, and waits for all answers.
func drive(address string, plan []due) result {
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	var mu sync.Mutex
	var r result
	var under sync.WaitGroup
	start := time.Now()
	for _, d := range plan {
		time.Sleep(time.Until(start.Add(d.at)))
		under.Go(func() {
			err := measure.Get(client, "http://"+address+d.path)
			took := time.Since(start.Add(d.at))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				r.failed++
			case d.path == "/":
				r.took = append(r.took, took)
			}
		})
	}
	under.Wait()
	slices.Sort(r.took)
	return r
}
