package compose

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// files are the configuration files of a project, read, and what surrounds them.
type files struct {
	dir      string // the project's folder
	files    []types.ConfigFile
	env      types.Mapping // for interpolation: bulsa's own environment above the env files
	envFiles []string      // that env was read from
	warnings []spec.Warning
}

func (f files) names() []string {
	var names []string
	for _, file := range f.files {
		names = append(names, file.Filename)
	}
	return names
}

// find reads the files that were named, else those of COMPOSE_FILE, else the
// first folder from the project's upwards that has one. As in Compose, the env
// files of the folder in which the search begins may say COMPOSE_FILE and the
// other COMPOSE_ variables, and .env beside the first configuration file, if that
// is elsewhere, adds what they leave open.
func find(o Options) (files, error) {
	found := files{dir: o.firstFolder(), env: types.Mapping(spec.Environment(o.Environ))}
	if _, set := found.env["PWD"]; !set {
		found.env["PWD"] = o.Dir
	}
	if err := found.readEnvFiles(o); err != nil {
		return files{}, err
	}
	names, by := o.Files, ""
	if len(names) == 0 {
		names, by = fromEnvironment(found.env), "COMPOSE_FILE"
	}
	if len(names) == 0 {
		var err error
		if names, err = discover(found.dir); err != nil {
			return files{}, err
		}
	}
	for i, name := range names {
		file, err := read(o, name, by)
		if err != nil {
			return files{}, err
		}
		if i == 0 && name != "-" && o.ProjectDir == "" {
			found.dir = filepath.Dir(file.Filename)
		}
		found.files = append(found.files, file)
	}
	return found, found.readEnvFiles(o)
}

// firstFolder is where the first env files are looked for: the project's folder,
// as far as it is known before COMPOSE_FILE is.
func (o Options) firstFolder() string {
	switch {
	case o.ProjectDir != "":
		return absolute(o.Dir, o.ProjectDir)
	case len(o.Files) > 0 && o.Files[0] != "-":
		return filepath.Dir(absolute(o.Dir, o.Files[0]))
	}
	return o.Dir
}

// fromEnvironment is Compose's COMPOSE_FILE, a list like PATH.
func fromEnvironment(env types.Mapping) []string {
	separator := cmp.Or(env["COMPOSE_PATH_SEPARATOR"], string(filepath.ListSeparator))
	return slices.DeleteFunc(strings.Split(env["COMPOSE_FILE"], separator), func(name string) bool { return name == "" })
}

