package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

// attackers is how many connections an attack holds.
const attackers = "1000"

// TestSlowClientsDoNotHarmOthers: slowhttptest's three attacks, each with 1,000
// connections. An ordinary client loses nothing meanwhile, and its p99 at most
// doubles.
func TestSoakSlowClientsDoNotHarmOthers(t *testing.T) {
	if _, err := exec.LookPath("slowhttptest"); err != nil {
		t.Skip("slowhttptest is not installed: run scripts/test-deps.sh")
	}
	large := pattern(1 << 20)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			w.Write(large)
			return
		}
		fmt.Fprint(w, "hello")
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	for name, attack := range map[string][]string{
		"slow heads":   {"-H", "-i", "2", "-u", "/"},
		"slow bodies":  {"-B", "-i", "2", "-s", "8192", "-t", "POST", "-u", "/"},
		"slow readers": {"-X", "-w", "10", "-y", "20", "-n", "2", "-z", "32", "-k", "3", "-u", "/large"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			port := freePort(t)
			w.up(fmt.Sprintf("name: app\nservices:\n  app:\n    ports: [\"127.0.0.1:%s:80\"]\n    x-bulsa: {engine: external, servers: [%q]}\n", port, l.Addr())).says("ready after")
			address := "127.0.0.1:" + port
			holds(t, address, attack)
		})
	}
}

// holds compares the p99 before and under an attack, some times: what shares the
// machine disturbs one comparison, but not all of them.
func holds(t *testing.T, address string, attack []string) {
	t.Helper()
	const times, tolerable = 3, 5 * time.Millisecond
	for i := range times {
		before := p99(t, address)
		end := attacked(t, address, attack)
		under := p99(t, address)
		end()
		t.Logf("p99 %s before and %s under the attack", before, under)
		if under <= 2*max(before, tolerable) {
			return
		}
		if i == times-1 {
			t.Errorf("p99 grows from %s to %s", before, under)
		}
	}
}

// attacked starts the attack and returns when all its connections are there.
func attacked(t *testing.T, address string, attack []string) (end func()) {
	t.Helper()
	args := slices.Clone(attack)
	i := slices.Index(args, "-u") + 1
	args[i] = "http://" + address + args[i]
	cmd := exec.Command("slowhttptest", append(args, "-c", attackers, "-r", attackers, "-l", "60", "-p", "3")...)
	var out transcript
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	stop := func() {
		cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(stop)
	eventually(t, attackers+" attackers are connected", func() bool {
		select {
		case <-ended:
			t.Fatalf("slowhttptest ended:\n%s", tail(out.String()))
		default:
		}
		return established(t, address) >= 900 // some may have been cut off already
	})
	return stop
}

// established counts the connections to a port of 127.0.0.1 in proc_net(5).
func established(t *testing.T, address string) int {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	b, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	return len(regexp.MustCompile(fmt.Sprintf(`(?m)^ *\d+: 0100007F:%04X [0-9A-F:]+ 01 `, number)).FindAll(b, -1))
}

// p99 is that of an ordinary client's requests, one after another.
func p99(t *testing.T, address string) time.Duration {
	t.Helper()
	c := dial(t, address)
	defer c.conn.Close()
	took := make([]time.Duration, 500)
	for i := range took {
		began := time.Now()
		c.ask("GET", "/")
		if res, body := c.answer("GET"); res.StatusCode != http.StatusOK || body != "hello" {
			t.Fatalf("%s %q", res.Status, body)
		}
		took[i] = time.Since(began)
		time.Sleep(time.Millisecond)
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}
