package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
)

// completionTime is how long a shell waits for names.
const completionTime = time.Second

func (p *program) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Print a completion script for bash, zsh, fish or powershell",
		Example:   "  source <(bulsa completion bash)",
		ValidArgs: shells,
		Args:      oneArg("a shell: " + strings.Join(shells, ", ")),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(p.stdout, true)
			case "zsh":
				return root.GenZshCompletion(p.stdout)
			case "fish":
				return root.GenFishCompletion(p.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(p.stdout)
			}
			return usage("completion: no shell %q; there are: %s", args[0], strings.Join(shells, ", "))
		},
	}
}

// completeNames offers services and workers that were not named yet.
func (p *program) completeNames(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	project := p.forCompletion(cmd.Context())
	return without(append(project.ServiceNames(), project.WorkerNames()...), args), cobra.ShellCompDirectiveNoFileComp
}

func (p *program) completeWorkers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return without(p.forCompletion(cmd.Context()).WorkerNames(), args), cobra.ShellCompDirectiveNoFileComp
}

func (p *program) completeServices(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.forCompletion(cmd.Context()).ServiceNames(), cobra.ShellCompDirectiveNoFileComp
}

func (p *program) completeScale(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []string
	for _, name := range p.forCompletion(cmd.Context()).ServiceNames() {
		names = append(names, name+"=")
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// forCompletion is the running project; an empty one where there is none.
func (p *program) forCompletion(ctx context.Context) api.Project {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	c, err := p.target(ctx)
	if err != nil {
		return api.Project{}
	}
	defer c.Close()
	project, err := c.Project(ctx)
	if err != nil {
		return api.Project{}
	}
	return project
}

func without(names, used []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(used, name) })
}
