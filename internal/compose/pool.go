package compose

import (
	"fmt"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// joins reads what a service that joins another one's pool says of its own port,
// and refuses what only the owner of the pool can say.
func joins(path string, value any, from types.ServiceConfig, s *spec.Service) error {
	if len(s.Servers) > 0 && hasKey(value, "weight") {
		return &spec.Problem{Where: path + ".weight", What: "weight of service " + s.Name + " has no effect: each of its servers has one of its own", Fix: "write weight beside the addresses"}
	}
	if s.Pool == "" {
		return nil
	}
	if len(s.Ports) > 0 {
		return &spec.Problem{
			Where: "services." + s.Name + ".ports",
			What:  fmt.Sprintf("service %s publishes ports of its own and joins the pool of %s", s.Name, s.Pool),
			Fix:   "remove ports (expose says where its application listens), or pool",
		}
	}
	for _, key := range spec.PoolKeys() {
		if hasKey(value, key) {
			return poolsKey(path+"."+key, key, s)
		}
	}
	times, _ := value.(map[string]any)["timeouts"].(map[string]any)
	for _, key := range []string{"header", "idle", "connect", "answer", "write", "retry"} {
		if times[key] != nil {
			return poolsKey(path+".timeouts."+key, "timeouts."+key, s)
		}
	}
	target := 0
	if len(from.Expose) > 0 {
		n, err := strconv.ParseUint(from.Expose[0], 10, 16)
		if err != nil || n == 0 {
			return &spec.Problem{Where: "services." + s.Name + ".expose.0", What: fmt.Sprintf("%q is not a port", from.Expose[0]), Fix: "give one port from 1 to 65535"}
		}
		target = int(n)
	}
	s.Ports = []spec.Port{{Target: target}}
	return nil
}

func poolsKey(where, key string, s *spec.Service) error {
	return &spec.Problem{Where: where, What: fmt.Sprintf("%s of service %s has no effect: it is in the pool of %s", key, s.Name, s.Pool), Fix: "set it on " + s.Pool}
}
