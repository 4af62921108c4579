package process

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/logs"
	"bulsa/internal/node"
	"bulsa/internal/relay"
)

// line is what bulsa hears of one Node process of a worker, and says to it; see
// node.Handler. A worker has one for each of them that has joined: the
// application, and perhaps a launcher before it or a job beside it.
type line struct {
	r       *run
	channel *node.Channel // set before anything is heard
	down    chan struct{} // closed when the channel is
	name    string        // of the process, for engine.Sockets
	member  *relay.Member

	servers map[string]*server // what it listens on through bulsa, by key; guarded by r.mu
	claims  int                // servers that it had in all
}

var _ node.Handler = (*line)(nil)

// openGate lets the worker's Node processes join. The run closes it.
func (r *run) openGate() error {
	number := strconv.FormatInt(r.engine.gates.Add(1), 36)
	gate, err := node.OpenGate(filepath.Join(r.engine.cfg.RuntimeDir, gatePrefix+number+gateSuffix))
	if err != nil {
		return err
	}
	r.gate = gate
	if c := r.plan.credential; c != nil {
		return os.Chown(gate.Path(), int(c.Uid), int(c.Gid))
	}
	return nil
}

// A gate's name is no longer than that of the control socket in the same folder,
// whose path is known to fit.
const gatePrefix, gateSuffix = "j", ".s"

// removeGates removes what a killed bulsa left behind.
func removeGates(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, gatePrefix+"*"+gateSuffix)) // a folder with special characters keeps some empty files
	for _, path := range left {
		os.Remove(path)
	}
}

// admit speaks with every process that joins, until the gate is closed.
func (r *run) admit() {
	if r.gate != nil {
		r.helpers.Go(func() { r.gate.Admit(r.attach) })
	}
}

// attach begins to speak with a Node process. nil: there is none.
func (r *run) attach(conn *net.UnixConn) {
	if conn == nil {
		return
	}
	l := &line{r: r, down: make(chan struct{}), servers: map[string]*server{}}
	r.mu.Lock()
	defer r.mu.Unlock() // the handler waits until the channel is known
	r.joined++
	l.name = string(r.launch.ID) + "/" + strconv.Itoa(r.joined)
	l.channel = r.cluster.primary.Attach(r.nodeID, conn, l)
	l.member = &relay.Member{Worker: r.launch.Worker, Send: l.channel.Send, Log: r.log, Notice: r.notice}
	r.cluster.relay.Join(l.member)
	r.members = append(r.members, l)
	if r.loop == nil && r.plan.service.EventLoop.Monitor {
		r.loop = newEventLoop(r) // a program that was not known to lead to Node
	}
	r.helpers.Go(l.disconnectLate)
}

// log adds a line to the worker's output.
func (r *run) log(line string) {
	if r.engine.cfg.Logs != nil {
		r.engine.cfg.Logs.Add(r.launch.Worker, logs.Stdout, line+"\n")
	}
}

func (r *run) notice(text string) { r.emit(engine.Fact{Kind: engine.Notice, Message: text}) }

// leave forgets a process that has ended. r.mu is held.
func (r *run) leave(l *line) {
	r.members = slices.DeleteFunc(r.members, func(m *line) bool { return m == l })
	if r.app == l {
		r.app = nil
	}
}

// speaker is the channel to the process that counts as the application: the first
// that has asked for a port, else the one that joined last. nil: there is none.
func (r *run) speaker() *node.Channel {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.app != nil:
		return r.app.channel
	case len(r.members) > 0:
		return r.members[len(r.members)-1].channel
	}
	return nil
}

// taken reports whether another living process of the worker listens on the port
// already: then this one is refused, as the kernel would. r.mu is held.
func (r *run) taken(by *line, a node.Ask) bool {
	return slices.ContainsFunc(r.members, func(m *line) bool {
		if m == by || a.UDP() || a.Port <= 0 || m.channel.Gone() {
			return false
		}
		for _, s := range m.servers {
			if s.asked == a.Port {
				return true
			}
		}
		return false
	})
}

// closeChannels ends all lines and waits until nothing more comes from them.
func (r *run) closeChannels() {
	if r.gate != nil {
		r.gate.Close()
	}
	if r.socket != "" {
		sockets, _ := filepath.Glob(r.socket + "*") // a folder with special characters keeps some empty files
		for _, s := range sockets {
			os.Remove(s)
		}
	}
	r.mu.Lock()
	members := slices.Clone(r.members)
	r.mu.Unlock()
	for _, l := range members {
		l.channel.Close()
	}
	patience := time.NewTimer(channelPatience)
	defer patience.Stop()
	for _, l := range members {
		select {
		case <-l.down:
		case <-patience.C:
			r.engine.log.Warn("the channel to " + r.launch.Worker + " does not close")
			return
		}
	}
}

// disconnectLate ends the membership of a process once it has had time to see the
// stop signal. An application whose only work was its servers ends at the
// disconnect: had both come at once, its handler for the signal might never run.
func (l *line) disconnectLate() {
	select {
	case <-l.r.stopping:
	case <-l.down:
		return
	case <-l.r.ctx.Done():
		return
	}
	seen := time.NewTimer(signalHeadStart)
	defer seen.Stop()
	select {
	case <-seen.C:
		_ = l.channel.Disconnect() // a closed channel needs none
	case <-l.down:
	case <-l.r.ctx.Done():
	}
}
