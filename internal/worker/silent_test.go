package worker

import (
	"testing"
	"time"
)

func TestASilentLoopMakesAWorkerUnhealthyUntilItTurns(t *testing.T) {
	for name, config := range map[string]Config{"without checks": defaults(), "with checks": checkedConfig()} {
		t.Run(name, func(t *testing.T) {
			config.Health.Replace = true
			m := New("app.1", config, 1)
			for _, f := range []Fact{{Kind: Start}, {Kind: Listening}, {Kind: Checked}} {
				f.Instance = m.Instance()
				m.Step(epoch, f)
			}
			effects := m.Step(at(time.Second), Fact{Kind: LoopSilent, Instance: m.Instance(), Cause: "event loop silent for 5.1 s"})
			if got := kinds(effects); got != "unpublish replace" || m.State() != Unhealthy || m.Health() != "unhealthy" || m.Cause() != "event loop silent for 5.1 s" {
				t.Fatalf("%s; %v, %s, %s", got, m.State(), m.Health(), m.Cause())
			}
			if effects := m.Step(at(2*time.Second), Fact{Kind: Checked, Instance: m.Instance()}); len(effects) != 0 || m.State() != Unhealthy {
				t.Fatalf("a check that passes: %v, %v", effects, m.State())
			}
			effects = m.Step(at(3*time.Second), Fact{Kind: LoopAlive, Instance: m.Instance()})
			if got := kinds(effects); got != "publish" || m.State() != Ready || m.Health() == "unhealthy" {
				t.Fatalf("it turns again: %s; %v, %s", got, m.State(), m.Health())
			}
		})
	}
}

func TestALoopThatTurnsDoesNotExcuseFailedChecks(t *testing.T) {
	m := brought(t, Unhealthy)
	m.Step(at(time.Minute), Fact{Kind: LoopSilent, Instance: m.Instance()})
	m.Step(at(time.Minute), Fact{Kind: LoopAlive, Instance: m.Instance()})
	if m.State() != Unhealthy {
		t.Errorf("it is %v", m.State())
	}
}

func TestTheNextRunIsNotBlamedForASilentOne(t *testing.T) {
	m := New("app.1", defaults(), 1)
	m.Step(epoch, Fact{Kind: Start})
	first := m.Instance()
	m.Step(epoch, Fact{Kind: Listening, Instance: first})
	m.Step(epoch, Fact{Kind: LoopSilent, Instance: first, Cause: "event loop silent for 5.0 s"})
	m.Step(at(time.Second), Fact{Kind: Exited, Instance: first, Exit: Exit{Code: -1, Signal: "SIGKILL"}})
	m.Step(m.Wake(), Fact{Kind: Wake})
	m.Step(at(2*time.Second), Fact{Kind: LoopSilent, Instance: first})
	m.Step(at(2*time.Second), Fact{Kind: Listening, Instance: m.Instance()})
	if m.State() != Ready || m.Health() != "none" {
		t.Errorf("it is %v, %s", m.State(), m.Health())
	}
}
