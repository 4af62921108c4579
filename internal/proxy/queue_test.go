package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bulsa/internal/balance"
)

// oneAtATime is a worker that answers when it is told, with what it was asked.
func oneAtATime(t *testing.T, answer chan struct{}) *balance.Endpoint {
	t.Helper()
	served := app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		<-answer
		fmt.Fprint(w, r.URL.Path)
	})
	c := served.Config()
	c.MaxConns = 1
	return balance.NewEndpoint(c)
}

func TestRequestsWaitInOrderWhileEveryWorkerIsFull(t *testing.T) {
	answer := make(chan struct{})
	s := settings()
	s.Queue, s.QueueTimeout = 3, 10*time.Second
	worker := oneAtATime(t, answer)
	h := open(t, s, worker)
	var mu sync.Mutex
	var order []string
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			status, body := h.get(fmt.Sprintf("/%d", i))
			mu.Lock()
			defer mu.Unlock()
			order = append(order, fmt.Sprint(status, " ", body))
		})
		eventually(t, "it is there", func() bool {
			st := h.stats()
			return worker.InFlight() == 1 && st.InFlight == int64(i+1) && st.Queued == int64(i)
		})
	}
	resp, err := browser().Get(h.url("/5"))
	if err != nil {
		t.Fatal(err)
	}
	if body := all(t, resp); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "3 wait already") {
		t.Errorf("beyond the queue: %d %s", resp.StatusCode, body)
	}
	for i := range 4 {
		answer <- struct{}{}
		eventually(t, "it is answered", func() bool { mu.Lock(); defer mu.Unlock(); return len(order) == i+1 })
	}
	clients.Wait()
	if got := strings.Join(order, ", "); got != "200 /0, 200 /1, 200 /2, 200 /3" {
		t.Errorf("answered %s", got)
	}
	if st := h.stats(); st.QueueFull != 1 || st.Queued != 0 {
		t.Errorf("counted %d refused, %d in line", st.QueueFull, st.Queued)
	}
}

func TestWhoWaitsTooLongIsTold(t *testing.T) {
	answer := make(chan struct{})
	s := settings()
	s.Hold, s.Queue, s.QueueTimeout = 0, 10, 30*time.Millisecond
	worker := oneAtATime(t, answer)
	h := open(t, s, worker)
	var first sync.WaitGroup
	first.Go(func() {
		resp, err := browser().Get(h.url("/first"))
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
	})
	eventually(t, "the worker is full", func() bool { return worker.InFlight() == 1 })
	if status, body := h.get("/second"); status != 503 || !strings.Contains(body, "all workers are busy") {
		t.Errorf("%d %s", status, body)
	}
	close(answer)
	first.Wait()
}

// Whoever leaves the line does not take the wake-up of the next one along.
func TestManyPassThroughANarrowDoor(t *testing.T) {
	var most, now int
	var mu sync.Mutex
	ep := app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" { // what nobody waits for any more may still be under way
			return
		}
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
	})
	c := ep.Config()
	c.MaxConns = 2
	h := open(t, settings(), balance.NewEndpoint(c))
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if i%5 == 0 { // gives up
				conn := h.dial()
				fmt.Fprint(conn, "GET /gone HTTP/1.1\r\nHost: x\r\n\r\n")
				_ = conn.Close()
				return
			}
			if status, body := h.get("/"); status != 200 {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	all.Wait()
	if most > 2 {
		t.Errorf("%d at a time, want at most 2", most)
	}
}
