package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The sizes of bodies. What is at most small can always be sent again.
const (
	small = 32 << 10
	large = 10 << 20
)

// porter is a number of clients that send and fetch bodies of all sizes, in both
// framings, and never try again.
type porter struct {
	address string
	ledger  ledger
	bodies  map[int][]byte
	sums    map[int]string
	stop    chan struct{}
	clients sync.WaitGroup

	mu     sync.Mutex
	whole  map[string]int      // answers that were right, by method
	broken int                 // answers to GET that broke off
	lost   map[string][]string // ids of the others, by method
	why    map[string]string   // by id
}

func startPorter(address string, l ledger, clients int) *porter {
	p := &porter{address: address, ledger: l, bodies: map[int][]byte{}, sums: map[int]string{}, stop: make(chan struct{}),
		whole: map[string]int{}, lost: map[string][]string{}, why: map[string]string{}}
	for _, n := range []int{13, small, 1 << 20, large} {
		p.bodies[n] = pattern(n)
		p.sums[n] = sum(p.bodies[n])
	}
	for i := range clients {
		p.clients.Go(func() { p.client(i) })
	}
	return p
}

func (p *porter) client(number int) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for i := 0; ; i++ {
		select {
		case <-p.stop:
			return
		default:
		}
		method := []string{"GET", "PUT", "POST"}[rand.IntN(3)]
		size := []int{13, 13, small, small, 1 << 20, large}[rand.IntN(6)]
		framing := []string{"length", "chunked"}[rand.IntN(2)]
		id := fmt.Sprintf("%s-%s-%d-%d-%d", method, framing, size, number, i)
		err, begun := p.carry(client, method, id, size, framing)
		p.note(method, id, err, begun)
		time.Sleep(rand.N(20 * time.Millisecond)) // workers have to boot beside it; long bodies are under way nearly always
	}
}

// carry sends one request. begun: its answer broke off after its head had come.
func (p *porter) carry(client *http.Client, method, id string, size int, framing string) (err error, begun bool) {
	var body io.Reader
	if method != "GET" {
		body = io.LimitReader(bytes.NewReader(p.bodies[size]), int64(size)) // of no known type: Go must not send it again
	}
	req, err := http.NewRequest(method, fmt.Sprintf("http://%s/?id=%s&bytes=%d&framing=%s", p.address, id, size, framing), body)
	if err != nil {
		return err, false
	}
	if method != "GET" && framing == "length" {
		req.ContentLength = int64(size)
	}
	if method == "GET" {
		req.Close = true // so that Go does not ask again where a used connection ends
	}
	res, err := client.Do(req)
	if err != nil {
		return err, false
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err, res.StatusCode == http.StatusOK
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %.200s", res.Status, answer), false
	case method == "GET" && sum(answer) != p.sums[size], method != "GET" && string(answer) != p.sums[size]:
		return fmt.Errorf("200 with %d wrong bytes", len(answer)), false
	}
	return nil, false
}

func (p *porter) note(method, id string, err error, begun bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.whole[method]++
	case begun && method == "GET":
		p.broken++
	default:
		p.lost[method] = append(p.lost[method], id)
		p.why[id] = err.Error()
	}
}

// spent says whether a request was lost because two workers were killed while they had
// it: it gets no third, since it might be what ends them.
func (p *porter) spent(id string) bool {
	return strings.Contains(p.why[id], "it was with two workers when they ended")
}

