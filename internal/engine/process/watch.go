package process

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/node"
)

const (
	firstLook = 10 * time.Millisecond
	lastLook  = 250 * time.Millisecond
	// otherGrace is how long a program may listen elsewhere (metrics, a debugger)
	// before it is taken for one that ignores $PORT; joinedGrace is the same for a
	// worker that is a member of the cluster, and may still be booting.
	otherGrace  = time.Second
	joinedGrace = 3 * time.Second
	// wrapperGrace is how long a wrapper that is a Node program itself (npx) may take
	// to start the application.
	wrapperGrace = 15 * time.Second
	// inspectorPort is where `node --inspect` listens.
	inspectorPort = 9229
)

// address is where a process listens.
type address struct {
	ip   net.IP
	port int
}

func (a address) String() string { return net.JoinHostPort(a.ip.String(), strconv.Itoa(a.port)) }

// sighting is what one look at a worker's processes showed.
type sighting struct {
	taken bool      // the program accepts connections from the socket of LISTEN_FDS
	open  []address // where it listens by itself
}

// verdict is what a sighting means.
type verdict struct {
	done    bool // nothing is left to watch
	taken   bool
	own     *address // listens there by itself
	settled bool
	remark  string
}

// watcher decides what a worker that does not ask bulsa listens on.
type watcher struct {
	private  int   // PORT that only this run has; 0: none
	fixed    int   // PORT as the service's environment sets it; 0: none
	expected int   // the port the application is published from; 0: unknown
	further  []int // other targets, which lead elsewhere
	publish  bool  // the service has published ports
	alone    bool
	joins    bool // may join the cluster
	nodeRuns bool // some process of a wrapper's is Node
	patient  bool // workers of this service ask for ports: it will, too

	began  time.Time
	joined time.Time // since when it is a member
	other  time.Time // since when it listens elsewhere
	warned bool
}

// decide judges a sighting. online and asked tell how far the worker has
// joined the cluster: one that asks for its ports needs no watch.
func (w *watcher) decide(now time.Time, s sighting, online, asked bool) verdict {
	if asked {
		return verdict{done: true}
	}
	if !w.publish {
		settled := !w.patient && w.settled(now, online)
		return verdict{done: settled, settled: settled}
	}
	for _, known := range []int{w.private, w.fixed, w.expected} {
		if i := slices.IndexFunc(s.open, func(a address) bool { return a.port == known }); known != 0 && i >= 0 {
			return verdict{done: true, own: &s.open[i]}
		}
	}
	if s.taken {
		return verdict{done: true, taken: true}
	}
	return w.elsewhere(now, s, online)
}

// settled reports whether a worker has had its time to ask for a port. It counts
// from when it joined: what stands before it may be slow.
func (w *watcher) settled(now time.Time, online bool) bool {
	if online && w.joined.IsZero() {
		w.joined = now
	}
	switch {
	case online:
		return now.Sub(w.joined) > joinedGrace
	case w.nodeRuns:
		return now.Sub(w.began) > wrapperGrace
	}
	return now.Sub(w.began) > joinedGrace
}

// elsewhere: it listens, but nowhere where it was expected.
func (w *watcher) elsewhere(now time.Time, s sighting, online bool) verdict {
	open := slices.DeleteFunc(slices.Clone(s.open), func(a address) bool { return w.joins && a.port == inspectorPort || slices.Contains(w.further, a.port) })
	if len(open) == 0 {
		return verdict{}
	}
	if w.other.IsZero() {
		w.other = now
	}
	grace := otherGrace
	if online {
		grace = joinedGrace
	}
	if now.Sub(w.other) < grace {
		return verdict{}
	}
	if online && !w.alone {
		return w.remark(open[0].port)
	}
	return verdict{done: true, own: &open[0]}
}

func (w *watcher) remark(port int) verdict {
	if w.warned {
		return verdict{}
	}
	w.warned = true
	return verdict{remark: fmt.Sprintf("listens on port %d by itself, and has not asked bulsa for a port yet", port)}
}

// watch follows what the worker listens on, in a goroutine of its own. before
// are the sockets that listened when it was started.
func (r *run) watch(before map[uint64]address) {
	publish := len(r.plan.service.Ports) > 0
	if !publish && (!r.joins() || r.plan.command.Kind == node.KindOther) {
		r.emit(engine.Fact{Kind: engine.Settled})
		return
	}
	w := r.newWatcher(publish)
	r.helpers.Go(func() { r.keepWatching(w, before) })
	if watchable && len(w.further) > 0 {
		r.helpers.Go(func() { r.watchFurther(before, w.further) })
	}
}

