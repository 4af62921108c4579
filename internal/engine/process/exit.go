package process

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"bulsa/internal/engine"
)

// lastLines is how far up the output an error is looked for.
const lastLines = 40

// maxCause is the most of a last line that is shown as a cause, in bytes.
const maxCause = 200

// oomCounter tells out-of-memory kills apart from other SIGKILLs, as well as
// the kernel lets it: it counts kills, and does not name the killed.
type oomCounter struct {
	mu       sync.Mutex
	consumed int // kills that were put down to some run already
}

// blame reports whether a run that began when the count was before, and was
// ended by SIGKILL when it was now, is to be counted among the kernel's victims.
func (c *oomCounter) blame(before, now int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.consumed = max(c.consumed, before)
	if now <= c.consumed {
		return false
	}
	c.consumed++
	return true
}

// exit says how the run ended.
func (r *run) exit(status syscall.WaitStatus, oomBefore int) engine.Exit {
	r.mu.Lock()
	killed, voluntary, refusal := r.killed, r.voluntary, r.refusal
	r.mu.Unlock()
	x := engine.Exit{Code: status.ExitStatus(), Voluntary: voluntary}
	if status.Signaled() {
		x.Code, x.Signal = -1, engine.SignalName(status.Signal())
		if status.Signal() == syscall.SIGKILL && !killed {
			x.OOM = r.engine.oom.blame(oomBefore, oomKills())
		}
	}
	if x.Code > 0 && refusal != "" {
		x.Cause = refusal
	} else if x.Code != 0 && r.engine.cfg.Logs != nil {
		last := r.lastWords()
		x.Cause = cause(last)
		if inUse(last) && !r.launch.Alone {
			x.Cause = cmp.Or(r.collision(portIn(last)), x.Cause)
		}
	}
	return x
}

// lastWords is the line of the output that tells most about the end. Programs
// print more after the error itself (Node: where it was emitted, its fields), so
// an error's own line is looked for a little further up; the fields of one that
// has no such line are better than nothing.
func (r *run) lastWords() string {
	last := r.engine.cfg.Logs.Last(r.launch.Worker)
	named := regexp.MustCompile(`^\W*[\w.]*(Error|Exception)( \[\w+\])?: `)
	if named.MatchString(last) {
		return last
	}
	lines, err := r.engine.cfg.Logs.Tail(lastLines, r.launch.Worker)
	if err != nil {
		return last
	}
	for _, l := range slices.Backward(lines) {
		if l.At.Before(r.began) {
			break
		}
		if named.MatchString(l.Text) {
			return l.Text
		}
		if inUse(l.Text) && !inUse(last) {
			last = l.Text
		}
	}
	return last
}

// cause makes the last line of the output a cause, if it looks like one.
func cause(last string) string {
	if !tellsError(last) {
		return ""
	}
	return cut(strings.TrimSpace(last), maxCause)
}

func inUse(line string) bool {
	return strings.Contains(line, "EADDRINUSE") || strings.Contains(strings.ToLower(line), "address already in use")
}

// portIn reads the port of a line as Node ("... in use :::3000") and Go
// ("listen tcp :8000: bind: ...") write it; 0 when it names none. The time of day
// that a logger puts in front is none.
func portIn(line string) int {
	line = regexp.MustCompile(`\b\d{1,2}:\d{2}:\d{2}\b`).ReplaceAllString(line, "")
	all := regexp.MustCompile(`:(\d{2,5})\b`).FindAllStringSubmatch(line, -1)
	if len(all) == 0 {
		return 0
	}
	port, _ := strconv.Atoi(all[len(all)-1][1])
	return port
}

func tellsError(line string) bool {
	line = strings.ToLower(line)
	for _, word := range []string{
		"error", "exception", "fatal", "panic", "cannot", "can't", "could not", "fail", "denied",
		"not found", "no such", "in use", "refused", "invalid", "unexpected", "missing", "abort", "killed", "unable",
	} {
		if strings.Contains(line, word) {
			return true
		}
	}
	return false
}

// cut shortens s to n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
