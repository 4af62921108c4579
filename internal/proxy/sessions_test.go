package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestEngineIOsRequestsAreRecognised(t *testing.T) {
	for target, want := range map[string]string{
		"/socket.io/?EIO=4&transport=polling&t=abc": " true", "/socket.io/?EIO=4&transport=polling&sid=lv_VI97HAXpY6yYWAAAC": "lv_VI97HAXpY6yYWAAAC true",
		"/any/path?sid=a&EIO=3": "a true", "/?sid=a": " false", "/?XEIO=4&sid=a": "a false", "/EIO=4": " false", "/": " false",
		"/?EIO=4&sid=" + strings.Repeat("x", longestID+1): " true",
	} {
		if id, engine := engineQuery([]byte(target)); fmt.Sprintf("%s %v", id, engine) != want {
			t.Errorf("%s: %s %v, want %s", target, id, engine, want)
		}
	}
	for body, want := range map[string]string{
		`0{"sid":"abc","upgrades":["websocket"]}`: "abc", `97:0{"sid":"abc"}`: "abc", "61\r\n" + `0{"sid":"abc","x":1}`: "abc",
		`0{"sid":"ab`: "", `{"sid":""}`: "", "ok": "", `"sid":"` + strings.Repeat("x", longestID+1) + `"`: "",
	} {
		if got := string(issuedSession([]byte(body))); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestSessionsAreForgottenWhenTheyAreNotUsed(t *testing.T) {
	now := time.Unix(0, 0)
	var s sessions
	s.learn([]byte("used"), "w", now)
	s.learn([]byte("unused"), "w", now)
	for range 3 {
		now = now.Add(sessionPause)
		s.learn([]byte("another"), "w", now)
		if s.worker([]byte("used"), now) != "w" {
			t.Fatal("one that is used was forgotten")
		}
	}
	if s.worker([]byte("unused"), now) != "" {
		t.Error("one that was not used is remembered")
	}
	for i := range 3 * mostSessions {
		s.learn(fmt.Appendf(nil, "%d", i), "w", now)
	}
	if n := len(s.recent) + len(s.older); n > 2*mostSessions {
		t.Errorf("%d are remembered", n)
	}
}

// A session stays with the worker that has issued its id, by HTTP/1.1, TLS and HTTP/2,
// also where that gives its answer in pieces.
func TestASessionOfEngineIOStaysWithItsWorker(t *testing.T) {
	issuing := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if id := r.URL.Query().Get("sid"); id != "" {
				if !strings.HasPrefix(id, name+"-") {
					w.WriteHeader(http.StatusBadRequest)
				}
				return
			}
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			fmt.Fprintf(w, `0{"sid":"%s-%d","upgrades":[]}`, name, time.Now().UnixNano())
		}
	}
	s := settings()
	s.Sessions = true
	h := open(t, s, app(t, "app.1", issuing("app.1")), app(t, "app.2", issuing("app.2")), app(t, "app.3", issuing("app.3")))
	const path = "/socket.io/?EIO=4&transport=polling"
	for range 6 {
		_, answer := h.get(path)
		id := issuedSession([]byte(answer))
		for range 4 {
			if status, _ := h.get(path + "&sid=" + string(id)); status != 200 {
				t.Fatalf("session %s: %d", id, status)
			}
		}
	}
	if n := h.stats().LostSessions; n != 0 {
		t.Errorf("%d sessions were lost", n)
	}
	if status, _ := h.get(path + "&sid=nobody-1"); status != 400 || h.stats().LostSessions != 1 {
		t.Errorf("a session that nobody has issued: %d, %d counted", status, h.stats().LostSessions)
	}
}
