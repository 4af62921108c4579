package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// promClient is the primary's AggregatorRegistry of prom-client (lib/cluster.js,
// 12 to 15): it asks the workers for their metrics and adds them up. Only a worker
// whose app has made an AggregatorRegistry answers.
type promClient struct {
	asked  int // questions so far
	due    map[int]*gathering
	silent map[*Member]int // questions in a row without an answer
}

func newPromClient() *promClient {
	return &promClient{due: map[int]*gathering{}, silent: map[*Member]int{}}
}

const (
	promQuestion = "prom-client:getMetricsReq"
	promAnswer   = "prom-client:getMetricsRes"

	// promPatience is how long workers may take to answer.
	promPatience = time.Second
	// promTries is how many questions in a row a process may leave without an answer
	// before it is not asked any more: it has loaded the package, and does not use it
	// for this.
	promTries = 3
)

// gathering is one question to all workers.
type gathering struct {
	left map[*Member]bool
	got  [][]promMetric // by registry, in the order of the workers' answers
	done chan struct{}  // closed when all have answered or left
}

// promMetric is one element of registry.getMetricsAsJSON().
type promMetric struct {
	Name       string       `json:"name"`
	Help       string       `json:"help"`
	Type       string       `json:"type"`
	Aggregator string       `json:"aggregator"`
	Values     []promSample `json:"values"`
}

type promSample struct {
	Value  *float64       `json:"value"` // nil: NaN or infinite, which JSON cannot say
	Labels map[string]any `json:"labels"`
	Name   string         `json:"metricName"` // of a part: x_bucket, x_sum, x_count; "": the metric's own
}

// Family is one metric of an application, added up over its workers.
type Family struct {
	Name, Help string
	Type       string // counter, gauge, histogram, summary
	Samples    []Sample
}

// Sample is one value of a Family.
type Sample struct {
	Name   string // the family's, or that of a part: x_bucket, x_sum, x_count
	Labels map[string]string
	Value  float64
}

func (p *promClient) takes(h head) bool { return h.Type == promAnswer }

func (p *promClient) leave(m *Member) {
	delete(p.silent, m)
	for id := range p.due {
		p.settle(id, m)
	}
}

func (p *promClient) hear(_ time.Time, from *Member, raw json.RawMessage, _ *Hub) {
	var m struct {
		ID      int            `json:"requestId"`
		Metrics [][]promMetric `json:"metrics"`
	}
	if json.Unmarshal(raw, &m) != nil || p.due[m.ID] == nil || !p.due[m.ID].left[from] {
		return
	}
	delete(p.silent, from)
	p.due[m.ID].got = append(p.due[m.ID].got, m.Metrics...)
	p.settle(m.ID, from)
}

func (p *promClient) settle(id int, m *Member) {
	g := p.due[id]
	if !g.left[m] {
		return
	}
	if delete(g.left, m); len(g.left) == 0 {
		close(g.done)
	}
}

// ask sends the question to those who have loaded the package; nil: nobody has.
func (p *promClient) ask(members []*Member) (id int, g *gathering) {
	g = &gathering{left: map[*Member]bool{}, done: make(chan struct{})}
	p.asked++
	for _, m := range members {
		if m.Metrics && p.silent[m] < promTries && m.Send(map[string]any{"type": promQuestion, "requestId": p.asked}) == nil {
			g.left[m] = true
			p.silent[m]++
		}
	}
	if len(g.left) == 0 {
		return 0, nil
	}
	p.due[p.asked] = g
	return p.asked, g
}

// UsesMetrics notes that a process has loaded prom-client.
func (h *Hub) UsesMetrics(m *Member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m.Metrics = true
}

// Metrics are those that the workers keep with prom-client, added up as each says
// of itself. Who does not answer in time is left out.
func (h *Hub) Metrics(ctx context.Context) []Family {
	h.mu.Lock()
	p, on := h.modules["prom-client"].(*promClient)
	if !on {
		h.mu.Unlock()
		return nil
	}
	id, g := p.ask(h.members)
	h.mu.Unlock()
	if g == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, promPatience)
	defer cancel()
	select {
	case <-g.done:
	case <-ctx.Done():
	}
	h.mu.Lock()
	delete(p.due, id)
	h.mu.Unlock()
	return aggregate(g.got)
}

// aggregate adds metrics up (lib/metricAggregators.js).
func aggregate(registries [][]promMetric) []Family {
	byName := map[string][]promMetric{}
	for _, registry := range registries {
		for _, m := range registry {
			byName[m.Name] = append(byName[m.Name], m)
		}
	}
	var all []Family
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		same := byName[name]
		if reduce := aggregator(same[0].Aggregator); reduce != nil {
			all = append(all, Family{Name: name, Help: same[0].Help, Type: same[0].Type, Samples: combine(same, reduce)})
		}
	}
	return all
}

// combine brings the values with the same name and labels to one.
func combine(metrics []promMetric, reduce func([]float64) float64) []Sample {
	values := map[string][]float64{}
	samples := map[string]Sample{}
	var order []string
	for _, m := range metrics {
		for _, v := range m.Values {
			s := Sample{Name: cmp.Or(v.Name, m.Name), Labels: map[string]string{}}
			key := s.Name
			for _, label := range slices.Sorted(maps.Keys(v.Labels)) {
				s.Labels[label] = inspect(v.Labels[label])
				key += "\x00" + label + "\x00" + s.Labels[label]
			}
			if _, known := samples[key]; !known {
				order = append(order, key)
				samples[key] = s
			}
			value := math.NaN()
			if v.Value != nil {
				value = *v.Value
			}
			values[key] = append(values[key], value)
		}
	}
	out := make([]Sample, 0, len(order))
	for _, key := range order {
		s := samples[key]
		s.Value = reduce(values[key])
		out = append(out, s)
	}
	return out
}

// aggregator is how the values of several workers become one; nil: not at all.
func aggregator(name string) func([]float64) float64 {
	switch strings.ToLower(name) {
	case "", "sum":
		return sum
	case "first":
		return func(v []float64) float64 { return v[0] }
	case "average":
		return func(v []float64) float64 { return sum(v) / float64(len(v)) }
	case "min":
		return slices.Min[[]float64]
	case "max":
		return slices.Max[[]float64]
	}
	return nil // omit, or one of the app's own
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}
