package doctor

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// begin is when the test's workers started.
func begin() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// calm is a second of a worker that has little to do.
func calm() Sample {
	return Sample{
		CPU: 0.05, Memory: 60 << 20, Answers: 20, Answer: 0.004, InFlight: 0.1, LogBytes: 100, LogLost: 0,
		Utilization: 0.05, Tick: 0.0005, TickMax: 0.004, Frequency: 100, Late: 0.002, Blocked: 0,
		Threads: 4, Queued: 0, WorkWait: 0.0001, HeapUsed: 20 << 20, HeapLimit: 2000 << 20,
	}
}

// blind is a second of a program of which only the kernel tells.
func blind() Sample {
	nan := math.NaN()
	s := calm()
	s.Utilization, s.Tick, s.TickMax, s.Frequency, s.Late, s.Blocked = nan, nan, nan, nan, nan, nan
	s.Threads, s.Queued, s.WorkWait, s.HeapUsed, s.HeapLimit = nan, nan, nan, nan, nan
	return s
}

// minutes makes samples of one second each; change may alter the one of second i.
func minutes(n int, like Sample, change func(i int, s *Sample)) []Sample {
	var all []Sample
	for i := range n * 60 {
		s := like
		s.At = begin().Add(time.Duration(i) * time.Second)
		if change != nil {
			change(i, &s)
		}
		all = append(all, s)
	}
	return all
}

func worker(name string, samples []Sample) Worker {
	return Worker{Name: name, Started: begin(), State: "ready", Samples: samples, CheckCPU: math.NaN(), CheckWall: math.NaN()}
}

// project is one service of two calm workers, which change may make ill.
func project(change func(p *Project, s *Service)) Project {
	s := Service{Name: "app", Loops: true, Workers: []Worker{worker("app.1", minutes(5, calm(), nil)), worker("app.2", minutes(5, calm(), nil))}}
	p := Project{Cores: 4, Busy: 0.2}
	if change != nil {
		change(&p, &s)
	}
	p.Services = []Service{s}
	return p
}

func all(change func(s *Sample)) func(*Project, *Service) {
	return func(_ *Project, s *Service) {
		for i := range s.Workers {
			s.Workers[i].Samples = minutes(5, calm(), func(_ int, x *Sample) { change(x) })
		}
	}
}

