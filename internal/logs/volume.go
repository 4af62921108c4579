package logs

// Volume is what came from a worker since the store was opened.
type Volume struct {
	Bytes uint64 // of its lines, with their ends
	Lost  uint64 // lines that could not be kept
}

// Volume returns how much a worker has written.
func (s *Store) Volume(worker string) Volume {
	k := s.known(worker)
	if k == nil {
		return Volume{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.volume
}
