package supervisor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/engine"
)

// inside is a ready worker of a container whose loop has been blocked for some seconds.
func inside(number int, blocked float64) api.Worker {
	return api.Worker{Number: number, State: "ready", EventLoop: &api.EventLoop{Source: "outside", Blocked: blocked}}
}

func (w *world) reported(name string, r *api.Inside) {
	w.engine.facts <- engine.Fact{Kind: engine.Reported, Instance: w.engine.instances(name)[0], At: time.Now(), Report: r}
	synctest.Wait()
}

func TestWorkersInsideAreShownUntilTheirReportsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 1))
		defer w.finish()
		if w.rows("app")[0].Inner != nil {
			t.Error("workers inside before any was reported")
		}
		w.reported("app.1", &api.Inside{Workers: []api.Worker{inside(1, 0), inside(2, 0)}})
		if names := w.rows("app")[0].Inner.Named("app", "app.1"); len(names) != 2 || names[1].Name != "app.1/2" {
			t.Errorf("inside of app.1: %+v", names)
		}
		w.reported("app.1", nil)
		if w.rows("app")[0].Inner != nil {
			t.Error("workers inside whose reports have ended")
		}
		w.reported("app.1", &api.Inside{Workers: []api.Worker{inside(1, 0)}})
		w.engine.end(w.engine.instances("app.1")[0], engine.Exit{Code: 1})
		w.pass(150 * time.Millisecond)
		if w.expect("app", "app.1 ready"); w.rows("app")[0].Inner != nil {
			t.Error("workers inside of a container that has died")
		}
	})
}

func TestAContainerWhoseEveryLoopHangsIsAvoided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 2))
		defer w.finish()
		silent := func() string {
			var names []string
			for _, e := range w.pool("app").Endpoints() {
				if e.Silent() {
					names = append(names, e.Config().Worker)
				}
			}
			return strings.Join(names, " ")
		}
		w.reported("app.1", &api.Inside{Workers: []api.Worker{inside(1, 3), inside(2, 0)}})
		if got := silent(); got != "" {
			t.Errorf("silent: %q, though one of two loops turns", got)
		}
		w.reported("app.1", &api.Inside{Workers: []api.Worker{inside(1, 3), inside(2, 1)}})
		if got := silent(); got != "app.1" {
			t.Errorf("silent: %q, want app.1", got)
		}
		w.reported("app.1", nil)
		if got := silent(); got != "" {
			t.Errorf("silent: %q, though nobody says so any more", got)
		}
	})
}

func TestEventsInsideAreToldAndAFloodOfThemIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 1))
		defer w.finish()
		for i := range 5 {
			r := &api.Inside{}
			for n := range 30 {
				r.Events = append(r.Events, api.Event{Worker: "2", Kind: "backoff", Message: fmt.Sprintf("died %d.%d", i, n), Cause: "exit 1"})
			}
			w.reported("app.1", r)
		}
		w.pass(2 * time.Second)
		w.reported("app.1", &api.Inside{Events: []api.Event{{Worker: "2", Kind: "ready", Message: "ready"}}})
		told, dropped := 0, ""
		kept, _ := w.sup.Events(context.Background(), false)
		for _, e := range kept {
			switch {
			case e.Worker == "app.1/2":
				told++
			case e.Kind == "notice":
				dropped = e.Message
			}
		}
		if told != innerBurst+1 || dropped != fmt.Sprintf("%d events of its workers inside were too many to be told", 150-innerBurst) {
			t.Errorf("%d events were told, and %q", told, dropped)
		}
	})
}
