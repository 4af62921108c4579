package proxy

// loose is the beginning of a request's body that still lies in the loop's buffer:
// if an upstream is free at once it goes out from there, with the head put in front of
// it, and is copied only as far as it may have to be sent again.
type loose struct {
	transaction *transaction // nil: there is none
	at          int          // of the buffer
	part        []byte
}

// takeLoose takes the part of data that belongs to a body by length; data begins
// with a head of n bytes.
func (l *loop) takeLoose(t *transaction, data []byte, n int) (used int) {
	used = int(min(t.left, int64(len(data)-n)))
	t.left -= int64(used)
	t.complete = t.left == 0
	part := data[n : n+used]
	if at := room + n; used > 0 && &data[0] == &l.buffer[room] && at >= len(t.request) {
		l.loose = loose{t, at, part}
	} else {
		t.request = append(t.request, part...)
	}
	return used
}

// pushLoose sends the head and what is loose with one call; false if nothing has
// been sent, and nothing is loose any more.
func (l *loop) pushLoose(t *transaction) bool {
	part, at, head := l.loose.part, l.loose.at, len(t.request)
	whole := l.buffer[at-head : at+len(part)]
	copy(whole, t.request)
	n, errno := send(t.upstream.fd, whole)
	if errno != 0 || n == 0 {
		l.keepLoose()
		return false
	}
	l.loose = loose{}
	t.wrote, t.sent = true, n
	t.onePiece = t.complete && n == len(whole) && n <= onePiece
	if t.onePiece || t.remembers(len(part)) {
		t.request = append(t.request, part...)
	} else {
		t.forgotten = true
		t.request, t.sent = append(t.request[:0], whole[n:]...), 0
	}
	if !t.flushed() {
		l.arm(&t.upstream.sock)
	}
	return true
}

// keepLoose copies what is loose and could not go out yet.
func (l *loop) keepLoose() {
	if t := l.loose.transaction; t != nil {
		t.request = append(t.request, l.loose.part...)
	}
	l.loose = loose{}
}
