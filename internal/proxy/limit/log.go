package limit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Log writes at most a few lines a second and then says how many it left
// out: a failing service must not fill the disk.
type Log struct {
	Out        *slog.Logger
	mu         sync.Mutex
	second     time.Time
	lines      int
	suppressed int
}

const linesPerSecond = 5

// Warn writes a line, if one may still be written in this second.
func (l *Log) Warn(text string, args ...any) {
	suppressed, ok := l.allow(time.Now())
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	l.Out.Log(context.Background(), slog.LevelWarn, text, args...)
}

func (l *Log) allow(now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.second) >= time.Second {
		suppressed, l.suppressed = l.suppressed, 0
		l.second, l.lines = now, 0
	}
	l.lines++
	if l.lines > linesPerSecond {
		l.suppressed++
		return 0, false
	}
	return suppressed, true
}
