package cli

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"bulsa/internal/compose"
	"bulsa/internal/spec"
)

// configOptions are the flags of config: without any of the lists, all is shown.
type configOptions struct {
	format   string
	output   string
	quiet    bool
	hash     string
	services bool
	images   bool
	volumes  bool
	networks bool
}

func (p *program) configCommand() *cobra.Command {
	o := configOptions{format: "yaml"}
	cmd := &cobra.Command{
		Use:   "config [flags] [SERVICE...]",
		Short: "Show the configuration as it is understood, with warnings",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.config(cmd.Context(), o, args)
		},
	}
	p.addGlobals(cmd)
	f := cmd.Flags()
	f.StringVar(&o.format, "format", o.format, "`FORMAT`: yaml or json")
	f.StringVarP(&o.output, "output", "o", "", "write it to a `FILE`")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "only say what is wrong")
	f.StringVar(&o.hash, "hash", "", "the digests of services, `SERVICE` or * for all: another one means that workers are replaced")
	f.BoolVar(&o.services, "services", false, "the names of services alone")
	f.BoolVar(&o.images, "images", false, "the names of images alone")
	f.BoolVar(&o.volumes, "volumes", false, "the names of volumes alone")
	f.BoolVar(&o.networks, "networks", false, "the names of networks alone")
	return cmd
}

func (p *program) config(ctx context.Context, o configOptions, services []string) error {
	if err := checkFormat(o.format, "yaml", "json"); err != nil {
		return err
	}
	project, warnings, err := p.loadOwn(ctx, services)
	if err != nil {
		return err
	}
	lines, listed, err := o.list(project)
	if err != nil {
		return err
	}
	if listed {
		for _, line := range lines {
			fmt.Fprintln(p.stdout, line)
		}
		return nil
	}
	p.warn(warnings)
	text, err := compose.Render(project, o.format)
	if err != nil || o.quiet {
		return err
	}
	if o.output != "" {
		if err := os.WriteFile(o.output, text, 0o644); err != nil {
			return fmt.Errorf("cannot write %s: %s", o.output, reason(err))
		}
		return nil
	}
	_, err = p.stdout.Write(text)
	return err
}

// list is what a flag asks for in place of the whole.
func (o configOptions) list(p spec.Project) (lines []string, asked bool, err error) {
	add := func(line string) {
		if line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	for _, s := range p.Services {
		if o.hash == "*" || o.hash == s.Name {
			add(s.Name + " " + s.Digest())
		}
		if o.services {
			add(s.Name)
		}
		if s.Container == nil {
			continue
		}
		if o.images {
			add(s.Container.Image)
		}
		for _, m := range s.Container.Mounts {
			if o.volumes && m.Type == "volume" {
				add(m.Key)
			}
		}
		for _, n := range s.Container.Network.Networks {
			if o.networks {
				add(n.Key)
			}
		}
	}
	if o.hash != "" && o.hash != "*" && len(lines) == 0 {
		return nil, true, usage("--hash: there is no service %q", o.hash)
	}
	return lines, o.services || o.images || o.volumes || o.networks || o.hash != "", nil
}