// end waits for the clients, and then checks what was lost: no GET, but for the few that
// met two kills; of PUT only what is too large to be kept for another try; where the
// workers tell what they begin, only what had begun. No POST was begun twice.
func (p *porter) end(t *testing.T, tells bool, kills int) {
	t.Helper()
	close(p.stop)
	p.clients.Wait()
	counts := p.ledger.counts()
	t.Logf("whole: %v; %d answers to GET broken off; lost: %d PUT, %d POST", p.whole, p.broken, len(p.lost["PUT"]), len(p.lost["POST"]))
	spent := 0
	for _, id := range p.lost["GET"] {
		if p.spent(id) {
			spent++
			continue
		}
		t.Errorf("%s: %s", id, p.why[id])
	}
	if most := max(kills/10, 1); spent > most {
		t.Errorf("%d GETs met two kills; with %d kills at most %d are expected", spent, kills, most)
	}
	for _, id := range p.lost["PUT"] {
		if isSmall(id) && !p.spent(id) {
			t.Errorf("%s, begun %d times: %s", id, counts[id], p.why[id])
		}
	}
	if tells {
		missing := map[string]string{}
		for _, id := range slices.Concat(p.lost["PUT"], p.lost["POST"]) {
			if counts[id] == 0 && !p.spent(id) {
				missing[id] = p.why[id]
			}
		}
		mustHaveBegun(t, missing, kills)
	}
	for id, n := range counts {
		if n > 1 && id[:4] == "POST" {
			t.Errorf("%s was begun %d times", id, n)
		}
	}
	for method, n := range p.whole {
		if n < 10 {
			t.Errorf("only %d answers to %s: the test shows little", n, method)
		}
	}
}

// isSmall says whether a request's body can always be sent again.
func isSmall(id string) bool {
	size, _ := strconv.Atoi(strings.Split(id, "-")[2])
	return size <= small
}

// TestBodiesUnderKills of Node workers, which tell what they begin.
func TestSoakBodiesUnderKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, address := bodies(w, "[node, "+strconv.Quote(app(t, "bodies.js"))+"]")
	p := startPorter(address, l, 12)
	killRandomWorkersEvery(t, w, 250*time.Millisecond, kills(t, 40, 40))
	p.end(t, true, kills(t, 40, 40))
}

// TestBodiesUnderKillsOverTCP: workers that know nothing of bulsa.
func TestSoakBodiesUnderKillsOverTCP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, address := bodies(w, strconv.Quote(build(t, filepath.Join("testdata", "bodyserver"))))
	p := startPorter(address, l, 12)
	// A request that two workers have died with gets no third: it may be what ended
	// them. These are back within milliseconds; killed as fast as they start, they
	// would often take the same request along twice.
	killRandomWorkersEvery(t, w, 250*time.Millisecond, kills(t, 40, 40))
	p.end(t, false, kills(t, 40, 40))
}

// bodies runs four workers of a command as service app.
func bodies(w *world, command string) (l ledger, address string) {
	w.t.Helper()
	l = ledger{t: w.t, path: filepath.Join(w.t.TempDir(), "ledger")}
	address = "127.0.0.1:" + freePort(w.t)
	w.up(fmt.Sprintf("name: app\nservices:\n  app:\n    command: %s\n    ports: [\"%s:3000\"]\n    deploy: {replicas: 4}\n    environment: {LEDGER: %q}\n    x-bulsa: {restart: {budget: 1000}}\n",
		command, address, l.path)).says("ready after")
	return l, address
}

// TestBodiesUnderKillsOfExternalServers on unix sockets, which the test kills and
// starts again.
func TestSoakBodiesUnderKillsOfExternalServers(t *testing.T) {
	t.Parallel()
	l := ledger{t: t, path: filepath.Join(t.TempDir(), "ledger")}
	program := build(t, filepath.Join("testdata", "bodyserver"))
	var servers []string
	var all []*bodyServer
	for i := range 3 {
		s := &bodyServer{t: t, program: program, socket: filepath.Join(t.TempDir(), strconv.Itoa(i)), ledger: l}
		s.start()
		t.Cleanup(s.kill)
		all = append(all, s)
		servers = append(servers, "address: \"unix:"+s.socket+"\"")
	}
	_, address := before(t, "", servers...)
	p := startPorter(address, l, 12)
	for range kills(t, 40, 40) {
		s := all[rand.IntN(len(all))]
		s.kill()
		s.start()
		time.Sleep(killPace)
	}
	p.end(t, false, kills(t, 40, 40))
}

// bodyServer is a server that somebody else runs.
type bodyServer struct {
	t               *testing.T
	program, socket string
	ledger          ledger
	cmd             *exec.Cmd
}

// start returns when it takes connections.
func (s *bodyServer) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.program, s.socket)
	s.cmd.Env = append(s.cmd.Environ(), "LEDGER="+s.ledger.path)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the server on "+s.socket+" listens", func() bool {
		conn, err := net.Dial("unix", s.socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (s *bodyServer) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}
