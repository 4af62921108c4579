package doctor

import (
	"strings"
	"testing"
)

func TestLostSessionsAreFound(t *testing.T) {
	for _, c := range []struct {
		lost Lost
		want string // in the remedy; "": nothing is found
	}{
		{Lost{}, ""}, {Lost{Requests: 2}, ""}, {Lost{Requests: 3}, "x-bulsa.sticky: auto"}, {Lost{Requests: 9, Led: true}, "bulsa events"},
	} {
		found := Examine(Project{Services: []Service{{Name: "app", Lost: c.lost}}})
		if c.want == "" {
			if len(found) > 0 {
				t.Errorf("%+v: found %+v", c.lost, found)
			}
			continue
		}
		if len(found) != 1 || found[0].Kind != "lost-sessions" || !strings.Contains(strings.Join(found[0].Remedy, "\n"), c.want) {
			t.Errorf("%+v: found %+v", c.lost, found)
		}
	}
}
