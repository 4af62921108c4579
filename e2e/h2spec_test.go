package e2e

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// h2spec is the conformance suite for HTTP/2 of github.com/summerwind/h2spec.
const h2spec = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"

// TestHTTP2IsSpokenAsTheRFCSays runs h2spec, strictly. Without TLS one of its tests
// cannot pass: what does not begin with HTTP/2's preface is taken for HTTP/1.1 on
// a port that speaks both, and its client reads the answer of 400 as frames.
func TestHTTP2IsSpokenAsTheRFCSays(t *testing.T) {
	t.Parallel()
	w, a, u := newWorld(t), newAuthority(t), newUpstream(t, "an answer that is long enough for windows to matter")
	a.files(w, "a", "localhost")
	_, secure, _ := encrypted(t, w, `certificates: [{cert: a.pem, key: a.key}]`, u, "  clear:\n    ports: [\"127.0.0.1:"+freePort(t)+":80\"]\n    x-bulsa: {servers: [\""+u.address+"\"]}")
	for _, c := range []struct {
		name, port string
		flags      []string
		fails      []string
	}{
		{"TLS", secure, []string{"-t", "-k"}, nil},
		{"h2c", clearPort(w), nil, []string{"Sends invalid connection preface"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			report := filepath.Join(t.TempDir(), "report.xml")
			cmd := exec.Command("go", append([]string{"run", h2spec, "-S", "-h", "127.0.0.1", "-p", c.port, "-o", "5", "-j", report}, c.flags...)...)
			cmd.Dir = os.TempDir() // not in this module
			out, _ := cmd.CombinedOutput()
			passed, failed := verdict(t, report)
			if !slices.Equal(failed, c.fails) || passed < 140 {
				t.Errorf("%d passed, failed %q\n%s", passed, failed, out)
			}
			t.Logf("%d of %d passed", passed, passed+len(failed))
		})
	}
}

// clearPort is the published port of the service clear.
func clearPort(w *world) string {
	for _, r := range w.ps("") {
		if r.Service == "clear" {
			address, _, _ := strings.Cut(r.Ports[0], "->")
			return address[strings.LastIndexByte(address, ':')+1:]
		}
	}
	return ""
}

// verdict reads h2spec's report in JUnit's form.
func verdict(t *testing.T, report string) (passed int, failed []string) {
	t.Helper()
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Suites []struct {
			Cases []struct {
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, s := range all.Suites {
		for _, c := range s.Cases {
			if c.Failure != nil || c.Error != nil {
				failed = append(failed, c.Name)
			} else {
				passed++
			}
		}
	}
	return passed, failed
}
