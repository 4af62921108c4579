package node

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// defaultInspectPort is where Node's inspector listens unless it is told.
const defaultInspectPort = 9229

// inspectFlag is what moves a worker's inspector to a port of its own: as Node's
// cluster does, each gets the next number (createWorkerProcess in
// lib/internal/cluster/primary.js). The first worker has the one that was asked
// for. "": there is nothing to move.
func inspectFlag(flags []string, instance int) string {
	if instance == 0 {
		return ""
	}
	for _, flag := range slices.Backward(flags) {
		name, value, _ := strings.Cut(flag, "=")
		switch name {
		case "--inspect", "--inspect-brk", "--inspect-wait", "--inspect-port", "--debug-port":
			host, port := inspectAddress(value)
			if port == 0 || port+instance > 65535 {
				return "" // any that is free: no two workers meet
			}
			next := strconv.Itoa(port + instance)
			if host != "" {
				next = net.JoinHostPort(host, next)
			}
			return "--inspect-port=" + next
		}
	}
	return ""
}

// inspectAddress reads [host:]port, or a host alone.
func inspectAddress(value string) (host string, port int) {
	if n, err := strconv.Atoi(value); err == nil {
		return "", n
	}
	host, number, err := net.SplitHostPort(value)
	if err != nil {
		return strings.Trim(value, "[]"), defaultInspectPort
	}
	if port, err = strconv.Atoi(number); err != nil {
		port = defaultInspectPort
	}
	return host, port
}

// nodeFlags are the arguments of node before its script.
func nodeFlags(args []string) []string {
	for i := 0; i < len(args); i++ {
		flag, _, joined := strings.Cut(args[i], "=")
		switch {
		case flag == "--" || !strings.HasPrefix(flag, "-"):
			return args[:i]
		case !joined && takesValue(flag):
			i++
		}
	}
	return args
}

// moveInspector adds to a worker's start what gives its inspector a port of its own.
func (s *Start) moveInspector(c Command, options string, instance int) string {
	if c.Kind == KindNode && isNode(s.Args[0]) {
		flags := nodeFlags(s.Args[1:])
		if flag := inspectFlag(flags, instance); flag != "" {
			s.Args = slices.Concat(s.Args[:1+len(flags)], []string{flag}, s.Args[1+len(flags):])
			return options
		}
	}
	if flag := inspectFlag(strings.Fields(options), instance); flag != "" {
		return options + " " + flag
	}
	return options
}
