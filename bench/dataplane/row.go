package main

import (
	"fmt"
	"slices"
	"strings"
)

// row is one kind of work that all its contenders do.
type row struct {
	name       string // for -rows
	title      string
	work       work
	contenders []string // names; the first is bulsa, in whichever form
	metrics    []metric
	bounds     []bound
	cores      int  // that the proxy may use
	fresh      bool // every run begins with a new process
}

// work is what the load generator is told.
type work struct {
	answer      int // bytes of body of every answer
	post        int // bytes of body of every request; 0: GET
	connections int
	rate        int  // requests a second; 0: flat out
	browser     bool // with the header fields of a browser
	idle        bool // connections that do nothing
	tls         bool
	handshakes  bool // every request over a new connection
	longer      int  // so many times the usual span; 0: once
}

// patient is how much longer a run at a fixed rate is. Of 8,000 requests the eighth slowest is
// the 99.9th percentile: in a second one pause of the machine decides it.
const patient = 4

// metric is a figure of a run. Less is better, except of the rate.
type metric struct {
	name, unit string
	of         func(figures) float64
}

// bound is what bulsa promises of a metric: at most so many times the peer's.
type bound struct {
	peer      string
	metric    metric
	must, aim float64 // 0: none
}

// figures is what one run found.
type figures struct {
	Requests int     `json:"requests"`
	Errors   int     `json:"errors"`
	Why      string  `json:"why"` // of the first error
	Seconds  float64 `json:"seconds"`
	Behind   float64 `json:"behind"` // requests that were due but not sent at the end

	ProxyCPU    float64 `json:"proxy_cpu"` // seconds, user and system
	UpstreamCPU float64 `json:"upstream_cpu"`
	LoadCPU     float64 `json:"load_cpu"`
	OtherCPU    float64 `json:"other_cpu"` // of programs that do not belong to the measurement
	Steal       float64 `json:"steal"`     // taken by the host of a virtual machine

	P50     float64 `json:"p50"` // microseconds, as the rest
	P99     float64 `json:"p99"`
	P999    float64 `json:"p999"`
	Slowest float64 `json:"slowest"`

	Memory        float64 `json:"memory"`         // kilobytes, of all its processes
	PerConnection float64 `json:"per_connection"` // kilobytes
}

func (f figures) cost() float64 { return f.ProxyCPU * 1e6 / float64(max(f.Requests, 1)) }
func (f figures) rate() float64 { return float64(f.Requests) / f.Seconds }

// disturbed is how much of one core others took meanwhile.
func (f figures) disturbed() float64 { return (f.OtherCPU + f.Steal) / f.Seconds }

func cost() metric { return metric{"CPU a request", "us", figures.cost} }
func rate() metric { return metric{"requests a second", "", figures.rate} }
func p50() metric  { return metric{"p50", "us", func(f figures) float64 { return f.P50 }} }
func p99() metric  { return metric{"p99", "us", func(f figures) float64 { return f.P99 }} }
func p999() metric { return metric{"p99.9", "us", func(f figures) float64 { return f.P999 }} }
func busy() metric {
	return metric{"core busy", "%", func(f figures) float64 { return 100 * f.ProxyCPU / f.Seconds }}
}
func perCore() metric {
	return metric{"a second of one core", "", func(f figures) float64 { return 1e6 / f.cost() }}
}
func perIdle() metric {
	return metric{"memory a connection", "kB", func(f figures) float64 { return f.PerConnection }}
}
func memory() metric {
	return metric{"memory in all", "MB", func(f figures) float64 { return f.Memory / 1024 }}
}