func TestAHealthyProjectHasNoFindings(t *testing.T) {
	for name, p := range map[string]Project{
		"nothing":   {},
		"calm":      project(nil),
		"not Node":  project(func(_ *Project, s *Service) { s.Loops, s.Workers[0].Samples = false, minutes(5, blind(), nil) }),
		"no sample": project(func(_ *Project, s *Service) { s.Workers[0].Samples = nil }),
		"blocked while it starts": project(func(_ *Project, s *Service) {
			s.Workers[0].Samples[3].TickMax = 2
			s.Workers[1].State, s.Workers[1].Samples[299].Blocked = "starting", 2
		}),
		"late on a full machine": project(func(p *Project, s *Service) { p.Busy, s.Workers[0].Samples[100].TickMax = 0.99, 0.3 }),
		"grows while it starts": project(func(_ *Project, s *Service) {
			s.Workers[0].Samples = minutes(5, calm(), func(i int, x *Sample) { x.Memory += float64(min(i, 60) << 20) })
		}),
		"grows until it is warm": project(func(_ *Project, s *Service) {
			s.Workers[0].Samples = minutes(5, calm(), func(i int, x *Sample) { x.Memory += float64(min(i, 150) << 18) })
		}),
		"the collector's saw": project(func(_ *Project, s *Service) {
			s.Workers[0].Samples = minutes(5, calm(), func(i int, x *Sample) { x.Memory += float64(i % 20 << 20) })
		}),
		"one busy worker of two": project(func(_ *Project, s *Service) {
			s.Workers[0].Samples = minutes(5, calm(), func(_ int, x *Sample) { x.CPU, x.Utilization = 1, 1 })
		}),
		"busy until a minute ago": project(func(_ *Project, s *Service) {
			for w := range s.Workers {
				s.Workers[w].Samples = minutes(5, calm(), func(i int, x *Sample) {
					if i < 240 {
						x.CPU = 1
					}
				})
			}
		}),
		"a cheap check":         project(func(_ *Project, s *Service) { s.Check, s.Workers[0].CheckCPU = Check{Interval: 30 * time.Second}, 0.01 }),
		"two deaths":            project(func(_ *Project, s *Service) { s.Workers[0].Deaths = make([]Death, 2) }),
		"a quick wait upstream": project(all(func(x *Sample) { x.InFlight, x.Answer = 50, 0.1 })),
	} {
		if found := Examine(p); len(found) > 0 {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestIllnessesAreFoundWithEvidenceAndRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *Project, s *Service)
		kind   string
		worker string
		says   []string // anywhere in the finding
	}{
		"blocked now": {
			func(_ *Project, s *Service) {
				w := &s.Workers[1]
				w.Samples[len(w.Samples)-1].Blocked = 3
				w.Blocks = []Block{{Where: "fib (app.js:31)"}, {Where: "fib (app.js:31)"}, {}}
				w.Profile = &Profile{Busy: 1, Hot: []Hot{{"fib", "app.js:31", 0.93}, {"(program)", "", 0.5}, {"rare", "app.js:2", 0.01}}}
			}, "loop-blocked", "app.2", []string{"blocked now, for 3.0 s", "blocked 2 times in fib (app.js:31)", "blocked once in a place", "93% of its busy time goes to fib (app.js:31)", "worker thread"},
		},
		"blocked at times": {
			func(_ *Project, s *Service) { s.Workers[0].Samples[100].TickMax = 0.7 },
			"loop-blocked", "app.1", []string{"was blocked", "700 ms", "bulsa profile app.1"},
		},
		"a queue before the pool": {
			all(func(x *Sample) { x.Queued, x.WorkWait = 6, 0.2 }),
			"pool-saturated", "app.1", []string{"waits 200 ms", "6.0 tasks in the queue", "not set, so 4", "UV_THREADPOOL_SIZE=12"},
		},
		"a queue before the pool of a full machine": {
			func(p *Project, s *Service) {
				all(func(x *Sample) { x.Queued, x.WorkWait = 6, 0.2 })(p, s)
				p.Busy, s.Pool = 0.97, 8
			}, "pool-saturated", "app.1", []string{"UV_THREADPOOL_SIZE is 8", "97%", "only move the waiting"},
		},
		"all busy": {
			func(p *Project, s *Service) {
				all(func(x *Sample) { x.CPU = 0.97 })(p, s)
				s.Workers[0].Profile = &Profile{Busy: 1, Collector: 0.4, Hot: []Hot{{"", "a.js:1", 0.5}}}
			}, "workers-busy", "", []string{"app.2 is busy 97%", "bulsa scale app=3", "an anonymous function (a.js:1)", "40% of its busy time goes to the garbage collector"},
		},
		"all busy, and no core left": {
			func(p *Project, s *Service) { all(func(x *Sample) { x.CPU = 0.97 })(p, s); p.Busy = 0.99 },
			"workers-busy", "", []string{"the machine is full"},
		},
		"a worker for each core": {
			func(p *Project, s *Service) { all(func(x *Sample) { x.CPU = 0.97 })(p, s); p.Cores = 2 },
			"workers-busy", "", []string{"a worker for each of the 2 cores"},
		},
		"memory that grows": {
			func(_ *Project, s *Service) {
				s.Workers[0].Samples = minutes(5, calm(), func(i int, x *Sample) { x.Memory += float64(i<<18 + i%7<<20) })
			}, "memory-growth", "app.1", []string{"MiB a minute", "is reached in about 2h", "bulsa profile app.1 --heap"},
		},
		"memory of a program without a heap of V8": {
			func(_ *Project, s *Service) {
				s.Loops = false
				s.Workers[0].Samples = minutes(5, blind(), func(i int, x *Sample) { x.Memory += float64(i << 18) })
			}, "memory-growth", "app.1", []string{"caches without a limit"},
		},
		"a heap near its limit": {
			all(func(x *Sample) { x.HeapUsed = 0.9 * x.HeapLimit }),
			"memory-growth", "app.1", []string{"near its limit", "1.8 GiB of at most 2.0 GiB", "--max-old-space-size"},
		},
		"checks that cost": {
			func(_ *Project, s *Service) {
				s.Check, s.Workers[0].CheckCPU, s.Workers[1].CheckCPU = Check{Interval: time.Second, Process: true}, 0.1, 0.1
			}, "check-costly", "", []string{"cost 20% of a core", "2 workers are checked every 1s", "probe.http"},
		},
		"checks that are late": {
			func(_ *Project, s *Service) { s.Check, s.Workers[0].CheckWall = Check{Interval: time.Second}, 4 },
			"check-costly", "", []string{"longer than their interval", "took 4.0 s"},
		},
		"a slow database": {
			all(func(x *Sample) { x.InFlight, x.Answer, x.Answers, x.Frequency = 30, 2, 15, 77 }),
			"slow-upstream", "", []string{"60 requests in flight", "77 iterations a second", "more workers do not help"},
		},
		"npm": {
			func(_ *Project, s *Service) { s.Workers[0].Wrapper = "npm start" },
			"wrapper", "", []string{`app.1 was started by "npm start"`, "node app.js"},
		},
		"messages to a primary": {
			func(_ *Project, s *Service) { s.Unread = []Messages{{Kind: "topic jobs:done", Count: 12}} },
			"unread-messages", "", []string{"topic jobs:done: 12 times", "--node off"},
		},
		"a crash loop": {
			func(_ *Project, s *Service) {
				s.Workers[0].Deaths = []Death{{}, {}, {Cause: "exit 1: no such table"}}
			}, "crash-loop", "app.1", []string{"died 3 times", "no such table", "bulsa logs"},
		},
		"given up": {
			func(_ *Project, s *Service) {
				s.Workers[0].State, s.Workers[0].Cause = "failed", "13 deaths in 10 minutes"
			},
			"crash-loop", "app.1", []string{"given up: 13 deaths", "bulsa start app"},
		},
		"requests that wait unread": {
			func(_ *Project, s *Service) {
				s.Workers[0].Elsewhere = []string{"127.0.0.1:3000"}
				s.Workers[0].Samples = minutes(1, calm(), func(i int, x *Sample) { x.Answers, x.InFlight = 0, float64(i/10) })
			}, "no-answer", "app.1", []string{"127.0.0.1:3000", "$PORT"},
		},
		"a flood": {
			all(func(x *Sample) { x.LogBytes, x.LogLost = 5<<20, 10 }),
			"log-flood", "app.1", []string{"5.0 MiB a second", "3000 lines could not be kept"},
		},
	} {
		found := Examine(project(c.change))
		i := slices.IndexFunc(found, func(f Finding) bool { return f.Kind == c.kind && f.Worker == c.worker && f.Service == "app" })
		if i < 0 {
			t.Errorf("%s: found %+v", name, found)
			continue
		}
		f := found[i]
		text := strings.Join(slices.Concat([]string{f.Summary}, f.Evidence, f.Remedy), "\n")
		for _, want := range c.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q does not say %q", name, text, want)
			}
		}
		if len(f.Evidence) == 0 && f.Kind != "crash-loop" || len(f.Remedy) == 0 || f.Weight <= 0 || f.Weight > 100 {
			t.Errorf("%s: %+v", name, f)
		}
		for _, other := range found {
			if other.Kind != c.kind {
				t.Errorf("%s: also finds %+v", name, other)
			}
		}
	}
}

