package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
)

const daemonName = "__daemon"

// Descriptors that begin gives to a detached bulsa.
const (
	launchFD  = 3
	outcomeFD = 4
)

// daemonCommand is the detached bulsa; only detach starts it.
func (p *program) daemonCommand() *cobra.Command {
	return &cobra.Command{
		Use:    daemonName,
		Hidden: true,
		Args:   noArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return p.detached(cmd.Context()) },
	}
}

func (p *program) detached(ctx context.Context) error {
	// Workers must not hold the pipes open.
	syscall.CloseOnExec(launchFD)
	syscall.CloseOnExec(outcomeFD)
	config, status := os.NewFile(launchFD, "launch"), os.NewFile(outcomeFD, "outcome")
	if config == nil || status == nil {
		return usage("%s is for bulsa's own use: run bulsa up -d or bulsa run -d", daemonName)
	}
	var l launch
	err := json.NewDecoder(config).Decode(&l)
	config.Close()
	if err != nil {
		return usage("%s is for bulsa's own use: run bulsa up -d or bulsa run -d", daemonName)
	}
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
