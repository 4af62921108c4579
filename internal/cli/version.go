package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const version = "0.1.0"

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of bulsa",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return p.version() },
	}
}

func (p *program) version() error {
	_, err := fmt.Fprintf(p.stdout, "bulsa %s%s %s/%s %s\n", version, revision(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}

// revision is the commit that this program was built from, where the build knows it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	const short = 12
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= short {
			return " (" + s.Value[:short] + ")"
		}
	}
	return ""
}
