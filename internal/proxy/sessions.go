package proxy

import (
	"bytes"
	"sync"
	"time"
)

// sessions know which workers the sessions of engine.io (below socket.io) are on. Its
// long polling spreads one session over many requests, and each names it in its query:
// the worker that has issued the id is the only one that knows it.
type sessions struct {
	mu     sync.Mutex
	recent map[string]string // balance.StickyID by session
	older  map[string]string // those that were not used since recent was empty
	since  time.Time         // when that was
}

const (
	// sessionPause is longer than any session is silent: its clients are pinged every
	// 25 s, and have 20 s for the answer (engine.io, pingInterval and pingTimeout).
	sessionPause = 2 * time.Minute
	mostSessions = 1 << 17 // of those in use within sessionPause
	longestID    = 64      // engine.io's have 20 characters
)

// learn notes who has issued a session's id.
func (s *sessions) learn(id []byte, worker string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age(now)
	s.recent[string(id)] = worker
}

// worker is who has issued the id; "": nobody knows.
func (s *sessions) worker(id []byte, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if worker, known := s.recent[string(id)]; known {
		return worker
	}
	worker, known := s.older[string(id)]
	if known {
		s.age(now)
		s.recent[string(id)] = worker
	}
	return worker
}

// age forgets those that were not used for a whole sessionPause.
func (s *sessions) age(now time.Time) {
	if s.recent == nil || now.Sub(s.since) >= sessionPause || len(s.recent) >= mostSessions {
		s.older, s.recent, s.since = s.recent, make(map[string]string), now
	}
}

// engineQuery says whether a request is one of engine.io's, by the version of its
// protocol that each of them tells, and which session it names; none: it begins one.
func engineQuery(target []byte) (id []byte, engine bool) {
	_, query, _ := bytes.Cut(target, []byte("?"))
	if !bytes.Contains(query, []byte("EIO=")) {
		return nil, false
	}
	for pair := range bytes.SplitSeq(query, []byte("&")) {
		name, value, _ := bytes.Cut(pair, []byte("="))
		switch string(name) {
		case "EIO":
			engine = true
		case "sid":
			id = value
		}
	}
	if len(id) > longestID {
		id = nil
	}
	return id, engine
}

// issuedSession finds the id in the beginning of the answer that opens a session:
// 0{"sid":"..." (engine.io-protocol, "Handshake").
func issuedSession(body []byte) []byte {
	_, after, found := bytes.Cut(body, []byte(`"sid":"`))
	id, _, whole := bytes.Cut(after, []byte(`"`))
	if !found || !whole || len(id) == 0 || len(id) > longestID {
		return nil
	}
	return id
}

// session is what a request has to do with one of engine.io's.
type session struct {
	named  bool // it belongs to one
	begins bool // its answer issues an id
}

// sessionOf also returns who has issued the id of the request's session; "": nobody
// that is known.
func (t *target) sessionOf(target []byte, now time.Time) (s session, worker string) {
	id, engine := engineQuery(target)
	s.named, s.begins = len(id) > 0, engine && len(id) == 0 && t.Settings.Sessions
	if s.named && t.Settings.Sessions {
		worker = t.line.sessions.worker(id, now)
	}
	return s, worker
}

// learn looks for the id in a part of the answer.
func (s *session) learn(t *target, worker string, part []byte, now time.Time) {
	if id := issuedSession(part); id != nil {
		t.line.sessions.learn(id, worker, now)
		s.begins = false
	}
}
