package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"gopkg.in/natefinch/lumberjack.v2"

	"bulsa/internal/api"
)

const daemonName = "__daemon"

// Descriptors that begin gives to a detached bulsa.
const (
	launchFD  = 3
	outcomeFD = 4
)

// maxDaemonLog is the size in MB at which a detached bulsa's own log is rotated;
// one old file is kept.
const maxDaemonLog = 1

// detachedCommand is the detached bulsa; only detach starts it.
func (p *program) detachedCommand() *cobra.Command {
	return &cobra.Command{
		Use:    daemonName,
		Hidden: true,
		Args:   noArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return p.detached(cmd.Context()) },
	}
}

func (p *program) detached(ctx context.Context) error {
	l, status, err := inherited()
	if err != nil {
		return err
	}
	// Workers' output is kept in their own logs; this one has bulsa's words only.
	p.stdout = nil
	p.stderr = &lumberjack.Logger{Filename: api.DaemonLog(l.Project.Name), MaxSize: maxDaemonLog, MaxBackups: 1}
	var once sync.Once
	tell := func(o outcome) {
		once.Do(func() {
			if err := json.NewEncoder(status).Encode(o); err != nil {
				fmt.Fprintf(p.stderr, "bulsa: nobody waits for the start any more: %v\n", err)
			}
			status.Close()
		})
	}
	err = p.foreground(ctx, l, func() { tell(outcome{Ready: true}) })
	if err != nil {
		tell(outcome{Status: exitCode(err), Error: err.Error()})
		return err
	}
	tell(outcome{Ready: true}) // it completed before it was ever seen ready
	return nil
}

// inherited reads the launch and opens the way back to the one who waits.
func inherited() (l launch, status *os.File, err error) {
	// Workers must not hold the pipes open.
	syscall.CloseOnExec(launchFD)
	syscall.CloseOnExec(outcomeFD)
	config, status := os.NewFile(launchFD, "launch"), os.NewFile(outcomeFD, "outcome")
	if config != nil && status != nil {
		err = json.NewDecoder(config).Decode(&l)
		config.Close()
	}
	if config == nil || status == nil || err != nil {
		return launch{}, nil, usage("%s is for bulsa's own use: run bulsa up -d or bulsa run -d", daemonName)
	}
	return l, status, nil
}
