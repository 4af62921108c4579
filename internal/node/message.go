package node

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Commands (the cmd field) of Node's IPC. All that begin with NODE_ are
// internal: they never reach process.on('message').
const (
	cmdCluster   = "NODE_CLUSTER"
	cmdHandle    = "NODE_HANDLE"
	cmdHandleAck = "NODE_HANDLE_ACK"
	cmdBulsa     = "NODE_BULSA" // our own preload
	cmdMasterID  = "MASTER_ID"  // a question of the application's
)

// message is what a worker sends, as far as the primary looks into it.
type message struct {
	Cmd         string          `json:"cmd"`
	Act         string          `json:"act"`
	Seq         int             `json:"seq"`
	Ack         *int            `json:"ack"`
	Accepted    bool            `json:"accepted"`
	Key         string          `json:"key"`
	Index       int             `json:"index"`
	Address     *string         `json:"address"`
	Port        *int            `json:"port"`
	AddressType json.RawMessage `json:"addressType"` // 4, 6, -1, or "udp4"
	FD          *int            `json:"fd"`
	Flags       int             `json:"flags"`
	Tells       bool            `json:"tells"`   // preload/begun.cjs
	HTTP        *bool           `json:"http"`    // preload/begun.cjs; nil: it has not said
	Script      string          `json:"script"`  // preload/begun.cjs
	Metrics     bool            `json:"metrics"` // preload/begun.cjs
	Data        json.RawMessage `json:"data"`
	Msg         json.RawMessage `json:"msg"`   // NODE_HANDLE: the message that carries the handle
	PID         int             `json:"pid"`   // NODE_BULSA, hello
	Loop        bool            `json:"loop"`  // NODE_BULSA, hello: it answers questions
	Alone       bool            `json:"alone"` // NODE_BULSA, hello: see Channel.alone
}

// command is the cmd of a frame, "" when it is no object or has none. It is
// looked at first, because any other field of an application's message may be
// of any shape.
func command(frame []byte) string {
	var m struct {
		Cmd string `json:"cmd"`
	}
	if json.Unmarshal(frame, &m) != nil {
		return ""
	}
	return m.Cmd
}

// ask reads the fields of queryServer and listening.
func (m *message) ask() Ask {
	a := Ask{AddressType: strings.Trim(string(m.AddressType), `"`), FD: -1, Flags: m.Flags, Index: m.Index, TLS: m.hasData(), Tells: m.Tells, Script: m.Script, Metrics: m.Metrics}
	if m.Address != nil {
		a.Address = *m.Address
	}
	if m.Port != nil {
		a.Port = *m.Port
	}
	if m.HTTP != nil {
		a.Speaks = "tcp"
		if *m.HTTP {
			a.Speaks = "http"
		}
	}
	if m.FD != nil {
		a.FD = *m.FD
	}
	return a
}

// hasData reports whether a server sent data of its own; only TLS servers do.
func (m *message) hasData() bool { return len(m.Data) > 0 && !bytes.Equal(m.Data, []byte("null")) }

// plain is a message without a handle, or the NODE_HANDLE around one with it.
type plain map[string]any

// withHandle wraps a message for a descriptor: kind is net.Native for
// listening sockets and connections, dgram.Native for UDP sockets.
func withHandle(m plain, kind string) plain {
	return plain{"cmd": cmdHandle, "type": kind, "msg": m}
}
