package process

import (
	"fmt"
	"testing"

	"bulsa/internal/spec"
)

func TestTwoPortsHaveTwoTargets(t *testing.T) {
	for name, c := range map[string]struct {
		ports   []spec.Port
		further string
		told    int
	}{
		"one":                         {[]spec.Port{{Published: 80, Target: 3000}}, "[]", 3000},
		"one without a target":        {[]spec.Port{{Published: 80}}, "[]", 80},
		"one target twice":            {[]spec.Port{{Published: 80, Target: 3000}, {Published: 81, Target: 3000}, {Published: 82}}, "[]", 3000},
		"two":                         {[]spec.Port{{Published: 80, Target: 3000}, {Published: 81, Target: 9000}, {Published: 82, Target: 9000}}, "[9000]", 3000},
		"the inspector's and the app": {[]spec.Port{{Published: 29229, Target: 9229}, {Published: 80, Target: 3000}}, "[3000]", 3000},
		"the inspector's alone":       {[]spec.Port{{Published: 29229, Target: 9229}}, "[]", 9229},
	} {
		if got, told := fmt.Sprint(further(c.ports)), toldPort(c.ports); got != c.further || told != c.told {
			t.Errorf("%s: further %s, told %d; want %s and %d", name, got, told, c.further, c.told)
		}
	}
}
