package node

import (
	"encoding/json"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// maxHeld is how many servers one worker may have.
const maxHeld = 1024

// held is a server of the worker's.
type held struct {
	ask  Ask
	port int // the port it was told
}

// receive handles one frame from the worker. What is not understood is ignored.
func (c *Channel) receive(frame []byte) {
	switch cmd := command(frame); {
	case cmd == cmdHandle:
		c.handle(frame)
	case cmd == cmdCluster:
		c.receiveCluster(frame)
	case cmd == cmdBulsa:
		c.receiveOwn(frame)
	case strings.HasPrefix(cmd, "NODE_"):
	case cmd == cmdMasterID:
		c.reply(plain{"cmd": cmdMasterID, "master_id": c.primary.id})
	case json.Valid(frame):
		c.handler.Message(append(json.RawMessage(nil), frame...))
	}
}

// handle takes a handle that the application sent (process.send(m, socket)).
// Without the acknowledgment the worker would queue every later message.
func (c *Channel) handle(frame []byte) {
	c.reply(plain{"cmd": cmdHandleAck})
	var m message
	if json.Unmarshal(frame, &m) == nil && command(m.Msg) != cmdHandle {
		c.receive(m.Msg)
	}
}

func (c *Channel) receiveCluster(frame []byte) {
	var m message
	if json.Unmarshal(frame, &m) != nil {
		return
	}
	switch {
	case m.Ack != nil:
		c.settle(*m.Ack, verdict(m.Accepted))
	case m.Act == "online":
		c.online()
	case m.Act == "queryServer":
		c.query(&m)
	case m.Act == "listening":
		c.listening(&m)
	case m.Act == "close":
		if _, ok := c.held[m.Key]; ok {
			c.forget(m.Key)
		}
	case m.Act == "exitedAfterDisconnect":
		c.handler.Disconnecting()
		c.replyCluster(plain{"ack": m.Seq})
	}
}

func verdict(accepted bool) answer {
	if accepted {
		return answer{}
	}
	return answer{err: ErrRefused}
}

// online begins a process. Behind a wrapper it may be the second one on the
// same channel: the wrapper's own copy of it kept it open.
func (c *Channel) online() {
	for key := range c.held {
		c.forget(key)
	}
	c.settleAll(answer{err: ErrDown})
	c.pid.Store(0)
	c.signal.Store(false)
	c.alone.Store(false)
	c.handler.Online()
}

// forget is for a server that is closed.
func (c *Channel) forget(key string) {
	delete(c.held, key)
	c.setTells(key, false)
	c.handler.Closed(key)
}

// query answers a worker's wish to listen.
func (c *Channel) query(m *message) {
	a := m.ask()
	key := a.Key()
	answer := plain{"ack": m.Seq, "key": key, "data": c.primary.shared(key, m.Data, m.hasData())}
	if _, twice := c.held[key]; twice || len(c.held) >= maxHeld {
		c.refuse(answer, syscall.EADDRINUSE)
		return
	}
	if a.Port < -1 || a.Port > 65535 {
		c.refuse(answer, syscall.EINVAL)
		return
	}
	g := c.handler.Query(a)
	switch {
	case g.Errno != 0:
		c.refuse(answer, g.Errno)
	case g.Shared != 0:
		c.share(answer, a, g)
	case a.UDP(): // there is no passing of single datagrams
		c.refuse(answer, syscall.ENOTSUP)
	default:
		c.grant(answer, a, g)
	}
}

// refuse reports an error as libuv numbers it: negative.
func (c *Channel) refuse(answer plain, errno syscall.Errno) {
	answer["errno"] = -int(errno)
	c.replyCluster(answer)
}

// share gives the worker a listening (or UDP) socket of its own.
func (c *Channel) share(answer plain, a Ask, g Grant) {
	fd, err := duplicate(g.Shared)
	if err != nil {
		c.refuse(answer, syscall.EBADF)
		return
	}
	kind := "net.Native"
	if a.UDP() {
		kind = "dgram.Native"
	}
	answer["errno"] = 0
	c.held[a.Key()] = held{ask: a, port: g.Port}
	c.check(c.clusterWith(answer, fd, kind))
}

// grant tells the worker that connections will be passed.
func (c *Channel) grant(answer plain, a Ask, g Grant) {
	answer["errno"] = nil
	if a.Port >= 0 {
		answer["sockname"] = sockname(a, g)
	}
	c.held[a.Key()] = held{ask: a, port: g.Port}
	c.setTells(a.Key(), a.Tells)
	c.replyCluster(answer)
}

// sockname is what server.address() returns.
func sockname(a Ask, g Grant) plain {
	host, family := g.Host, "IPv6"
	if host == "" {
		host = "::"
		if a.AddressType == "4" && a.Address != "" {
			host = "0.0.0.0"
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		family = "IPv4"
	}
	port := g.Port
	if a.Port > 0 {
		port = a.Port // Node takes any other for EADDRINUSE (lib/net.js, listenOnPrimaryHandle)
	}
	return plain{"address": host, "family": family, "port": port}
}

// listening finds the server by what Node repeats of the ask, with the real
// port in it.
func (c *Channel) listening(m *message) {
	a := m.ask()
	key := a.Key()
	if _, ok := c.held[key]; !ok {
		key = ""
		for k, h := range c.held {
			if h.ask.Port == 0 && h.port == a.Port && h.ask.Index == a.Index &&
				h.ask.AddressType == a.AddressType && h.ask.Address == a.Address {
				key = k
			}
		}
	}
	c.handler.Listening(key, a)
}

// receiveOwn handles what our preload sends.
func (c *Channel) receiveOwn(frame []byte) {
	var m message
	if json.Unmarshal(frame, &m) != nil {
		return
	}
	switch m.Act {
	case "hello":
		c.pid.Store(int64(m.PID))
		c.alone.Store(m.Alone)
		c.loop.begin(m.Loop)
	case "answer":
		c.loop.heard(time.Now(), m.Seq, frame)
	case "signal":
		c.signal.Store(true)
	case "listening": // listen mode
		a := m.ask()
		c.held[m.Key] = held{ask: a}
		c.handler.Listening(m.Key, a)
	case "close":
		if _, ok := c.held[m.Key]; ok {
			c.forget(m.Key)
		}
	}
}

func (c *Channel) replyCluster(m plain) { c.check(c.cluster(m)) }

func (c *Channel) reply(m plain) { c.check(c.Send(m)) }

// check ends a channel whose worker asks without reading the answers.
func (c *Channel) check(err error) {
	if err != nil {
		c.fail(err)
	}
}
