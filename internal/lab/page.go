package lab

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
)

//go:embed page.html
var pageText string

// WritePage writes the report as one HTML file that needs nothing beside itself.
func (r Report) WritePage(w io.Writer) error {
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	type table struct {
		Table
		Charts []chart
		Head   []string
		Body   [][]string
	}
	var tables []table
	for _, t := range r.Tables {
		lines := t.lines()
		tables = append(tables, table{Table: t, Charts: t.charts(), Head: lines[0], Body: lines[1:]})
	}
	return page.Execute(w, map[string]any{"Tables": tables, "Footer": r.footer()})
}

// chart is one figure of all rows, as bars.
type chart struct {
	Title  string
	Bars   []bar
	Height int
}

type bar struct {
	Name, Value  string
	Y, TextY     int
	Width        float64 // of 100
	ValueAtRight float64
}

const (
	barHeight = 26
	chartSpan = 58.0 // per cent of the width, for the longest bar
)

func (t Table) charts() []chart {
	if len(t.Tasks) > 0 {
		return t.taskCharts()
	}
	figures := []struct {
		title string
		value func(Row) float64
		text  func(Row) string
	}{
		{"iterations of the loop in a second", func(r Row) float64 { return r.Frequency }, func(r Row) string { return fmt.Sprintf("%.0f", r.Frequency) }},
		{"tick duration", func(r Row) float64 { return r.Tick.Seconds() }, func(r Row) string { return short(r.Tick) }},
		{"loop latency, p50", func(r Row) float64 { return r.Loop.Seconds() }, func(r Row) string { return short(r.Loop) }},
		{"work-processing latency", func(r Row) float64 { return r.Work.Seconds() }, func(r Row) string { return short(r.Work) }},
		{"answered in a second", func(r Row) float64 { return r.Requests }, func(r Row) string { return fmt.Sprintf("%.1f", r.Requests) }},
	}
	var charts []chart
	for _, f := range figures {
		c := chart{Title: f.title}
		for _, r := range t.Loops {
			c.add(r.Name, f.value(r), f.text(r))
		}
		if slices.ContainsFunc(c.Bars, func(b bar) bool { return b.Width > 0 }) {
			charts = append(charts, c.scaled())
		}
	}
	return charts
}

func (t Table) taskCharts() []chart {
	memory, creation, switching := chart{Title: "memory each"}, chart{Title: "created in"}, chart{Title: "switch"}
	for _, r := range t.Tasks {
		memory.add(r.Name, float64(r.Memory), bytesText(r.Memory))
		creation.add(r.Name, r.Create.Seconds(), short(r.Create))
		switching.add(r.Name, r.Switch.Seconds(), short(r.Switch))
	}
	return []chart{memory.scaled(), creation.scaled(), switching.scaled()}
}

func (c *chart) add(name string, value float64, text string) {
	y := len(c.Bars) * barHeight
	c.Bars = append(c.Bars, bar{Name: name, Value: text, Y: y, TextY: y + barHeight/2, Width: max(value, 0)})
	c.Height = y + barHeight
}

// scaled makes the longest bar as long as there is room.
func (c chart) scaled() chart {
	longest := 0.0
	for _, b := range c.Bars {
		longest = math.Max(longest, b.Width)
	}
	for i := range c.Bars {
		b := &c.Bars[i]
		if longest > 0 {
			b.Width = b.Width / longest * chartSpan
		}
		b.ValueAtRight = 30 + b.Width + 1
	}
	return c
}
