package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

func (p *program) pullCommand() *cobra.Command {
	quiet := false
	cmd := &cobra.Command{
		Use:   "pull [flags] [SERVICE...]",
		Short: "Pull the images of containers again",
		RunE: func(cmd *cobra.Command, args []string) error {
			project, err := p.containersOf(cmd.Context(), args)
			if err != nil {
				return err
			}
			return daemon.Pull(cmd.Context(), project, p.progressOf(quiet))
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "no progress")
	return cmd
}

func (p *program) buildCommand() *cobra.Command {
	quiet, noCache, pull := false, false, false
	var args []string
	cmd := &cobra.Command{
		Use:   "build [flags] [SERVICE...]",
		Short: "Build the images of containers",
		RunE: func(cmd *cobra.Command, services []string) error {
			project, err := p.containersOf(cmd.Context(), services)
			if err != nil {
				return err
			}
			given, err := environmentOf(args)
			if err != nil {
				return err
			}
			for _, s := range project.Services {
				if s.Container.Build == nil {
					continue
				}
				b := *s.Container.Build
				b.NoCache, b.Pull = b.NoCache || noCache, b.Pull || pull
				b.Args = spec.Environment(spec.Inherit(given, spec.SortEnvironment(b.Args)))
				s.Container.Build = &b
			}
			return daemon.Build(cmd.Context(), project, p.progressOf(quiet))
		},
	}
	p.addGlobals(cmd)
	f := cmd.Flags()
	f.BoolVarP(&quiet, "quiet", "q", false, "no progress")
	f.BoolVar(&noCache, "no-cache", false, "use nothing that was built before")
	f.BoolVar(&pull, "pull", false, "pull newer base images")
	f.StringArrayVar(&args, "build-arg", nil, "set a build argument, `KEY=VALUE`")
	return cmd
}

func (p *program) imagesCommand() *cobra.Command {
	quiet, format := false, "table"
	cmd := &cobra.Command{
		Use:   "images [flags] [SERVICE...]",
		Short: "List the images of containers",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, "table", "json"); err != nil {
				return err
			}
			project, err := p.containersOf(cmd.Context(), args)
			if err != nil {
				return err
			}
			images, err := daemon.ImagesOf(cmd.Context(), project)
			if err != nil {
				return err
			}
			return p.showImages(images, quiet, format)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "their ids alone")
	cmd.Flags().StringVar(&format, "format", format, "`FORMAT`: table or json")
	return cmd
}

func (p *program) showImages(images []daemon.Image, quiet bool, format string) error {
	if format == "json" {
		return p.printJSON(images)
	}
	rows := [][]string{{"SERVICE", "IMAGE", "IMAGE ID", "SIZE", "CREATED"}}
	for _, i := range images {
		id := strings.TrimPrefix(i.ID, "sha256:")
		if quiet {
			if id != "" {
				fmt.Fprintln(p.stdout, id)
			}
			continue
		}
		if i.ID == "" {
			rows = append(rows, []string{i.Service, i.Name, "-", "-", "-"})
			continue
		}
		rows = append(rows, []string{i.Service, i.Name, id[:min(12, len(id))], size(i.Size), i.Created.Format("2006-01-02 15:04")})
	}
	if quiet {
		return nil
	}
	_, err := fmt.Fprint(p.stdout, tableOf(rows))
	return err
}

// containersOf is the project with the services that are containers, of those named.
func (p *program) containersOf(ctx context.Context, names []string) (spec.Project, error) {
	project, warnings, err := p.loadOwn(ctx, names)
	if err != nil {
		return spec.Project{}, err
	}
	p.warn(warnings)
	project.Services = slices.DeleteFunc(project.Services, func(s spec.Service) bool {
		return s.Container == nil || len(names) > 0 && !slices.Contains(names, s.Name)
	})
	return project, nil
}

// tableOf aligns rows, the first of which are the titles.
func tableOf(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, text := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, text := range row {
			line += fmt.Sprintf("%-*s", widths[i]+len(gap), text)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
