package docker

import (
	"fmt"

	"github.com/moby/moby/client/pkg/versions"

	"bulsa/internal/spec"
)

// tooNew says what of a container an engine of this version of the API does not know:
// it would drop it without a word.
func tooNew(c spec.Container, api string) []string {
	var out []string
	for _, need := range needs(c) {
		if need.given && versions.LessThan(api, need.api) {
			out = append(out, fmt.Sprintf("%s has no effect: this Docker is older than %s", need.key, need.docker))
		}
	}
	return out
}

// need is a key, and the first version that knows it: of the API and of Docker
// (https://docs.docker.com/reference/api/engine/version-history).
type need struct {
	key, api, docker string
	given            bool
}

func needs(c spec.Container) []need {
	list := []need{{"annotations", "1.43", "24", len(c.Annotations) > 0}, {"mac_address", "1.44", "25", c.Network.MAC != ""}}
	for _, n := range c.Network.Networks {
		list = append(list,
			need{"networks." + n.Key + ".mac_address", "1.44", "25", n.Endpoint.MAC != ""},
			need{"networks." + n.Key + ".gw_priority", "1.48", "28", n.Endpoint.Gateway != 0},
			need{"networks." + n.Key + ".interface_name", "1.49", "28.1", n.Endpoint.Interface != ""},
			need{"networks." + n.Key + ".enable_ipv4", "1.48", "28", n.NoIPv4 && !n.External},
		)
	}
	for _, m := range c.Mounts {
		list = append(list,
			need{"bind.recursive of " + m.Target, "1.44", "25", m.Nested != "" && m.Nested != "disabled"},
			need{"volume.subpath of " + m.Target, "1.45", "26", m.Type == "volume" && m.Subpath != ""},
			need{"image.subpath of " + m.Target, "1.48", "28", m.Type == "image" && m.Subpath != ""},
		)
	}
	return list
}