// rows are all kinds of work, with what issue 4 asks of them.
func rows() []row {
	flatOut := []metric{cost(), rate(), p50(), p99(), busy()}
	timed := []metric{cost(), p50(), p99(), p999()}
	peers := []string{bulsa, nginx, haproxy, floor}
	of := func(peer string, must, aim float64) bound { return bound{peer, cost(), must, aim} }
	rated := func(rate int) row {
		return row{name: fmt.Sprintf("rate-%d", rate), title: fmt.Sprintf("13 B answers, %d requests a second over 64 connections", rate),
			work: work{answer: 13, connections: 64, rate: rate, longer: patient}, contenders: peers, metrics: timed, cores: 1,
			bounds: []bound{of(nginx, 0.95, 0.82), {nginx, p99(), 1, 0.5}, {nginx, p999(), 1, 0}}}
	}
	bodies := func(name, title string, w work, bounds ...bound) row {
		return row{name: name, title: title, work: w, contenders: peers, metrics: flatOut, bounds: bounds, cores: 1}
	}
	large := func(name, title string, w work, bounds ...bound) row {
		r := bodies(name, title, w, bounds...)
		r.contenders = []string{bulsa, nginx, nginxSpool, haproxy, floor}
		return r
	}
	const kilobyte, megabyte = 1 << 10, 1 << 20
	return []row{
		{name: "13b", title: "13 B answers, 64 connections", work: work{answer: 13, connections: 64},
			contenders: append(slices.Clone(peers), caddy, reverseProxy), metrics: flatOut, cores: 1,
			bounds: []bound{of(nginx, 0.70, 0.60), of(haproxy, 0.85, 0.70), of(floor, 0, 1.05)}},
		{name: "13b-unix", title: "13 B answers, 64 connections, bulsa over unix sockets", work: work{answer: 13, connections: 64},
			contenders: []string{bulsaUnix, nginx}, metrics: flatOut, cores: 1,
			bounds: []bound{of(nginx, 0.62, 0.50)}},
		{name: "13b-browser", title: "13 B answers, 64 connections, the header fields of a browser", work: work{answer: 13, connections: 64, browser: true},
			contenders: []string{bulsa, nginx, haproxy}, metrics: flatOut, cores: 1},
		bodies("1k-16", "1 KB answers, 16 connections", work{answer: kilobyte, connections: 16}, of(nginx, 0.75, 0.62)),
		bodies("1k-256", "1 KB answers, 256 connections", work{answer: kilobyte, connections: 256}, of(nginx, 0.75, 0.62)),
		large("64k-down", "64 KB answers, 64 connections", work{answer: 64 * kilobyte, connections: 64}, of(nginx, 0.55, 0.35), of(haproxy, 0.85, 0)),
		large("64k-up", "64 KB request bodies, 64 connections", work{answer: 13, post: 64 * kilobyte, connections: 64}, of(nginx, 0.55, 0.35), of(haproxy, 0.85, 0)),
		large("1m-down", "1 MB answers, 16 connections", work{answer: megabyte, connections: 16}, of(nginx, 0.45, 0.25), of(haproxy, 0.80, 0)),
		large("1m-up", "1 MB request bodies, 16 connections", work{answer: 13, post: megabyte, connections: 16}, of(nginx, 0.45, 0.25), of(haproxy, 0.80, 0)),
		{name: "idle", title: "10,000 idle keep-alive clients", work: work{answer: 13, connections: 10000, idle: true},
			contenders: []string{bulsa, nginx, haproxy}, metrics: []metric{perIdle(), memory()}, cores: 1, fresh: true,
			bounds: []bound{{nginx, perIdle(), 1, 0.5}}},
		rated(8000),
		rated(30000),
		{name: "one", title: "13 B answers, 1 connection, one request after another", work: work{answer: 13, connections: 1},
			contenders: peers, metrics: append(slices.Clone(timed), rate()), cores: 1,
			bounds: []bound{of(nginx, 0.85, 0.70), {nginx, p50(), 1, 0}, {nginx, p99(), 1, 0}}},
		{name: "two-cores", title: "13 B answers, 64 connections, a proxy with two cores", work: work{answer: 13, connections: 64},
			contenders: peers, metrics: flatOut, cores: 2},
		{name: "tls", title: "TLS: 1 KB answers, 64 keep-alive connections", work: work{answer: kilobyte, connections: 64, tls: true},
			contenders: []string{bulsa, nginx, haproxy}, metrics: []metric{cost(), rate(), busy()}, cores: 1},
		{name: "handshakes", title: "TLS: full handshakes with P-256, one 13 B answer each", work: work{answer: 13, connections: 16, tls: true, handshakes: true},
			contenders: []string{bulsa, nginx, haproxy}, metrics: []metric{cost(), perCore(), busy()}, cores: 1},
	}
}

// chosen are the rows of a list of names, or all.
func chosen(names string) ([]row, error) {
	all := rows()
	if names == "" {
		return all, nil
	}
	var out []row
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(r row) bool { return r.name == name })
		if i < 0 {
			var known []string
			for _, r := range all {
				known = append(known, r.name)
			}
			return nil, fmt.Errorf("-rows: no row is named %q; there are %s", name, strings.Join(known, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}