// discover looks for a file from dir upwards, in the order of preference; an
// override file beside it is merged, as Compose does.
func discover(dir string) ([]string, error) {
	bases := []string{"bulsa.yaml", "bulsa.yml", "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
	for folder := dir; ; folder = filepath.Dir(folder) {
		for _, base := range bases {
			name := filepath.Join(folder, base)
			if !isFile(name) {
				continue
			}
			names := []string{name}
			stem := strings.TrimSuffix(base, filepath.Ext(base))
			for _, ext := range []string{".yml", ".yaml"} {
				if override := filepath.Join(folder, stem+".override"+ext); isFile(override) {
					return append(names, override), nil
				}
			}
			return names, nil
		}
		if folder == filepath.Dir(folder) {
			return nil, &spec.Problem{
				Where: dir,
				What:  "no configuration file here or in any folder above",
				Fix:   "write a bulsa.yaml or compose.yaml, or name a file with -f",
			}
		}
	}
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// read reads one configuration file; by is the variable that named it, if one did.
func read(o Options, name, by string) (types.ConfigFile, error) {
	if name == "-" && o.Stdin != nil {
		content, err := io.ReadAll(o.Stdin)
		if err != nil {
			return types.ConfigFile{}, &spec.Problem{Where: "standard input", What: err.Error()}
		}
		return types.ConfigFile{Filename: "-", Content: content}, nil
	}
	path := absolute(o.Dir, name)
	content, err := os.ReadFile(path)
	if err != nil {
		return types.ConfigFile{}, &spec.Problem{Where: name, What: "cannot read the file: " + reason(err), Fix: "check " + cmp.Or(by, "the path")}
	}
	return types.ConfigFile{Filename: path, Content: content}, nil
}

// reason is the last part of a file error: the path is named already.
func reason(err error) string {
	text := err.Error()
	return strings.TrimSpace(text[strings.LastIndex(text, ": ")+1:])
}

// readEnvFiles lays the environment above the env files: those that were named by
// --env-file or COMPOSE_ENV_FILES, else .env of the project's folder.
func (f *files) readEnvFiles(o Options) error {
	names := slices.Clone(o.EnvFiles)
	if len(names) == 0 {
		names = strings.FieldsFunc(spec.Environment(o.Environ)["COMPOSE_ENV_FILES"], func(r rune) bool { return r == ',' })
	}
	for i := range names {
		names[i] = absolute(o.Dir, names[i])
	}
	if len(names) == 0 {
		name, err := f.defaultEnvFile()
		if name == "" || err != nil {
			return err
		}
		names = []string{name}
	}
	if slices.Equal(names, f.envFiles) {
		return nil
	}
	values, err := dotenv.GetEnvFromFile(f.env, names)
	if err != nil {
		return envFileProblem(names, err)
	}
	f.env.Merge(values)
	f.envFiles = append(f.envFiles, names...)
	return nil
}

// defaultEnvFile is .env of the project's folder, if it is there and may be read.
func (f *files) defaultEnvFile() (string, error) {
	if text := f.env["COMPOSE_DISABLE_ENV_FILE"]; text != "" {
		disabled, err := strconv.ParseBool(text)
		if err != nil {
			return "", &spec.Problem{Where: "COMPOSE_DISABLE_ENV_FILE", What: fmt.Sprintf("%q is neither true nor false", text), Fix: "write true or false"}
		}
		if disabled {
			return "", nil
		}
	}
	name := filepath.Join(f.dir, ".env")
	if slices.Contains(f.envFiles, name) || !isFile(name) {
		return "", nil
	}
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrPermission) { // nobody has asked for it
		f.warnings = append(f.warnings, spec.Warning{Where: name, Message: "the file is ignored: it may not be read"})
		return "", nil
	}
	if err != nil {
		return "", &spec.Problem{Where: name, What: "cannot read the file: " + reason(err)}
	}
	return name, file.Close()
}

// envFileProblem takes the file and the line out of dotenv's text.
func envFileProblem(names []string, err error) error {
	where, what := names[0], strings.TrimSpace(err.Error())
	if m := regexp.MustCompile(`^failed to read (.*?): (?:line (\d+): )?(.*)$`).FindStringSubmatch(what); m != nil {
		where, what = m[1], m[3]
		if m[2] != "" {
			where += ":" + m[2]
		}
		return &spec.Problem{Where: where, What: what, Fix: "write KEY=VALUE lines"}
	}
	if _, missing, found := strings.Cut(what, "couldn't find env file: "); found {
		return &spec.Problem{Where: missing, What: "there is no such env file", Fix: "check --env-file or COMPOSE_ENV_FILES"}
	}
	return &spec.Problem{Where: where, What: what, Fix: "write KEY=VALUE lines"}
}

// projectName is Compose's order: the command line, COMPOSE_PROJECT_NAME,
// the file's name: (which compose-go takes when explicit is false), the folder.
func projectName(o Options, env types.Mapping, dir string) (name string, explicit bool) {
	if o.ProjectName != "" {
		return o.ProjectName, true
	}
	if name := env["COMPOSE_PROJECT_NAME"]; name != "" {
		return name, true
	}
	if name := loader.NormalizeProjectName(filepath.Base(dir)); name != "" {
		return name, false
	}
	return "app", false
}
