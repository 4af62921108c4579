// Command lossload asks one URL over keep-alive connections and counts what is
// lost. It never retries. Most load tools reconnect and ask again without a word.
//
// It is as careful as a good HTTP client can be: before it sends on an idle
// connection it looks whether the server has closed it, and then opens another.
// Whatever ends without a whole 200 after that is lost.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Counts is what lossload prints, as JSON.
type Counts struct {
	Answered int            `json:"answered"` // whole answers with status 200
	Lost     int            `json:"lost"`
	Reopened int            `json:"reopened"` // connections that the server closed while they were idle
	Reasons  map[string]int `json:"reasons"`  // of what is lost
	Slowest  float64        `json:"slowest_seconds"`
}

const patience = 10 * time.Second // for one request

func main() {
	address := flag.String("address", "127.0.0.1:3000", "HOST:PORT to ask")
	clients := flag.Int("clients", 64, "connections")
	pause := flag.Duration("pause", 100*time.Millisecond, "between an answer and the next request of a connection")
	span := flag.Duration("for", 0, "how long; 0: until SIGINT")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *span > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *span)
		defer cancel()
	}
	all := counter{Counts: Counts{Reasons: map[string]int{}}}
	var running sync.WaitGroup
	for i := range *clients {
		c := client{address: *address, pause: *pause, count: &all}
		first := time.Duration(i) * *pause / time.Duration(*clients) // spread evenly
		running.Go(func() { c.run(ctx, first) })
	}
	running.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(all.Counts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// counter is Counts for several goroutines.
type counter struct {
	mu sync.Mutex
	Counts
}

func (c *counter) answered(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Answered++
	c.Slowest = max(c.Slowest, took.Seconds())
}

func (c *counter) lost(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Lost++
	c.Reasons[reason]++
}

func (c *counter) reopened() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Reopened++
}

// client asks over one connection at a time.
type client struct {
	address string
	pause   time.Duration
	count   *counter
	conn    *net.TCPConn
	in      *bufio.Reader
}

// run ends between two requests, so that none is lost by the end.
func (c *client) run(ctx context.Context, first time.Duration) {
	defer c.close()
	for wait(ctx, first); ctx.Err() == nil; wait(ctx, c.pause) {
		if c.conn != nil && closed(c.conn) {
			c.count.reopened()
			c.close()
		}
		if c.conn == nil && !c.open() {
			continue
		}
		if !c.ask() {
			c.close()
		}
	}
}

func (c *client) open() bool {
	conn, err := net.DialTimeout("tcp", c.address, patience)
	if err != nil {
		c.count.lost("no connection")
		return false
	}
	c.conn, c.in = conn.(*net.TCPConn), bufio.NewReader(conn)
	return true
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// ask reports whether the connection may be used again.
func (c *client) ask() bool {
	began := time.Now()
	_ = c.conn.SetDeadline(began.Add(patience))
	if _, err := fmt.Fprintf(c.conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", c.address); err != nil {
		c.count.lost("connection broken while asking")
		return false
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.count.lost("no answer")
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	switch {
	case err != nil:
		c.count.lost("half an answer")
		return false
	case res.StatusCode != http.StatusOK:
		c.count.lost(res.Status)
	default:
		c.count.answered(time.Since(began))
	}
	return !res.Close
}

// closed looks, without waiting, whether the server has ended an idle connection.
func closed(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		ended = n == 0 && err == nil || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
	})
	return ended || err != nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
