package relay

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// counts is a member that answers as prom-client does, with metrics; "": never.
func counts(h *Hub, worker, metrics string) (m *Member, asked *int) {
	m, asked = &Member{Worker: worker}, new(int)
	m.Send = func(question any) error {
		*asked++
		id := question.(map[string]any)["requestId"]
		if metrics != "" {
			go h.Hear(time.Now(), m, json.RawMessage(fmt.Sprintf(`{"type":"prom-client:getMetricsRes","requestId":%v,"metrics":[%s]}`, id, metrics)))
		}
		return nil
	}
	h.Join(m)
	h.UsesMetrics(m)
	return m, asked
}

func TestMetricsOfAllWorkersAreAddedUpAsEachSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New()
		const metrics = `[
			{"name":"sold","help":"Sold.","type":"counter","values":[{"value":%[1]d,"labels":{"what":"pen","n":7}},{"value":1,"labels":{}}],"aggregator":"sum"},
			{"name":"up","type":"gauge","values":[{"value":%[1]d,"labels":{}}],"aggregator":"max"},
			{"name":"low","type":"gauge","values":[{"value":%[1]d,"labels":{}}],"aggregator":"min"},
			{"name":"mean","type":"gauge","values":[{"value":%[1]d,"labels":{}}],"aggregator":"average"},
			{"name":"began","type":"gauge","values":[{"value":%[1]d,"labels":{}}],"aggregator":"omit"},
			{"name":"none","type":"gauge","values":[{"value":null,"labels":{}}]},
			{"name":"took","type":"histogram","values":[{"value":%[1]d,"labels":{"le":"+Inf"},"metricName":"took_bucket"},{"value":2,"labels":{},"metricName":"took_sum"}]}
		]`
		counts(h, "app.1", fmt.Sprintf(metrics, 2))
		counts(h, "app.2", fmt.Sprintf(metrics, 5))
		got := map[string]string{}
		for _, f := range h.Metrics(t.Context()) {
			for _, s := range f.Samples {
				got[f.Name] += fmt.Sprint(s.Name, s.Labels, " ", s.Value, "; ")
			}
		}
		want := map[string]string{
			"sold": "soldmap[n:7 what:pen] 7; soldmap[] 2; ", "up": "upmap[] 5; ", "low": "lowmap[] 2; ", "mean": "meanmap[] 3.5; ",
			"none": "nonemap[] NaN; ", "took": "took_bucketmap[le:+Inf] 7; took_summap[] 4; ",
		}
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%s: %q, want %q", name, got[name], want[name])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d metrics: %v", len(got), got)
		}
	})
}

func TestWhoNeverAnswersForItsMetricsIsNotWaitedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New()
		_, mute := counts(h, "app.1", "")
		_, speaks := counts(h, "app.2", `[{"name":"sold","type":"counter","values":[{"value":1,"labels":{}}]}]`)
		began := time.Now()
		for range 10 {
			if got := h.Metrics(t.Context()); len(got) != 1 {
				t.Errorf("%d metrics of the one that answers", len(got))
			}
		}
		if took := time.Since(began); *mute != promTries || *speaks != 10 || took != promTries*promPatience {
			t.Errorf("asked %d and %d times in %v", *mute, *speaks, took)
		}
	})
}

func TestAWorkerThatLeavesKeepsNobodyWaitingForItsMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New()
		m, _ := counts(h, "app.1", "")
		began := time.Now()
		go func() {
			time.Sleep(10 * time.Millisecond)
			h.Leave(m)
		}()
		h.Metrics(t.Context())
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Errorf("waited %v", took)
		}
	})
}
