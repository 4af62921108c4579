package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// noArgs, someArgs and oneArg are the counts of arguments in words that help.

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no argument, got %q", args[0])
	}
	return nil
}

func someArgs(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("needs " + what)
		}
		return nil
	}
}

func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("needs %s, got %d arguments", what, len(args))
		}
		return nil
	}
}
