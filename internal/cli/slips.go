package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bulsa/internal/api"
)

// flagError says what is wrong with a flag in bulsa's words: those of who reads
// numbers are no help, and a flag of PM2's or kill's has another name here.
func flagError(cmd *cobra.Command, err error) error {
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		if _, number := errors.AsType[*strconv.NumError](err); number {
			what := "a number"
			if wrong.GetFlag().Value.Type() == "bool" {
				what = "true or false"
			}
			return usage("--%s: %q is not %s", wrong.GetFlag().Name, wrong.GetValue(), what)
		}
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if answer := foreignFlag(cmd.Name(), unknown.GetSpecifiedName()); answer != "" {
			return usage("%w: %s", err, answer)
		}
	}
	return usage("%w; see %s --help", err, cmd.CommandPath())
}

// foreignFlag is what to type in place of a flag that PM2 or kill(1) has.
func foreignFlag(command, flag string) string {
	switch command + " " + flag {
	case "run i", "run instances":
		return "bulsa run -w N FILE runs N workers"
	case "start i", "start instances", "start n", "start name":
		return "start is for services that were stopped; bulsa run -d -w N FILE runs a program"
	case "logs lines":
		return "bulsa logs --tail N shows the last N lines of each worker"
	case "logs err", "logs out":
		return "bulsa logs shows standard output and standard error together"
	}
	if _, err := strconv.Atoi(flag); err == nil && command == "kill" {
		return fmt.Sprintf("bulsa kill -s %s NAME sends that signal", flag)
	}
	return ""
}

// saysAll is the answer to PM2's word for all services, where no service has that name.
func saysAll(command string, args []string, project api.Project) error {
	if slices.Contains(args, "all") && !slices.Contains(project.ServiceNames(), "all") {
		return usage("there is no service all: bulsa %s without a name means all of them", command)
	}
	return nil
}

// likeScale is what was meant by words that are not SERVICE=N; "" where that is not clear.
func likeScale(args []string) string {
	isNumber := func(text string) bool { _, err := strconv.Atoi(text); return err == nil }
	switch {
	case len(args) == 1 && isNumber(args[0]):
		return "name the service, as in bulsa scale app=" + args[0]
	case len(args) == 2 && isNumber(args[1]) && !strings.Contains(args[0], "="):
		return fmt.Sprintf("write bulsa scale %s=%s", args[0], args[1])
	}
	return ""
}
