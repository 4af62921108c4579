package compose

import (
	"slices"
	"strings"
	"testing"

	"bulsa/internal/spec"
)

func TestPackagesWhosePrimaryBulsaIsAreChosen(t *testing.T) {
	for given, want := range map[string][]string{
		"auto": nil, "off": {spec.RelayOff}, "false": {spec.RelayOff}, "[log4js, socket.io-cluster]": {"log4js", "socket.io-cluster"},
	} {
		p, _, err := written(t, "services:\n  app:\n    command: run\n    x-bulsa: {relay: "+given+"}\n")
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		if got := service(t, p, "app").Relay; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
		text, err := Render(p, "yaml")
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := written(t, string(text))
		if err != nil || !slices.Equal(service(t, again, "app").Relay, want) {
			t.Errorf("%s, written and read again: %v", given, err)
		}
	}
	for _, given := range []string{"[winston]", "log4js", "7", "{log4js: true}"} {
		_, _, err := written(t, "services:\n  app:\n    command: run\n    x-bulsa: {relay: "+given+"}\n")
		if err == nil || !strings.Contains(err.Error(), "compose.yaml:4") || !strings.Contains(err.Error(), strings.Join(spec.Relays(), ", ")) {
			t.Errorf("%s: %v", given, err)
		}
	}
}
