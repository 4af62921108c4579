// Package relay does for the workers of a service what well-known packages expect
// of the primary that they would have in Node's own cluster: it reads their
// messages, and answers or hands them on. Each package is a module; the table in
// modules names them all. What no module knows is counted, so that it can be told.
package relay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Member is a process that is a cluster worker.
type Member struct {
	Worker string                  // SERVICE.N
	Send   func(message any) error // process.on('message') there; it does not wait
	Log    func(line string)       // a line of the worker's output
	Notice func(text string)       // something that a user should read

	Metrics bool // it has loaded prom-client; guarded by Hub.mu
}

// Unread are messages of one kind that nobody here reads.
type Unread struct {
	Topic string // what tells their kind: "topic log4js:message", or their fields
	Count int
	First string // the worker that sent the first of them
}

// module plays the primary's part of one package.
type module interface {
	// takes reports whether a message is one of the package's.
	takes(h head) bool
	// hear handles it. Hub.mu is held.
	hear(now time.Time, from *Member, raw json.RawMessage, all *Hub)
	// leave forgets a member.
	leave(m *Member)
}

// Modules names the packages that are known, in the words of x-bulsa.relay.
func Modules() []string { return slices.Sorted(maps.Keys(modules())) }

func modules() map[string]module {
	return map[string]module{
		"log4js":                &log4js{},
		"prom-client":           newPromClient(),
		"rate-limiter-flexible": newLimiters(),
		"socket.io-cluster":     newSocketIO(),
	}
}

// head is what tells messages apart.
type head struct {
	Topic   string `json:"topic"`
	Type    string `json:"type"`
	Channel string `json:"channel"`
	Source  string `json:"source"`
	Cmd     string `json:"cmd"`
	Event   string `json:"event"`
	Action  string `json:"action"`
}

const (
	// mostTopics are kept of what nobody reads.
	mostTopics = 50
	// longestTopic is as much of one as is shown.
	longestTopic = 80
)

// Hub is the primary's side for all workers of one service. It outlives them.
type Hub struct {
	mu      sync.Mutex
	modules map[string]module
	members []*Member // in the order in which they joined
	unread  map[string]*Unread
}

// New makes a hub with all modules.
func New() *Hub { return &Hub{modules: modules(), unread: map[string]*Unread{}} }

// Only leaves the named modules, as x-bulsa.relay names them; none: all. What a
// module knows is lost when it goes.
func (h *Hub) Only(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, m := range modules() {
		switch wanted := len(names) == 0 || slices.Contains(names, name); {
		case !wanted:
			delete(h.modules, name)
		case h.modules[name] == nil:
			h.modules[name] = m
		}
	}
}

// Join adds a process.
func (h *Hub) Join(m *Member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members = append(h.members, m)
}

// Leave removes a process that is gone.
func (h *Hub) Leave(m *Member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members = slices.DeleteFunc(h.members, func(x *Member) bool { return x == m })
	for _, each := range h.modules {
		each.leave(m)
	}
}

// Hear handles what a process has sent to its primary.
func (h *Hub) Hear(now time.Time, from *Member, raw json.RawMessage) {
	var what head
	_ = json.Unmarshal(raw, &what) // what is no object, or of another shape, is nobody's
	h.mu.Lock()
	for _, m := range h.modules {
		if m.takes(what) {
			m.hear(now, from, raw, h)
			h.mu.Unlock()
			return
		}
	}
	kind := topic(what, raw)
	first := kind != pm2Ready && h.count(from, kind)
	h.mu.Unlock()
	if first {
		from.Notice(fmt.Sprintf("sends its primary messages that nobody reads (%s): the app's own code for a primary does not run, since bulsa is it; see docs/node.md, What workers tell their primary", kind))
	}
}

// pm2Ready is what an app tells PM2 when it is ready; bulsa sees that by itself.
const pm2Ready = "text ready"

// count notes a message that nobody reads, and says whether it is the first of its kind.
func (h *Hub) count(from *Member, topic string) bool {
	if u := h.unread[topic]; u != nil {
		u.Count++
		return false
	}
	if len(h.unread) >= mostTopics {
		return false
	}
	h.unread[topic] = &Unread{Topic: topic, Count: 1, First: from.Worker}
	return true
}

// Unread are the kinds of messages that nobody has read, the most frequent first.
func (h *Hub) Unread() []Unread {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []Unread
	for _, u := range h.unread {
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b Unread) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Topic, b.Topic))
	})
	return all
}

// others sends a message to all processes but one.
func (h *Hub) others(from *Member, message any) {
	for _, m := range h.members {
		if m != from {
			_ = m.Send(message) // it is about to leave
		}
	}
}

// topic is what tells the kind of a message, without its contents.
func topic(h head, raw json.RawMessage) string {
	for _, field := range []struct{ name, value string }{
		{"topic", h.Topic}, {"type", h.Type}, {"cmd", h.Cmd}, {"event", h.Event}, {"action", h.Action}, {"channel", h.Channel}, {"source", h.Source},
	} {
		if field.value != "" {
			return cut(field.name + " " + field.value)
		}
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) == nil && len(fields) > 0 {
		text := "fields"
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			text += " " + name
		}
		return cut(text)
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		return cut("text " + word)
	}
	return "neither an object nor text"
}

func cut(text string) string {
	runes := []rune(text)
	if len(runes) > longestTopic {
		return string(runes[:longestTopic]) + "..."
	}
	return text
}
