package inspector

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// HeapSnapshot writes a snapshot of the heap to w as Chrome DevTools reads it
// (.heapsnapshot), piece by piece. The program stands still meanwhile, about a
// second for 100 MB, and needs about as much memory again. It waits for a loop
// that is blocked.
func (s *Session) HeapSnapshot(ctx context.Context, w io.Writer) error {
	var failed error
	s.conn.on = func(method string, params []byte) {
		if method != "HeapProfiler.addHeapSnapshotChunk" || failed != nil {
			return
		}
		var piece struct {
			Chunk string `json:"chunk"`
		}
		if failed = json.Unmarshal(params, &piece); failed == nil {
			_, failed = io.WriteString(w, piece.Chunk)
		}
	}
	defer func() { s.conn.on = nil }()
	err := s.conn.call(ctx, "HeapProfiler.takeHeapSnapshot", map[string]any{"reportProgress": false}, nil)
	if failed != nil {
		return fmt.Errorf("cannot write the heap snapshot: %w", failed)
	}
	return err
}
