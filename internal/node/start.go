package node

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// channelFD is where Node itself expects its channel; any number does.
const channelFD = 3

// Modes of x-bulsa.node that Prepare tells apart.
const (
	modeListen = "listen"
	modePort   = "port"
	modeOff    = "off"
)

// PrepareOptions is what Prepare needs to know about one worker.
type PrepareOptions struct {
	ID       int      // NODE_UNIQUE_ID (cluster.worker.id): from 1, never used twice in one service
	Instance int      // NODE_APP_INSTANCE: from 0
	Env      []string // the service's environment; its NODE_OPTIONS are kept
	Preload  string   // path returned by WritePreload
	Gate     string   // path of the worker's Gate
	Port     int      // what Node programs are told as PORT in place of what Env says; 0: that
	Socket   string   // listen mode only: path of the worker's unix socket (further servers: path + ".2", ...; processes: path + ".PID")
	Client   string   // header: the socket does not show the client, as it does otherwise
	Loop     bool     // the preload answers questions about the event loop: Channel.Ask
}

// Prepare says how c is started as a worker in mode (the words of
// x-bulsa.node: auto proxyfd rr shared listen port off). A KindNode gets a
// channel at once: the connection is bulsa's end of it, to be given to
// Primary.Attach. All else joins at the gate, process by process, or never.
//
// The caller closes Start.FDs when the child runs, and the channel when the
// child has ended: a grandchild may keep the other end open.
func Prepare(c Command, mode string, o PrepareOptions) (Start, *net.UnixConn, error) {
	s := Start{Args: c.Args, Dir: c.Dir, Env: append([]string(nil), c.Env...)}
	s.Env = append(s.Env, "NODE_APP_INSTANCE="+strconv.Itoa(o.Instance))
	if mode == modePort || mode == modeOff {
		s.Env = append(s.Env, unset(o.Env, "NODE_CHANNEL_FD", "NODE_UNIQUE_ID")...)
		return s, nil, nil
	}
	id := strconv.Itoa(o.ID)
	own := s.moveInspector(c, lookup(append(slices.Clip(o.Env), c.Env...), "NODE_OPTIONS"), o.Instance)
	s.Env = append(s.Env, "BULSA_ID="+id, "BULSA_JOIN="+o.Gate, "NODE_OPTIONS="+options(o.Preload, own))
	s.Env = append(s.Env, unset(o.Env, "NODE_CHANNEL_SERIALIZATION_MODE", "BULSA_BELOW", "BULSA_FIRST")...)
	if o.Loop {
		s.Env = append(s.Env, "BULSA_LOOP=1")
	}
	if o.Port != 0 {
		s.Env = append(s.Env, "BULSA_PORT="+strconv.Itoa(o.Port))
	}
	if o.Client != "" {
		s.Env = append(s.Env, "BULSA_CLIENT="+o.Client)
	}
	if mode == modeListen {
		s.Env = append(s.Env, "BULSA_SOCK="+o.Socket)
	}
	if c.Kind != KindNode {
		s.Env = append(s.Env, unset(o.Env, "NODE_CHANNEL_FD", "NODE_UNIQUE_ID")...)
		return s, nil, nil
	}
	conn, theirs, err := channelPair()
	if err != nil {
		return Start{}, nil, err
	}
	s.FDs = map[int]*os.File{channelFD: theirs}
	s.Env = append(s.Env, "BULSA_FIRST=1", "NODE_CHANNEL_FD="+strconv.Itoa(channelFD), "NODE_UNIQUE_ID="+id)
	return s, conn, nil
}

// unset hides variables that would make the worker part of somebody else's
// cluster (bulsa may itself be a Node program's child). Node takes an empty
// value for none.
func unset(env []string, names ...string) []string {
	var hidden []string
	for _, name := range names {
		if lookup(env, name) != "" {
			hidden = append(hidden, name+"=")
		}
	}
	return hidden
}

// options puts the preload before the user's own NODE_OPTIONS. Node takes
// quotes and backslashes in them as a string of C (node(1), NODE_OPTIONS), but
// versions before 12 take them as they are, so they are used only where they must;
// the preload finds itself there again, so the form must not change.
func options(preload, own string) string {
	if strings.ContainsAny(preload, " \t\n\r\v\f\"\\") {
		preload = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(preload) + `"`
	}
	return strings.TrimSpace("--require " + preload + " " + own)
}

// channelPair returns bulsa's end of a channel and the worker's.
func channelPair() (*net.UnixConn, *os.File, error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	ours := os.NewFile(uintptr(fds[0]), "channel")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("cannot use a socketpair: %w", err)
	}
	return conn.(*net.UnixConn), os.NewFile(uintptr(fds[1]), "worker's channel"), nil
}

// lookup returns the value of the last KEY=VALUE of env, as exec does.
func lookup(env []string, key string) string {
	value := ""
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == key {
			value = v
		}
	}
	return value
}
