package compose

import (
	"strconv"

	"bulsa/internal/spec"
)

// protocol is one for all ports that say nothing themselves (app_protocol), or a
// mapping from ports, published or targets, to theirs.
func protocol(s *spec.Service) setter {
	return func(path string, value any) error {
		if _, each := value.(map[string]any); !each {
			return text(func(t string) error {
				p, err := spec.ParseProtocol(t)
				for i := range s.Ports {
					if s.Ports[i].Protocol == spec.ProtocolAuto {
						s.Ports[i].Protocol = p
					}
				}
				return err
			})(path, value)
		}
		ports := keys{}
		for _, number := range []func(spec.Port) int{
			func(p spec.Port) int { return p.Target },
			func(p spec.Port) int { return p.Published }, // which counts first
		} {
			for _, p := range s.Ports {
				if n := number(p); n != 0 {
					ports[strconv.Itoa(n)] = key{set: protocolOf(s, func(o spec.Port) bool { return number(o) == n })}
				}
			}
		}
		return decode(path, value, ports)
	}
}

func protocolOf(s *spec.Service, is func(spec.Port) bool) setter {
	return text(func(t string) error {
		protocol, err := spec.ParseProtocol(t)
		for i, p := range s.Ports {
			if is(p) {
				s.Ports[i].Protocol = protocol
			}
		}
		return err
	})
}
