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

const (
	// channelFD is where Node itself expects its channel; any number does.
	channelFD = 3
	// lateFD survives a Node process in between: at its start Node closes (on
	// exec) what it inherited only up to the first gap after descriptor 15
	// (uv_disable_stdio_inheritance).
	lateFD = 200
)

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
	Socket   string   // listen mode only: path of the worker's unix socket (further servers: path + ".2", ...)
	Loop     bool     // the preload answers questions about the event loop: Channel.Ask
}

// Prepare says how c is started as a worker in mode (the words of
// x-bulsa.node: auto proxyfd rr shared listen port off), and returns bulsa's
// end of the channel, to be given to Primary.Attach. The connection is nil
// when the worker gets none: mode port or off, or KindOther.
//
// The caller closes Start.FDs when the child runs, and the channel when the
// child has ended: behind a wrapper a grandchild may keep the other end open.
func Prepare(c Command, mode string, o PrepareOptions) (Start, *net.UnixConn, error) {
	s := Start{Args: c.Args, Dir: c.Dir, Env: append([]string(nil), c.Env...), Late: c.Kind == KindWrapper}
	s.Env = append(s.Env, "NODE_APP_INSTANCE="+strconv.Itoa(o.Instance))
	if c.Kind == KindOther || mode == modePort || mode == modeOff {
		s.Env = append(s.Env, unset(o.Env, "NODE_CHANNEL_FD", "NODE_UNIQUE_ID")...)
		return s, nil, nil
	}
	conn, theirs, err := channelPair()
	if err != nil {
		return Start{}, nil, err
	}
	id := strconv.Itoa(o.ID)
	s.Env = append(s.Env, "BULSA_ID="+id, "NODE_OPTIONS="+options(o.Preload, lookup(append(slices.Clip(o.Env), c.Env...), "NODE_OPTIONS")))
	s.Env = append(s.Env, unset(o.Env, "NODE_CHANNEL_SERIALIZATION_MODE")...)
	if o.Loop {
		s.Env = append(s.Env, "BULSA_LOOP=1")
	}
	if mode == modeListen {
		s.Env = append(s.Env, "BULSA_SOCK="+o.Socket)
	}
	if c.Kind == KindNode {
		s.FDs = map[int]*os.File{channelFD: theirs}
		s.Env = append(s.Env, "NODE_CHANNEL_FD="+strconv.Itoa(channelFD), "NODE_UNIQUE_ID="+id)
		return s, conn, nil
	}
	s.FDs = map[int]*os.File{lateFD: theirs}
	s.Env = append(s.Env, "BULSA_FD="+strconv.Itoa(lateFD))
	s.Env = append(s.Env, unset(o.Env, "NODE_CHANNEL_FD", "NODE_UNIQUE_ID")...)
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
// quotes and backslashes in them as a string of C (node(1), NODE_OPTIONS);
// the preload finds itself there again, so the form must not change.
func options(preload, own string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(preload)
	return strings.TrimSpace(`--require "` + quoted + `" ` + own)
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
