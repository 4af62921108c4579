package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bulsa/internal/dockertest"
)

// databaseImage has PostgreSQL and Redis, as Debian's packages have installed them.
const databaseImage = "bulsa-e2e/databases"

// dataFile is a project with both. Each takes a lock of its folder, which the
// kernel gives up with its last process, and tells in the folder when another
// server has it: inside of containers neither sees that the other one lives.
const dataFile = `name: data
x-all: &all
  image: ` + databaseImage + `
  user: "1000:1000"
  stop_grace_period: 20s
  tmpfs: ["/run"]
  environment: {VERSION: "%[1]d"}
  healthcheck: {test: ["CMD", "sh", "-c", "test ! -e /run/sick"], interval: 300ms, retries: 2, start_period: 60s}
  x-bulsa: {probe: {tcp: true}, restart: {delay: 50ms, budget: 1000}}
services:
  postgres:
    <<: *all
    ports: ["127.0.0.1:%[2]s:5432"]
    stop_signal: SIGINT
    volumes: ["postgres:/data"]
    entrypoint: ["sh", "-c", "exec 9>/data/lock; flock -n 9 || echo occupied >>/data/met; test -e /data/db/PG_VERSION || initdb -D /data/db --no-locale -E UTF8 -A trust -U postgres >/dev/null && echo host all all 0.0.0.0/0 trust >/data/hba && exec /usr/lib/postgresql/%[4]s/bin/postgres -D /data/db -h '*' -c hba_file=/data/hba -c unix_socket_directories= -c shared_buffers=8MB"]
  redis:
    <<: *all
    ports: ["127.0.0.1:%[3]s:6379"]
    volumes: ["redis:/data"]
    entrypoint: ["sh", "-c", "exec 9>/data/lock; flock -n 9 || echo occupied >>/data/met; exec redis-server --dir /data --appendonly yes --appendfsync always --save '' --protected-mode no"]
volumes: {postgres: {}, redis: {}}
`

// postgresVersion is the newest PostgreSQL of this machine.
func postgresVersion(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		t.Fatal("PostgreSQL is missing: scripts/test-deps.sh installs it (" + dockertest.Off + "=off skips the tests with containers)")
	}
	return strings.Split(slices.Max(found), "/")[4]
}

