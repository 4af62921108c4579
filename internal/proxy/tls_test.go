package proxy

import (
	"net/http"
	"strings"
	"testing"
)

func TestAListenerInTheClearSendsClientsToTLSButAnswersChallenges(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(http.ResponseWriter, *http.Request) { t.Error("the worker was asked") }))
	l := NewListener(Route{Service: "app", Port: "80", Pool: h.pool, Settings: settings(), Redirect: "8443"})
	l.Challenge = func(host, path string) (string, bool) {
		return "token.thumb", path == "/.well-known/acme-challenge/token"
	}
	h.server.SetTable(Table{"app:80": l})
	for path, want := range map[string]string{
		"/a/%2e?b=c":                        "HTTP/1.1 308 Permanent Redirect",
		"/.well-known/acme-challenge/token": "HTTP/1.1 200 OK",
		"/.well-known/acme-challenge/other": "HTTP/1.1 308 Permanent Redirect",
	} {
		answer, err := h.say("GET " + path + " HTTP/1.1\r\nHost: Example.com:8080\r\n\r\n")
		if err != nil || !strings.HasPrefix(answer, want+"\r\n") {
			t.Fatalf("%s: %q %v", path, answer, err)
		}
		if moved := strings.Contains(answer, "Location: https://example.com:8443"+path+"\r\n"); moved != strings.Contains(want, "308") {
			t.Fatalf("%s: %q", path, answer)
		}
		if strings.Contains(want, "200") && !strings.HasSuffix(answer, "\r\n\r\ntoken.thumb") {
			t.Fatalf("%q", answer)
		}
	}
}
