package client

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"bulsa/internal/api"
)

// standingTime is after what time without an answer a command looks whether the project's
// process stands still.
const standingTime = 500 * time.Millisecond

// StandsStill is the error about a project whose process was stopped by a signal.
type StandsStill struct {
	Project string
	PID     int
}

func (e *StandsStill) Error() string {
	return fmt.Sprintf("project %q stands still: its bulsa (pid %d) was stopped, by Ctrl-Z or SIGSTOP; let it go on with fg, or kill -CONT %d", e.Project, e.PID, e.PID)
}

// answering is ctx that ends early, with the cause, when the project's process is found to
// stand still before look is stopped.
func (c *Client) answering(ctx context.Context) (answering context.Context, look *time.Timer, cancel func()) {
	ctx, end := context.WithCancelCause(ctx)
	look = time.AfterFunc(standingTime, func() {
		if err := c.standsStill(); err != nil {
			end(err)
		}
	})
	return ctx, look, func() { end(nil) }
}

// standsStill reports a process that is stopped (state T or t in proc_pid_stat(5)); nil
// where the system does not tell.
func (c *Client) standsStill() error {
	b, err := os.ReadFile(filepath.Join(api.RuntimeDir(c.project), "lock"))
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return nil
	}
	if state := processState(pid); state == "T" || state == "t" {
		return &StandsStill{Project: c.project, PID: pid}
	}
	return nil
}

// processState is the letter for what a process does; "" where nobody tells.
func processState(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, fields, _ := strings.Cut(string(stat), ") ") // behind a name that may hold anything
	state, _, _ := strings.Cut(fields, " ")
	return state
}