func importDatabases(t *testing.T) string {
	t.Helper()
	version := postgresVersion(t)
	home := "/usr/lib/postgresql/" + version
	err := dockerd.Get(t).Import(databaseImage, dockertest.Base{
		Programs: []string{home + "/bin/postgres", home + "/bin/initdb", "redis-server", "redis-check-aof", "sh", "flock", "cat", "touch"},
		Folders:  []string{home + "/lib", "/usr/share/postgresql/" + version, "/usr/share/zoneinfo/Etc"},
		Data:     "/data",
	})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// writer writes rows to one database, and keeps the numbers of those that were
// acknowledged.
type writer struct {
	service string
	open    func(address string) (database, error)
	docker  *client.Client

	mu    sync.Mutex
	acked []int
	next  int
}

// database is a connection to one.
type database interface {
	insert(n int) error
	rows() ([]int, error)
	Close() error
}

// connect finds the container of the service that runs.
func (w *writer) connect(ctx context.Context) (database, error) {
	list, err := w.docker.ContainerList(ctx, client.ContainerListOptions{Filters: client.Filters{}.
		Add("label", "bulsa.project=data").Add("label", "bulsa.service="+w.service).Add("status", "running")})
	if err != nil {
		return nil, err
	}
	port := map[string]string{"postgres": "5432", "redis": "6379"}[w.service]
	for _, c := range list.Items {
		for _, n := range c.NetworkSettings.Networks {
			if n.IPAddress.IsValid() {
				return w.open(n.IPAddress.String() + ":" + port)
			}
		}
	}
	return nil, errors.New("no container runs")
}

// run writes each 5 ms until ctx ends.
func (w *writer) run(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var d database
	for ctx.Err() == nil {
		if d == nil {
			var err error
			if d, err = w.connect(ctx); err != nil {
				d = nil
			}
		}
		if d != nil && w.write(d) != nil {
			d.Close()
			d = nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if d != nil {
		d.Close()
	}
}

func (w *writer) write(d database) error {
	w.next++ // a number whose answer was lost may be there or not: it is never used again
	if err := d.insert(w.next); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, w.next)
	return nil
}

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// advances waits until rows are acknowledged again.
func (w *writer) advances(t *testing.T) {
	t.Helper()
	before := w.count()
	eventually(t, w.service+" acknowledges rows", func() bool { return w.count() > before+3 })
}

// lost are the acknowledged rows that the database does not have.
func (w *writer) lost(t *testing.T) []int {
	t.Helper()
	d, err := w.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	list, err := d.rows()
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[int]bool, len(list))
	for _, n := range list {
		have[n] = true
	}
	var lost []int
	for _, n := range w.acked {
		if !have[n] {
			lost = append(lost, n)
		}
	}
	return lost
}

// calamity is what happens to databases.
type calamity struct {
	world   *world
	docker  *client.Client
	server  *server
	version int
	random  *rand.Rand
	write   func(version int)
	shared  map[string]string // what was said of two servers, by worker
}

func (c *calamity) all() map[string]func() {
	return map[string]func(){
		"restart":   func() { c.world.must("restart", "-p", "data") },
		"change":    c.change,
		"kill":      c.kill,
		"unhealthy": c.sicken,
		"bulsa":     c.killBulsa,
	}
}

func (c *calamity) change() {
	c.version++
	c.write(c.version)
	c.world.must("up", "-d")
}

func (c *calamity) kill() {
	for _, r := range c.world.ps("data") {
		_, _ = c.docker.ContainerKill(context.Background(), r.ID, client.ContainerKillOptions{Signal: "SIGKILL"}) // it may be dead already
	}
}

// alone reports a second server that found the folder in use.
func (c *calamity) alone(after string) {
	c.world.t.Helper()
	for _, r := range c.world.ps("data") {
		if out := inDatabase(c.world.t, c.docker, r.ID, "cat", "/data/met"); strings.Contains(out, "occupied") && c.shared[r.Name] != out {
			c.shared[r.Name] = out
			c.world.t.Errorf("two servers of %s had its folder: after %s", r.Name, after)
		}
	}
}

// sicken makes both fail their checks, and waits until bulsa has answered it.
func (c *calamity) sicken() {
	t := c.world.t
	ends := map[string]time.Time{}
	for _, r := range c.world.ps("data") {
		ends[r.ID] = c.startedAt(r.ID)
		inDatabase(t, c.docker, r.ID, "touch", "/run/sick")
	}
	eventually(t, "both were restarted in place", func() bool {
		for id, started := range ends {
			if !c.startedAt(id).After(started) {
				return false
			}
		}
		return true
	})
}

// startedAt is when Docker started a container last.
func (c *calamity) startedAt(id string) time.Time {
	c.world.t.Helper()
	found, err := c.docker.ContainerInspect(context.Background(), id, client.ContainerInspectOptions{})
	if err != nil {
		c.world.t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339Nano, found.Container.State.StartedAt)
	if err != nil {
		c.world.t.Fatal(err)
	}
	return at
}

// killBulsa leaves the containers to the next bulsa, half of the time with
// another configuration.
func (c *calamity) killBulsa() {
	if err := c.server.cmd.Process.Kill(); err != nil {
		c.world.t.Fatal(err)
	}
	<-c.server.exited
	if c.random.IntN(2) == 0 {
		c.version++
		c.write(c.version)
	}
	c.server = c.world.ready("up", "--admin", "off")
}

// TestNoCommittedRowIsLost: PostgreSQL and Redis are written to, two hundred
// commits a second, while all that bulsa does to containers is done to them.
// The soak does it 180 times.
func TestNoCommittedRowIsLost(t *testing.T) { commitThroughCalamities(t) }

func TestSoakNoCommittedRowIsLost(t *testing.T) { commitThroughCalamities(t) }

func commitThroughCalamities(t *testing.T) {
	t.Helper()
	t.Parallel() // it waits for Docker most of its time
	w, docker := newDockerWorld(t)
	pg, redis, version := freePort(t), freePort(t), importDatabases(t)
	times := map[string]int{"restart": 2, "change": 2, "kill": 2, "unhealthy": 1, "bulsa": 1}
	if soaks(t) {
		times = map[string]int{"restart": 50, "change": 50, "kill": 50, "unhealthy": 20, "bulsa": 10}
	}
	c := &calamity{world: w, docker: docker, random: rand.New(rand.NewPCG(1, 2)), shared: map[string]string{}}
	c.write = func(n int) { w.write("compose.yaml", fmt.Sprintf(dataFile, n, pg, redis, version)) }
	c.write(0)
	c.server = w.ready("up", "--admin", "off")

	writers := []*writer{{service: "postgres", open: openPostgres, docker: docker}, {service: "redis", open: openRedis, docker: docker}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writing sync.WaitGroup
	for _, x := range writers {
		writing.Go(func() { x.run(ctx) })
		x.advances(t)
	}
	begun := time.Now()
	var todo []string
	for name, n := range times {
		todo = append(todo, slices.Repeat([]string{name}, n)...)
	}
	slices.Sort(todo)
	c.random.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	for _, name := range todo {
		c.all()[name]()
		eventually(t, "both are ready after "+name, func() bool { return strings.Count(w.states("data"), "ready") == 2 })
		for _, x := range writers {
			x.advances(t)
		}
		c.alone(name)
	}
	stop()
	writing.Wait()
	for _, x := range writers {
		t.Logf("%s: %d rows acknowledged in %s, through %v", x.service, len(x.acked), time.Since(begun).Round(time.Second), times)
		if lost := x.lost(t); len(lost) > 0 {
			t.Errorf("%s lost %d acknowledged rows of %d: %v", x.service, len(lost), len(x.acked), lost[:min(20, len(lost))])
		}
	}
}
