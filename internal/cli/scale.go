package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
	"bulsa/internal/spec"
)

func (p *program) scaleCommand() *cobra.Command {
	var limit waitFlag
	cmd := &cobra.Command{
		Use:   "scale [flags] SERVICE=N...",
		Short: "Set the number of workers of services",
		Long: "Set the number of workers of services, and return when they are ready, or gone.\n" +
			"Several services are scaled all or, where one of them cannot be, not at all.",
		Example:           "  bulsa scale app=4\n  bulsa scale app=+1 job=-2    # one more, two fewer",
		Args:              someArgs("SERVICE=N, as in bulsa scale app=4"),
		ValidArgsFunction: p.completeScale,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.scale(cmd.Context(), args, time.Duration(limit))
		},
	}
	p.addGlobals(cmd)
	addWaitFlag(cmd, &limit)
	return cmd
}

func (p *program) scale(ctx context.Context, args []string, limit time.Duration) error {
	if meant := likeScale(args); meant != "" {
		return usage("%q is not SERVICE=N: %s", strings.Join(args, " "), meant)
	}
	scales, names := make([]api.Scale, 0, len(args)), make([]string, 0, len(args))
	for _, arg := range args {
		one, err := parseScale(arg)
		if err != nil {
			return usage("%w", err)
		}
		for _, name := range names {
			if name == one.Service {
				return usage("service %s is named twice", name)
			}
		}
		scales, names = append(scales, one), append(names, one.Service)
	}
	c, err := p.target(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	message := ""
	w := wait{what: "the scaling of " + strings.Join(names, ", "), names: names, limit: limit}
	err = p.await(ctx, c, w, func(ctx context.Context) (err error) {
		message, err = c.Scale(ctx, scales, true)
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, message)
	return err
}

// parseScale reads SERVICE=N, SERVICE=+N and SERVICE=-N.
func parseScale(text string) (api.Scale, error) {
	service, number, found := strings.Cut(text, "=")
	if !found || service == "" {
		return api.Scale{}, fmt.Errorf("%q is not SERVICE=N, as in app=4", text)
	}
	relative := strings.HasPrefix(number, "+") || strings.HasPrefix(number, "-")
	n, err := strconv.Atoi(number)
	if err != nil || n < -spec.MaxReplicas || n > spec.MaxReplicas {
		return api.Scale{}, fmt.Errorf("%q is not SERVICE=N: %q is not a number from 0 to %d, nor one with + or - in front", text, number, spec.MaxReplicas)
	}
	if relative {
		return api.Scale{Service: service, By: &n}, nil
	}
	return api.Scale{Service: service, Replicas: &n}, nil
}
