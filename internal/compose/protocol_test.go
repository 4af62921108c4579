package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bulsa/internal/spec"
)

// written loads a file of this content.
func written(t *testing.T, content string) (spec.Project, []spec.Warning, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(t.Context(), Options{Dir: dir, CPUs: 4})
}

func TestAPortsProtocolIsItsOwnOrTheServices(t *testing.T) {
	p, _, err := written(t, `services:
  app:
    command: run
    ports:
      - "8000:80"
      - "15432:5432"
      - {target: 9000, published: "9000", app_protocol: http}
      - {target: 9001, published: "9001", app_protocol: redis}
      - "9002:9002"
      - "9003:9002"
    x-bulsa: {protocol: {"9002": tcp, "9003": http}, send_proxy: v2}
  all:
    command: run
    ports: ["7000:70", "7001:71"]
    x-bulsa: {protocol: tcp}
  found:
    command: run
    ports: ["6000:80", "6001:5432", "25"]
  requests:
    command: run
    ports: ["5000:6379"]
    x-bulsa: {access_log: {}}
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"app": "auto tcp http tcp tcp http", "all": "tcp tcp", "found": "auto tcp tcp", "requests": "http",
	} {
		s := service(t, p, name)
		var got []string
		for i := range s.Ports {
			if speaks := s.Speaks(i); speaks != spec.ProtocolAuto {
				got = append(got, string(speaks))
			} else {
				got = append(got, "auto")
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(strings.Fields(want)) {
			t.Errorf("%s speaks %v, want %s", name, got, want)
		}
	}
	old := service(t, p, "all")
	other := old
	other.Ports = []spec.Port{{Published: 7000, Target: 70}, {Published: 7001, Target: 71}}
	if old.Digest() != other.Digest() {
		t.Error("another protocol must replace no worker")
	}
	if app := service(t, p, "app"); app.Forward.SendProxy != spec.SendProxy2 {
		t.Errorf("send_proxy is %q", app.Forward.SendProxy)
	}
}

func TestWrongProtocolsAreRefused(t *testing.T) {
	for given, want := range map[string]string{
		`{protocol: udp}`:                       `"udp" is not a protocol`,
		`{protocol: {"81": tcp}}`:               `unknown key "81"`,
		`{protocol: tcp, routes: [{path: /a}]}`: "routes go by requests",
		`{protocol: tcp, upstream: h2c}`:        "upstream h2c is for requests",
		`{send_proxy: v3}`:                      `"v3"`,
		`{protocol: {"80": [tcp]}}`:             "has the wrong type",
	} {
		_, _, err := written(t, "services:\n  app:\n    command: run\n    ports: [\"8000:80\"]\n    x-bulsa: "+given+"\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", given, err, want)
		}
	}
}

// Datagrams are Docker's to publish: bulsa balances none.
func TestPortsOfUDPAreDockers(t *testing.T) {
	p, warnings, err := written(t, "services:\n  dns:\n    image: dns\n    ports: [\"5300:53/udp\", \"5300:53\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	s := service(t, p, "dns")
	if len(s.Ports) != 1 || len(s.Container.HostPorts) != 1 || s.Container.HostPorts[0] != (spec.HostPort{Published: 5300, Target: 53, Protocol: "udp"}) {
		t.Errorf("bulsa publishes %v, Docker %v", s.Ports, s.Container.HostPorts)
	}
	if text := fmt.Sprint(warnings); !strings.Contains(text, "53/udp is published by Docker") {
		t.Errorf("nobody is told: %s", text)
	}
}
