package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	askEvery = 50 * time.Millisecond
	patience = 5 * time.Second // for one answer
	calm     = 5 * time.Second // without a bad answer: it is over
)

// outcome is what users saw after a container had turned sick.
type outcome struct {
	recovered  bool
	after      time.Duration // to the end of the last bad answer
	asked, bad int
}

func (x outcome) String() string {
	if !x.recovered {
		return fmt.Sprintf("not recovered, %d of %d answers bad", x.bad, x.asked)
	}
	return fmt.Sprintf("%.1f s, %d of %d answers bad", x.after.Seconds(), x.bad, x.asked)
}

// watch asks url again and again from the moment at which sicken returns, until
// all has been well for a while, or limit is over.
func watch(url string, limit time.Duration, sicken func() error) (outcome, error) {
	if err := sicken(); err != nil {
		return outcome{}, err
	}
	began := time.Now()
	var mu sync.Mutex
	var asking sync.WaitGroup
	var x outcome
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for range tick.C {
		asking.Go(func() {
			ok := good(client, url)
			mu.Lock()
			defer mu.Unlock()
			x.asked++
			if !ok {
				x.bad++
				x.after = time.Since(began)
			}
		})
		mu.Lock()
		quiet, over := time.Since(began)-x.after, time.Since(began) > limit
		mu.Unlock()
		if quiet > calm || over {
			break
		}
	}
	asking.Wait()
	x.recovered = time.Since(began)-x.after > calm
	return x, nil
}

func good(client *http.Client, url string) bool {
	answer, err := client.Get(url)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}
