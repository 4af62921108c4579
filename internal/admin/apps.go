package admin

import (
	"cmp"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// AppFamily is one metric of a service's application, added up over its workers.
type AppFamily struct {
	Service    string
	Name, Help string
	Type       string // counter, gauge, histogram, summary; anything else: untyped
	Samples    []AppSample
}

// AppSample is one value. Name is the family's, or that of a part: x_bucket, x_sum, x_count.
type AppSample struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// withApps adds the applications' metrics to bulsa's own, each with its service.
// What cannot stand there is left out: a name of bulsa's, another type than the
// same name has already.
type withApps struct {
	own     prometheus.Gatherer
	control Control
}

// Gather implements prometheus.Gatherer.
func (g withApps) Gather() ([]*dto.MetricFamily, error) {
	families, err := g.own.Gather()
	byName := map[string]*dto.MetricFamily{}
	for _, f := range families {
		byName[f.GetName()] = f
	}
	name := regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	for _, app := range g.control.AppMetrics() {
		if !name.MatchString(app.Name) || strings.HasPrefix(app.Name, "bulsa_") {
			continue
		}
		kind := kindOf(app.Type)
		f := byName[app.Name]
		if f == nil {
			f = &dto.MetricFamily{Name: &app.Name, Help: &app.Help, Type: kind.Enum()}
			byName[app.Name] = f
		}
		if f.GetType() == kind {
			f.Metric = append(f.Metric, metricsOf(app, kind)...)
		}
	}
	var all []*dto.MetricFamily
	for _, n := range slices.Sorted(maps.Keys(byName)) {
		if len(byName[n].Metric) > 0 {
			all = append(all, byName[n])
		}
	}
	return all, err
}

func kindOf(name string) dto.MetricType {
	switch name {
	case "counter":
		return dto.MetricType_COUNTER
	case "gauge":
		return dto.MetricType_GAUGE
	case "histogram":
		return dto.MetricType_HISTOGRAM
	case "summary":
		return dto.MetricType_SUMMARY
	}
	return dto.MetricType_UNTYPED
}

// metricsOf makes one metric of all samples with the same labels: the buckets of a
// histogram and the quantiles of a summary are told apart by one more.
func metricsOf(app AppFamily, kind dto.MetricType) []*dto.Metric {
	var all []*dto.Metric
	known := map[string]*dto.Metric{}
	for _, s := range app.Samples {
		pairs, key := labelPairs(app.Service, s.Labels, partLabel(kind))
		m := known[key]
		if m == nil {
			m = &dto.Metric{Label: pairs}
			known[key] = m
			all = append(all, m)
		}
		put(m, kind, s, app.Name)
	}
	for _, m := range all {
		if m.Histogram != nil {
			slices.SortFunc(m.Histogram.Bucket, func(a, b *dto.Bucket) int { return cmp.Compare(a.GetUpperBound(), b.GetUpperBound()) })
		}
	}
	return all
}

func partLabel(kind dto.MetricType) string {
	switch kind {
	case dto.MetricType_HISTOGRAM:
		return "le"
	case dto.MetricType_SUMMARY:
		return "quantile"
	}
	return ""
}

// labelPairs are a sample's labels with its service, sorted, and the same as text.
// An application's own label of that name becomes exported_service, as a scraper
// would call it.
func labelPairs(service string, labels map[string]string, without string) (pairs []*dto.LabelPair, key string) {
	all := map[string]string{"service": service}
	name := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	for label, value := range labels {
		switch {
		case label == without || !name.MatchString(label):
		case label == "service":
			all["exported_service"] = value
		default:
			all[label] = value
		}
	}
	for _, label := range slices.Sorted(maps.Keys(all)) {
		value := strings.ToValidUTF8(all[label], "\uFFFD")
		pairs = append(pairs, &dto.LabelPair{Name: &label, Value: &value})
		key += label + "\x00" + value + "\x00"
	}
	return pairs, key
}

// put adds a sample to the metric that it is a part of.
func put(m *dto.Metric, kind dto.MetricType, s AppSample, family string) {
	value := s.Value
	switch kind {
	case dto.MetricType_COUNTER:
		m.Counter = &dto.Counter{Value: &value}
	case dto.MetricType_GAUGE:
		m.Gauge = &dto.Gauge{Value: &value}
	case dto.MetricType_UNTYPED:
		m.Untyped = &dto.Untyped{Value: &value}
	case dto.MetricType_HISTOGRAM:
		if m.Histogram == nil {
			m.Histogram = &dto.Histogram{}
		}
		count := whole(value)
		switch strings.TrimPrefix(s.Name, family) {
		case "_sum":
			m.Histogram.SampleSum = &value
		case "_count":
			m.Histogram.SampleCount = &count
		case "_bucket":
			if bound, err := strconv.ParseFloat(strings.TrimPrefix(s.Labels["le"], "+"), 64); err == nil {
				m.Histogram.Bucket = append(m.Histogram.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCount: &count})
			}
		}
	case dto.MetricType_SUMMARY:
		if m.Summary == nil {
			m.Summary = &dto.Summary{}
		}
		count := whole(value)
		switch strings.TrimPrefix(s.Name, family) {
		case "_sum":
			m.Summary.SampleSum = &value
		case "_count":
			m.Summary.SampleCount = &count
		default:
			if quantile, err := strconv.ParseFloat(s.Labels["quantile"], 64); err == nil {
				m.Summary.Quantile = append(m.Summary.Quantile, &dto.Quantile{Quantile: &quantile, Value: &value})
			}
		}
	}
}

func whole(value float64) uint64 {
	if math.IsNaN(value) || value < 0 {
		return 0
	}
	return uint64(value)
}
