package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakFor is how long the soak lasts: usual in the test command, $BULSA_E2E_SOAK
// where somebody has more time.
func soakFor(usual time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv("BULSA_E2E_SOAK")); err == nil {
		return d
	}
	return usual
}

// footprint is what a process holds.
type footprint struct{ descriptors, threads, kilobytes int }

func (s *server) footprint() footprint {
	s.w.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	descriptors, err := os.ReadDir(proc + "fd")
	if err != nil {
		s.w.t.Fatal(err)
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		s.w.t.Fatal(err)
	}
	f := footprint{descriptors: len(descriptors)}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "Threads":
			f.threads = n
		case "VmRSS":
			f.kilobytes = n
		}
	}
	return f
}

// visit is one client from its arrival to its departure. An error is a loss.
type visit func(address string) error

// errCut is an answer that broke off after it had begun, which a kill may do.
var errCut = errors.New("broken off")

func visitor(address string) (net.Conn, *bufio.Reader, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	return conn, bufio.NewReader(conn), nil
}

// exchanges sends a request some times over one connection.
func exchanges(times int, request, want string) visit {
	return func(address string) error {
		conn, in, err := visitor(address)
		if err != nil {
			return err
		}
		defer conn.Close()
		for range times {
			if _, err := io.WriteString(conn, request); err != nil {
				return err
			}
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				return err
			}
			body, err := io.ReadAll(res.Body)
			switch {
			case err != nil:
				return fmt.Errorf("%w: %w", errCut, err)
			case res.StatusCode != http.StatusOK || want != "" && string(body) != want:
				return fmt.Errorf("%s: %.100q", res.Status, body)
			}
		}
		return nil
	}
}

// drips sends a request byte by byte.
func drips(address string) error {
	conn, in, err := visitor(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, b := range []byte("PUT /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nslow!") {
		if _, err := conn.Write([]byte{b}); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	if string(body) != "slow!" {
		return fmt.Errorf("%s: %q", res.Status, body)
	}
	return nil
}

// leaves asks and goes away in the middle of it all.
func leaves(address string) error {
	conn, in, err := visitor(address)
	if err != nil {
		return err
	}
	request := []string{
		"GET /never HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nnot all of it",
		"GET / HTTP/1.1\r\nHos",
	}[rand.IntN(4)]
	io.WriteString(conn, request)
	if rand.IntN(2) == 0 {
		conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		in.Peek(1)
	}
	if rand.IntN(2) == 0 {
		conn.(*net.TCPConn).SetLinger(0) // a reset
	}
	return conn.Close()
}

// listens hears some events.
func listens(address string) error {
	conn, in, err := visitor(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	io.WriteString(conn, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	events := bufio.NewReader(res.Body)
	for range 10 {
		if line, err := events.ReadString('\n'); err != nil || line != "data: tick\n" && line != "\n" {
			return fmt.Errorf("%w: %q %v", errCut, line, err)
		}
	}
	return nil
}

// upgrades sends something through another protocol and gets it back.
func upgrades(address string) error {
	conn, in, err := visitor(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return errors.New(res.Status)
	}
	message, back := bytes.Repeat([]byte("m"), 50000), make([]byte, 50000)
	go conn.Write(message)
	if _, err := io.ReadFull(in, back); err != nil || !bytes.Equal(message, back) {
		return fmt.Errorf("%w: %v", errCut, err)
	}
	return nil
}

// TestNothingGrowsUnderMixedTrafficWithKills: requests that may be lost are none;
// and when the clients have gone, so is all that bulsa held for them.
func TestNothingGrowsUnderMixedTrafficWithKills(t *testing.T) {
	w, s, address := service(t, "mixed.js", "    deploy: {replicas: 4}", `    x-bulsa: {restart: {budget: 1000}}`)
	visits := map[string]visit{
		"GET":     exchanges(20, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "hello"),
		"large":   exchanges(5, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", ""),
		"PUT":     exchanges(10, "PUT /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", "body"),
		"POST":    exchanges(10, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "body"),
		"slow":    drips,
		"leaving": leaves,
		"events":  listens,
		"upgrade": upgrades,
	}
	mayBeLost := map[string]bool{"POST": true, "upgrade": true, "leaving": true}
	round := func(d time.Duration) (done, cut, lost int64) {
		var all, broken, failed atomic.Int64
		stop := time.Now().Add(d)
		var clients sync.WaitGroup
		for name, visit := range visits {
			for range 4 {
				clients.Go(func() {
					for time.Now().Before(stop) {
						err := visit(address)
						switch all.Add(1); {
						case err == nil:
						case errors.Is(err, errCut):
							broken.Add(1)
						case mayBeLost[name]:
							failed.Add(1)
						default:
							t.Errorf("%s: %v", name, err)
						}
						time.Sleep(rand.N(10 * time.Millisecond))
					}
				})
			}
		}
		for time.Now().Before(stop) {
			killRandomWorkers(t, w, 1)
			time.Sleep(rand.N(300 * time.Millisecond))
		}
		clients.Wait()
		return all.Load(), broken.Load(), failed.Load()
	}
	quiet := func() footprint {
		eventually(t, "nothing is in flight, and all workers are ready", func() bool {
			return w.inFlight() == 0 && w.states("") == "app.1 ready, app.2 ready, app.3 ready, app.4 ready"
		})
		settled := time.Now().Add(6 * time.Second) // idle connections are closed after 4 s
		eventually(t, "idle connections are closed", func() bool { return time.Now().After(settled) })
		return s.footprint()
	}
	round(3 * time.Second) // fills caches: what is held from now on is to stay
	before := quiet()
	done, cut, lost := round(soakFor(10 * time.Second))
	after := quiet()
	restarts := 0
	for _, r := range w.ps("") {
		restarts += r.Restarts
	}
	t.Logf("%d visits, %d cut, %d lost that may be, %d restarts; before %+v, after %+v", done, cut, lost, restarts, before, after)
	if after.descriptors > before.descriptors+2 {
		t.Errorf("%d descriptors are open, %d before", after.descriptors, before.descriptors)
	}
	// The race detector's own memory comes on top of what bulsa holds.
	if after.kilobytes > 2*before.kilobytes {
		t.Errorf("%d kB are resident, %d before", after.kilobytes, before.kilobytes)
	}
}