func (r *run) newWatcher(publish bool) *watcher {
	w := &watcher{publish: publish, alone: r.launch.Alone, joins: r.joins(), began: time.Now()}
	if publish {
		w.expected, w.further = r.plan.service.Ports[0].Target, further(r.plan.service.Ports)
	}
	w.private = r.port
	if value, ok := variable(r.plan.env, "PORT"); ok && !r.plan.clustered() {
		_, _ = fmt.Sscan(value, &w.fixed) // PORT may be a path; it is no port then
	}
	return w
}

func (r *run) keepWatching(w *watcher, before map[uint64]address) {
	pause := firstLook
	if r.othersAsk() {
		pause = lastLook // so will this one before it is looked at: a look reads the whole process table
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	defer r.listener.endTrial()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-timer.C:
		}
		if len(r.looking) > 0 { // an open inspector listens, too
			timer.Reset(lastLook)
			continue
		}
		r.mu.Lock()
		online, asked := r.online, r.asked
		r.mu.Unlock()
		w.nodeRuns = !w.publish && !online && r.plan.command.Kind == node.KindWrapper && r.runsNode()
		w.patient = r.othersAsk()
		var s sighting
		if !asked {
			s = r.look(before)
		}
		v := w.decide(time.Now(), s, online, asked)
		r.tell(v)
		if v.done {
			return
		}
		pause = min(pause*3/2, lastLook)
		timer.Reset(pause)
	}
}

// othersAsk reports whether a worker of this service has asked for a port.
func (r *run) othersAsk() bool { return r.cluster != nil && r.cluster.asks.Load() }

func (r *run) tell(v verdict) {
	switch {
	case v.taken:
		r.listensAt(r.listener.address.String(), false)
	case v.own != nil:
		r.ownPort(*v.own)
	case v.settled:
		r.emit(engine.Fact{Kind: engine.Settled})
	case v.remark != "":
		r.emit(engine.Fact{Kind: engine.Notice, Message: v.remark})
	}
}

// look finds out what the worker listens on.
func (r *run) look(before map[uint64]address) sighting {
	if !watchable {
		return r.try()
	}
	return sighting{taken: r.listener.accepted(), open: r.listensOn(before)}
}

// listensOn finds the sockets that the worker's processes listen on, but those that
// were there before.
func (r *run) listensOn(before map[uint64]address) (open []address) {
	all := listeners()
	for inode := range before {
		delete(all, inode)
	}
	if len(all) == 0 {
		return nil
	}
	for _, p := range r.engine.processes(r, tableAge) {
		for inode := range heldSockets(p.pid) {
			if a, ok := all[inode]; ok {
				open = append(open, a)
			}
		}
	}
	return open
}

// runsNode reports whether any of the worker's processes is Node.
func (r *run) runsNode() bool {
	return slices.ContainsFunc(r.engine.processes(r, tableAge), func(p processInfo) bool {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid))
		return err == nil && filepath.Base(program) == "node"
	})
}

// try connects to PORT where the system does not tell who listens.
func (r *run) try() sighting {
	for _, ip := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback} {
		conn, err := net.DialTimeout("tcp", loopback(ip, r.port), lastLook)
		if err == nil {
			conn.Close()
			return sighting{open: []address{{ip: ip, port: r.port}}}
		}
	}
	return sighting{}
}

// ownPort judges a worker that has bound a port by itself: its own one is as it
// should be, any other can be served only while no second worker wants it.
func (r *run) ownPort(a address) {
	if r.port != 0 && a.port == r.port {
		r.listensAt(loopback(a.ip, a.port), false)
		return
	}
	if !r.launch.Alone {
		r.emit(engine.Fact{Kind: engine.Unusable, Message: r.fixedPort(a.port)})
		return
	}
	if value, set := variable(r.plan.env, "PORT"); !set || value != fmt.Sprint(a.port) {
		r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf(
			"listens on port %d by itself, so it cannot have a second worker or be updated without a pause; make it listen on $PORT for that", a.port)})
	}
	r.listensAt(loopback(a.ip, a.port), true)
}

func (r *run) listensAt(address string, fixed bool) {
	r.emit(engine.Fact{
		Kind: engine.Listening, Port: engine.Main, Address: address, FixedPort: fixed,
		Connector: dialConnector{network: "tcp", address: address, run: r},
	})
}

// fixedPort is the one line that says why a second worker is impossible.
func (r *run) fixedPort(port int) string {
	which := "on a fixed port"
	if port != 0 {
		which = fmt.Sprintf("on port %d", port)
	}
	const advice = "so only one worker can run: use one worker (-w 1, deploy.replicas: 1), or "
	if value, set := variable(r.plan.env, "PORT"); set && value == fmt.Sprint(port) && !r.plan.clustered() {
		return "app listens " + which + ", which its environment sets as PORT, " + advice + "take PORT out of the environment"
	}
	if r.plan.clustered() {
		return "app listens " + which + " by itself (exclusive, or in a child process), " + advice + "let it listen in the worker itself without exclusive"
	}
	return "app listens " + which + " by itself and ignores $PORT, " + advice + "make it listen on $PORT"
}
