// Command bulsa keeps services alive; see package cli.
package main

import (
	"os"

	"bulsa/internal/cli"
	"bulsa/internal/daemon"
)

func main() {
	command := append(os.Args[1:], "")[0]
	switch command {
	case "__exec":
		os.Exit(daemon.ExecShim(os.Args[2:]))
	case "__guard":
		os.Exit(daemon.Guard(os.Args[2:]))
	}
	os.Exit(cli.Main(os.Args[1:]))
}
