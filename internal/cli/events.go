package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
	"bulsa/internal/daemon"
)

func (p *program) eventsCommand() *cobra.Command {
	follow, format := false, "text"
	cmd := &cobra.Command{
		Use:   "events [flags]",
		Short: "Show what happened to services and workers, and why",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.events(cmd.Context(), follow, format)
		},
	}
	p.addProjectFlags(cmd, "")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new events until Ctrl-C")
	cmd.Flags().StringVar(&format, "format", format, "`FORMAT`: text, or json for one object a line")
	cmd.Flags().BoolFunc("json", "as --format json", func(string) error { format = "json"; return nil })
	return cmd
}

func (p *program) events(ctx context.Context, follow bool, format string) error {
	if err := checkFormat(format, "text", "json"); err != nil {
		return err
	}
	encoder := json.NewEncoder(p.stdout)
	encoder.SetEscapeHTML(false)
	show := func(e api.Event) error {
		if format == "json" {
			return encoder.Encode(e)
		}
		_, err := fmt.Fprintln(p.stdout, eventText(e))
		return err
	}
	c, err := p.target(ctx)
	if err != nil {
		if k, there := p.ended(ctx, err); there && !follow {
			return p.keptEvents(k, show)
		}
		return err
	}
	defer c.Close()
	ctx, cancel := whileRead(ctx, p.stdout)
	defer cancel()
	return c.Events(ctx, follow, show)
}

// keptEvents shows the events of a project that does not run.
func (p *program) keptEvents(k daemon.Kept, show func(api.Event) error) error {
	events, err := k.Events()
	if err != nil {
		return fmt.Errorf("cannot read the events of project %s: %w", k.Name, err)
	}
	p.sayKept(k)
	for _, e := range events {
		if err := show(e); err != nil {
			return err
		}
	}
	return nil
}

// eventText is an event as one line.
func eventText(e api.Event) string {
	who := e.Worker
	if who == "" {
		who = e.Service
	}
	line := e.At.Format("2006-01-02T15:04:05.000Z07:00") + "  "
	if who != "" {
		line += who + "  "
	}
	line += e.Kind
	if e.Message != "" && e.Message != e.Kind {
		line += ": " + oneLine(e.Message)
	}
	if e.Cause != "" && e.Cause != e.Message {
		line += " (" + oneLine(e.Cause) + ")"
	}
	return line
}
