// Command bulsa keeps services alive; see package cli.
package main

import (
	"os"

	"bulsa/internal/cli"
	"bulsa/internal/daemon"
	"bulsa/internal/shim"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == shim.GuardArgument {
		os.Exit(daemon.Guard(os.Args[2:]))
	}
	os.Exit(cli.Main(os.Args[1:]))
}
