package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// idleClients is how many there are, or as many as this machine's limit of open files
// lets a test and a bulsa have.
func idleClients(t *testing.T) int {
	t.Helper()
	const wanted, others = 20000, 500
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	return min(wanted, int(files.Max)-others)
}

// idleClient asks once and keeps its connection.
func idleClient(n int, address string) (net.Conn, error) {
	from := &net.TCPAddr{IP: net.IPv4(127, 2, byte(n>>8), 1)} // one address has some 28,000 ports
	conn, err := (&net.Dialer{LocalAddr: from, Timeout: patience}).Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return conn, err
	}
	answer := make([]byte, 256)
	n, err = conn.Read(answer)
	if err == nil && string(answer[:min(n, 12)]) != "HTTP/1.1 200" {
		err = fmt.Errorf("answered %.40q", answer[:n])
	}
	return conn, err
}

// Twenty thousand clients that are connected and say nothing cost memory, and little of
// it; nobody else waits for them.
func TestManyIdleClientsAreCheap(t *testing.T) {
	clients := idleClients(t)
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	w.write("compose.yaml", fmt.Sprintf(`services:
  app:
    command: %s
    ports: ["%s:3000"]
    deploy: {replicas: 2}
    x-bulsa: {timeouts: {idle: 1h}}
`, build(t, filepath.Join("testdata", "portserver")), address))
	s := w.ready("up", "--admin", "off")
	before := s.footprint().kilobytes
	conns := make([]net.Conn, clients)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	const atOnce = 32
	var all sync.WaitGroup
	failed := make(chan error, atOnce)
	for first := range atOnce {
		all.Go(func() {
			for n := first; n < clients; n += atOnce {
				var err error
				if conns[n], err = idleClient(n, address); err != nil {
					failed <- fmt.Errorf("client %d: %w", n, err)
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	each := float64(s.footprint().kilobytes-before) / float64(clients)
	slowest := time.Duration(0)
	for range 100 {
		began := time.Now()
		if status, _ := get(t, "http://"+address+"/"); status != 200 {
			t.Fatalf("a new client got %d", status)
		}
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("%d idle clients: %.2f KiB each; the slowest of 100 new ones took %s", clients, each, slowest)
	if each > 4 {
		t.Errorf("an idle client takes %.2f KiB", each)
	}
	for n := 0; n < clients; n += 97 { // they are all still served
		if _, err := fmt.Fprint(conns[n], "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatalf("client %d: %v", n, err)
		}
		answer := make([]byte, 12)
		if _, err := conns[n].Read(answer); err != nil || string(answer) != "HTTP/1.1 200" {
			t.Fatalf("client %d got %q, %v", n, answer, err)
		}
	}
}