// The block was as the program started: the longest iteration since is no evidence of it.
func TestABlockIsNotContradictedByItsOwnFinding(t *testing.T) {
	for _, f := range Examine(project(func(_ *Project, s *Service) { s.Workers[0].Blocks = []Block{{Where: "load (app.js:3)"}} })) {
		if f.Kind == "loop-blocked" {
			if said := strings.Join(f.Evidence, "; "); strings.Contains(said, "longest") || !strings.Contains(said, "blocked once in load (app.js:3)") {
				t.Errorf("it says %q", said)
			}
			return
		}
	}
	t.Error("no block was found")
}

func TestTheHeaviestFindingComesFirst(t *testing.T) {
	found := Examine(project(func(_ *Project, s *Service) {
		s.Workers[0].Wrapper = "npm start"
		s.Workers[1].Samples[299].Blocked = 5
		s.Workers[1].Deaths = make([]Death, 5)
	}))
	var kinds []string
	for _, f := range found {
		kinds = append(kinds, f.Kind)
	}
	if want := []string{"loop-blocked", "crash-loop", "wrapper"}; !slices.Equal(kinds, want) {
		t.Errorf("found %v", kinds)
	}
}

func TestTheBusiestWorkerIsProfiled(t *testing.T) {
	for want, change := range map[string]func(*Project, *Service){
		"": nil,
		"app.1": func(_ *Project, s *Service) {
			s.Workers[0].Samples = minutes(1, calm(), func(_ int, x *Sample) { x.CPU = 0.9 })
		},
		"app.2": func(_ *Project, s *Service) {
			s.Workers[0].Samples = minutes(1, calm(), func(_ int, x *Sample) { x.CPU = 0.9 })
			s.Workers[1].Samples[299].Blocked = 1
		},
	} {
		if got := Busiest(project(change)); got != want {
			t.Errorf("the busiest is %q, not %q", got, want)
		}
	}
}
