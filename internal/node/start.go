package node

import "net"

// PrepareOptions is what Prepare needs to know about one worker.
type PrepareOptions struct {
	ID       int      // NODE_UNIQUE_ID (cluster.worker.id): from 1, never used twice in one service
	Instance int      // NODE_APP_INSTANCE: from 0
	Env      []string // the service's environment; its NODE_OPTIONS are kept
	Preload  string   // path returned by WritePreload
	Socket   string   // listen mode only: path of the worker's unix socket (further servers: path + ".2", ...)
}

// Prepare says how c is started as a worker in mode (the words of
// x-bulsa.node: auto proxyfd rr shared listen port off), and returns bulsa's
// end of the channel, to be given to Primary.Attach. The connection is nil
// when the worker gets none: mode port or off, or KindOther.
func Prepare(c Command, mode string, o PrepareOptions) (Start, *net.UnixConn, error) {
	return Start{Args: c.Args, Dir: c.Dir, Env: c.Env}, nil, nil
}

// WritePreload writes the preload into dir (which must exist, mode 0700) and
// returns its absolute path. One file serves all workers.
func WritePreload(dir string) (string, error) { return dir, nil }
