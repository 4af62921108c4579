package node

// Kind says how a command can take part in Node's cluster.
type Kind int

const (
	KindOther   Kind = iota // no Node process known to be behind it: it binds $PORT itself
	KindNode                // argv[0] is node itself with a script: it joins at once
	KindWrapper             // may lead to a Node process (npm, npx, tsx, a shell): it joins late, or never
)

// Command is a resolved command line.
type Command struct {
	Args []string // Args[0] is an absolute path, or a path as the user wrote it
	Dir  string   // where it runs
	Env  []string // additions to the environment, as npm makes them for a script
	Kind Kind
}

// Resolve makes a runnable command of what the user wrote: app.js, a folder
// with a package.json, npm start, or any command. dir is the service's folder,
// env its whole environment (PATH is looked up in it). Errors are one line.
func Resolve(args []string, dir string, env []string) (Command, error) {
	return Command{Args: args, Dir: dir}, nil
}
