package inspector

import (
	"fmt"
	"slices"
	"strings"
)

// refusal says why a program that was started with args (argv, the program
// first) and NODE_OPTIONS must not be looked into; "" when it may.
func refusal(args []string, options string) string {
	flags := slices.Concat(flagsOf(args), strings.Fields(options))
	for i, flag := range flags {
		name, value, _ := strings.Cut(strings.ReplaceAll(flag, "_", "-"), "=")
		if value == "" && i+1 < len(flags) {
			value = flags[i+1]
		}
		switch name {
		case "--inspect", "--inspect-brk", "--inspect-wait", "--inspect-port", "--debug-port":
			return fmt.Sprintf("it was started with %s, so its inspector is yours: use that, or take the option away", flag)
		case "--disable-sigusr1":
			return "it was started with --disable-sigusr1: take the option away"
		case "--permission", "--experimental-permission":
			return fmt.Sprintf("it was started with %s, which forbids the inspector", name)
		case "--heapsnapshot-signal", "--report-signal":
			if value == "SIGUSR1" {
				return fmt.Sprintf("it was started with %s=SIGUSR1, the signal that opens the inspector: choose SIGUSR2", name)
			}
		}
	}
	return ""
}

// flagsOf are the options of node itself: those before the script.
func flagsOf(args []string) []string {
	const valued = "-r --require --import --loader --experimental-loader -C --conditions --env-file --title"
	var flags []string
	for i := 1; i < len(args); i++ {
		value := slices.Contains(strings.Fields(valued), args[i-1])
		if args[i] == "--" || !value && !strings.HasPrefix(args[i], "-") {
			break
		}
		flags = append(flags, args[i])
	}
	return flags
}
