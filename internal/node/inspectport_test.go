package node

import (
	"slices"
	"strings"
	"testing"
)

func TestEachWorkersInspectorHasAPortOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		args, options         string
		wantArgs, wantOptions string // of the third worker
	}{
		"a port":                     {"node --inspect=9300 app.js --inspect=1", "", "node --inspect=9300 --inspect-port=9302 app.js --inspect=1", ""},
		"the default port":           {"node --inspect app.js", "", "node --inspect --inspect-port=9231 app.js", ""},
		"an address":                 {"node --inspect-brk=0.0.0.0:9300 -r x app.js", "", "node --inspect-brk=0.0.0.0:9300 -r x --inspect-port=0.0.0.0:9302 app.js", ""},
		"an address of IPv6":         {"node --inspect=[::1]:9300 app.js", "", "node --inspect=[::1]:9300 --inspect-port=[::1]:9302 app.js", ""},
		"a host alone":               {"node --inspect=0.0.0.0 app.js", "", "node --inspect=0.0.0.0 --inspect-port=0.0.0.0:9231 app.js", ""},
		"in NODE_OPTIONS":            {"node app.js", "--trace-warnings --inspect=9300", "node app.js", "--trace-warnings --inspect=9300 --inspect-port=9302"},
		"the command counts":         {"node --inspect=9400 app.js", "--inspect=9300", "node --inspect=9400 --inspect-port=9402 app.js", "--inspect=9300"},
		"only where it would listen": {"node --inspect-port=9300 app.js", "", "node --inspect-port=9300 --inspect-port=9302 app.js", ""},
		"any free port":              {"node --inspect=0 app.js", "", "node --inspect=0 app.js", ""},
		"none":                       {"node app.js --inspect", "", "node app.js --inspect", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for instance, want := range map[int][2]string{0: {c.args, c.options}, 2: {c.wantArgs, c.wantOptions}} {
				s := Start{Args: strings.Fields(c.args)}
				options := s.moveInspector(Command{Kind: KindNode}, c.options, instance)
				if !slices.Equal(s.Args, strings.Fields(want[0])) || options != want[1] {
					t.Errorf("worker %d: %q with NODE_OPTIONS=%q", instance+1, s.Args, options)
				}
			}
		})
	}
}
