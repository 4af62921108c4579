package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"bulsa/internal/proxy/accesslog"
)

func TestEveryAnswerIsInTheAccessLog(t *testing.T) {
	out := new(lines)
	file := accesslog.NewStream(out, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { file.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	s := settings()
	s.AccessLog, s.Hold = &accesslog.Log{File: file, Sample: 1}, 0
	h := open(t, s, endpoint("app.1", refuses{}), app(t, "app.2", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}))
	req, _ := http.NewRequest("GET", h.url("/found?x=1"), nil)
	req.Header.Set("User-Agent", `a "browser"`)
	req.Header.Set("Referer", "https://example.com/")
	for range 2 {
		resp, err := browser().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		all(t, resp)
	}
	_, _ = h.say("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	eventually(t, "three lines", func() bool { return strings.Count(out.String(), "\n") == 3 })
	for _, want := range []string{
		`"client":"127.0.0.1","method":"GET","target":"/found?x=1","protocol":"HTTP/1.1","host":"` + h.addr + `","status":200,"bytes":5,`,
		`"worker":"app.2","attempts":2,"referer":"https://example.com/","user_agent":"a \"browser\""}`,
		`"status":400,`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}
