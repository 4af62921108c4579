package logs

import (
	"bytes"
	"context"
	"io"
	"testing"
)

// BenchmarkFlood is how fast a worker may write while nobody keeps up with it.
func BenchmarkFlood(b *testing.B) {
	chunk := bytes.Repeat([]byte("a line of a worker that floods, some eighty characters long, over and over again\n"), 1<<20/83)
	for _, followed := range []bool{false, true} {
		b.Run(map[bool]string{false: "unwatched", true: "followed"}[followed], func(b *testing.B) {
			s, err := Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if followed {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				lines := s.Follow(ctx)
				go func() {
					for range lines {
					}
				}()
			}
			b.SetBytes(int64(len(chunk)))
			parts := make([]io.Reader, b.N)
			for i := range parts {
				parts[i] = bytes.NewReader(chunk)
			}
			b.ResetTimer()
			s.Capture("app.1", Stdout, Limits{}, io.NopCloser(io.MultiReader(parts...)))()
		})
	}
}
