package compose

import (
	"reflect"
	"testing"

	"bulsa/internal/spec"
)

func TestServicesJoinThePoolOfAnotherOne(t *testing.T) {
	p := mustLoad(t, Options{Files: []string{"testdata/pool/compose.yaml"}, Dir: here(t), CPUs: 4})
	main := func(target int) []spec.Port {
		return []spec.Port{{Published: 8080, Target: target}, {Published: 8081, Target: target}}
	}
	for name, want := range map[string][]spec.Port{
		"container": main(80), // expose
		"another":   main(3000),
		"old":       main(3000),
		"script":    main(5000),
	} {
		s := service(t, p, name)
		if s.Owner() != "web" || !reflect.DeepEqual(s.Ports, want) {
			t.Errorf("%s joins %s with %v, want %v", name, s.Owner(), s.Ports, want)
		}
		if s.Balance.Policy != spec.RoundRobin || s.Balance.Sticky != "side" {
			t.Errorf("%s balances by %+v; a pool has one policy", name, s.Balance)
		}
	}
	heavy := service(t, p, "container")
	light := heavy
	light.Balance.Weight = 1
	if heavy.Balance.Weight != 3 || heavy.Digest() != light.Digest() {
		t.Errorf("weight %d; another weight must replace no worker", heavy.Balance.Weight)
	}
}
