package supervisor

import (
	"fmt"

	"bulsa/internal/spec"
)

// Scale is how many workers a service shall have, or with Relative how many more.
type Scale struct {
	Service  string
	Number   int
	Relative bool
}

// Scale sets the numbers of workers of services: all of them, or none when one of them
// cannot be set. It returns a line for each.
func (s *Supervisor) Scale(wanted []Scale) ([]string, error) {
	services := make([]*service, len(wanted))
	for i, w := range wanted {
		sv, err := s.find(w.Service)
		if err != nil {
			return nil, err
		}
		st := sv.status.Load()
		if st.Engine == spec.EngineExternal {
			return nil, fmt.Errorf("%s is a list of external servers: change its servers in the file instead of scaling it", w.Service)
		}
		if n := w.of(st.Desired); n < 0 || n > spec.MaxReplicas {
			return nil, fmt.Errorf("%s is wanted %d times and cannot be %d times: the number of workers is from 0 to %d", w.Service, st.Desired, n, spec.MaxReplicas)
		}
		services[i] = sv
	}
	lines := make([]string, len(wanted))
	for i, sv := range services {
		sv.ask(func(x *service) {
			before := x.status.Load().Desired
			n := min(max(wanted[i].of(before), 0), spec.MaxReplicas) // somebody else may have scaled it meanwhile
			x.resize(n)
			x.emit("", "scale", fmt.Sprintf("scaled from %d to %d", before, n), "asked")
			lines[i] = fmt.Sprintf("%s: scaled from %d to %d", x.name, before, n)
		})
	}
	return lines, nil
}

// of is the number that is wanted of a service which has some workers.
func (w Scale) of(now int) int {
	if w.Relative {
		return now + w.Number
	}
	return w.Number
}
