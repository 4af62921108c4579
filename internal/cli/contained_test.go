package cli

import (
	"testing"

	"bulsa/internal/daemon"
	"bulsa/internal/inner"
)

func TestWhoSaysHowManyWorkersRunInAContainer(t *testing.T) {
	for _, x := range []struct {
		flag string
		in   daemon.Contained
		want string
	}{
		{"", daemon.Contained{First: true}, "auto"},
		{"2", daemon.Contained{First: true}, "2"},
		{"", daemon.Contained{Told: inner.Told{Report: "/run/x"}}, "1"},
		{"2", daemon.Contained{Told: inner.Told{Report: "/run/x"}}, "2"},
		{"2", daemon.Contained{Told: inner.Told{Report: "/run/x", Workers: "4"}}, "4"},
	} {
		o := runOptions{flags: runFlags{Args: []string{"node", "app.js"}, Workers: x.flag}}
		contained(&o, x.in)
		if o.flags.Workers != x.want || o.admin != "off" {
			t.Errorf("-w %q, told %q: %q workers, admin %q", x.flag, x.in.Workers, o.flags.Workers, o.admin)
		}
	}
	python := runOptions{flags: runFlags{Args: []string{"python3", "app.py"}}}
	contained(&python, daemon.Contained{Told: inner.Told{Report: "/run/x", Workers: "2"}, Rest: []string{"A=1", "PORT=3000"}})
	if f := python.flags; len(f.Publish) != 1 || f.Publish[0] != "3000:3000" || len(f.Environ) != 1 {
		t.Errorf("two workers of a program that reads PORT: published %q, environment %q", f.Publish, f.Environ)
	}
	o := runOptions{flags: runFlags{Args: []string{"node", "app.js"}}}
	if contained(&o, daemon.Contained{}); o.flags.Workers != "auto" || o.admin != "" || o.flags.StopTimeout != "" {
		t.Errorf("outside of a container: %+v", o)
	}
}
