package admin

import (
	"math"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMetricsOfApplicationsStandBesideBulsasOwn(t *testing.T) {
	f := newFake()
	one := func(service, name, kind string, value float64) AppFamily {
		return AppFamily{Service: service, Name: name, Help: "Help of " + name + ".", Type: kind, Samples: []AppSample{{Name: name, Value: value}}}
	}
	f.apps = []AppFamily{
		one("web", "sold_total", "counter", 7), one("till", "sold_total", "counter", 8),
		one("web", "process_open_fds", "gauge", 12), // bulsa has one of this name, too
		one("web", "process_max_fds", "counter", 1), // and of this, with another type
		one("web", "bulsa_build_info", "gauge", 1), one("web", "not a name", "gauge", 1),
		one("web", "odd", "stateset", math.Inf(1)),
		{Service: "web", Name: "took", Type: "histogram", Samples: []AppSample{
			{"took_bucket", map[string]string{"le": "+Inf", "service": "own"}, 3}, {"took_bucket", map[string]string{"le": "0.5", "service": "own"}, 2},
			{"took_sum", map[string]string{"service": "own"}, 1.5}, {"took_count", map[string]string{"service": "own"}, 3},
		}},
		{Service: "web", Name: "cost", Type: "summary", Samples: []AppSample{
			{"cost", map[string]string{"quantile": "0.9", "what": "a\n\"pen\""}, 4}, {"cost_sum", map[string]string{"what": "a\n\"pen\""}, 9}, {"cost_count", map[string]string{"what": "a\n\"pen\""}, 2},
		}},
	}
	w := httptest.NewRecorder()
	New(Config{Control: f}).ControlHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, text)
	}
	for line := range strings.Lines(`# TYPE sold_total counter
sold_total{service="web"} 7
sold_total{service="till"} 8
process_open_fds{service="web"} 12
odd{service="web"} +Inf
took_bucket{exported_service="own",service="web",le="0.5"} 2
took_bucket{exported_service="own",service="web",le="+Inf"} 3
took_sum{exported_service="own",service="web"} 1.5
took_count{exported_service="own",service="web"} 3
cost{service="web",what="a\n\"pen\"",quantile="0.9"} 4
cost_count{service="web",what="a\n\"pen\""} 2
`) {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, wrong := range []string{`process_max_fds{`, `bulsa_build_info{service="web"`, "not a name"} {
		if strings.Contains(text, wrong) {
			t.Errorf("there is %s", wrong)
		}
	}
	if n := strings.Count(text, "# TYPE sold_total "); n != 1 {
		t.Errorf("the type of one metric is said %d times", n)
	}
}
