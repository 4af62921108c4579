package supervisor

import (
	"testing"
	"testing/synctest"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// binding is an engine whose workers bind a port by themselves.
type binding struct {
	*fakeEngine
	port int
}

func (b binding) BindsPort(engine.InstanceID) int { return b.port }

// TestAWorkerOnItsOwnPortEndsBeforeItsSuccessorStarts where there is one worker: a second
// one could not bind the port. Several share it in some way of their own.
func TestAWorkerOnItsOwnPortEndsBeforeItsSuccessorStarts(t *testing.T) {
	for _, c := range []struct {
		port, workers int
		want          string
	}{
		{8000, 1, "start app.1, end app.1, start app.1"},
		{0, 1, "start app.1, start app.1, end app.1"},
		{8000, 2, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{t: t, engine: newFake()}
			w.sup = New(Config{Project: "test", Pools: NewPools(), Events: NewEvents(),
				Engines: map[spec.Engine]engine.Engine{spec.EngineProcess: binding{w.engine, c.port}}})
			w.apply(aService("app", c.workers))
			defer w.finish()
			if err := w.sup.Restart(nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if st := w.sup.Status().Services[0]; !st.Current() {
				t.Error("the restart is not over")
			}
			if got := w.engine.history(); c.want != "" && got != c.want {
				t.Errorf("%+v: order %q", c, got)
			}
			if notices := w.events("notice"); (len(notices) == 1) != (c.port > 0 && c.workers == 1) {
				t.Errorf("%+v: notices %q", c, notices)
			}
		})
	}
}
