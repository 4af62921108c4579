package ports

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bulsa/internal/spec"
)

func TestAnswersOfTwoServicesGoToTheirOneAccessLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	b := newBook(t)
	p := b.project
	p.Services = nil
	for _, name := range []string{"web", "api"} {
		sv := answering(t, name, spec.Port{Host: "127.0.0.1"})
		sv.AccessLog = spec.AccessLog{Format: "combined", File: file, Sample: 1}
		p.Services = append(p.Services, sv)
	}
	b.apply(p)
	for _, sv := range p.Services {
		resp, err := http.Get("http://" + b.List(sv.Name)[0] + "/of/" + sv.Name)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	b.Close() // writes what is left
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/of/web", "/of/api"} {
		if strings.Count(string(text), want) != 1 {
			t.Errorf("%s is not in the log once:\n%s", want, text)
		}
	}
	if lost := b.LostLines()[file]; lost != 0 {
		t.Errorf("%d lines were lost", lost)
	}
}

func TestAnAccessLogThatCannotBeOpenedIsNamedAndNothingIsPublished(t *testing.T) {
	b := newBook(t)
	p := b.project
	sv := answering(t, "web", spec.Port{Host: "127.0.0.1"})
	sv.AccessLog = spec.AccessLog{Format: "json", File: filepath.Join(t.TempDir(), "no", "such.log")}
	p.Services = []spec.Service{sv}
	p.Places = map[string]string{"services.web.x-bulsa.access_log.file": "compose.yaml:7"}
	_, err := b.Publish(p)
	if err == nil || !strings.Contains(err.Error(), "compose.yaml:7") || !strings.Contains(err.Error(), "access log") {
		t.Errorf("got %v", err)
	}
	if open := b.List("web"); len(open) != 0 {
		t.Errorf("%v is open", open)
	}
}
