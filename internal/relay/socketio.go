package relay

import (
	"encoding/json"
	"time"
)

// socketIO is setupPrimary of @socket.io/cluster-adapter (dist/index.js, 0.2 and
// 0.3): what an adapter publishes goes to all workers but its own, an answer only
// to the one that asked.
type socketIO struct {
	adapters map[string]*Member // by uid; a worker has one for each namespace
}

func newSocketIO() *socketIO { return &socketIO{adapters: map[string]*Member{}} }

// sioSource marks the adapter's messages.
const sioSource = "_sio_adapter"

// Types of messages that answer others (MessageType in socket.io-adapter,
// cluster-adapter.js).
const (
	fetchSocketsResponse   = 8
	serverSideEmitResponse = 10
)

// mostAdapters bounds what is remembered; an adapter that was forgotten gets the
// answers that all get.
const mostAdapters = 100_000

func (s *socketIO) takes(h head) bool { return h.Source == sioSource }

func (s *socketIO) hear(_ time.Time, from *Member, raw json.RawMessage, all *Hub) {
	var m struct {
		UID       string `json:"uid"`
		Requester string `json:"requesterUid"`
		Type      int    `json:"type"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	if m.UID != "" && len(s.adapters) < mostAdapters {
		s.adapters[m.UID] = from
	}
	if m.Type == fetchSocketsResponse || m.Type == serverSideEmitResponse {
		if to := s.adapters[m.Requester]; to != nil {
			_ = to.Send(raw) // it is about to leave
			return
		}
	}
	all.others(from, raw)
}

func (s *socketIO) leave(m *Member) {
	for uid, who := range s.adapters {
		if who == m {
			delete(s.adapters, uid)
		}
	}
}
