package compose

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// files are the configuration files of a project, read, and its folder.
type files struct {
	dir   string
	files []types.ConfigFile
}

func (f files) names() []string {
	var names []string
	for _, file := range f.files {
		names = append(names, file.Filename)
	}
	return names
}

// find reads the files that were named, else those of COMPOSE_FILE, else the
// first folder from Dir upwards that has one. The project's folder is the one
// of the first file.
func find(o Options) (files, error) {
	names := o.Files
	if len(names) == 0 {
		names = fromEnvironment(o.Environ)
	}
	if len(names) == 0 {
		var err error
		if names, err = discover(o.Dir); err != nil {
			return files{}, err
		}
	}
	found := files{dir: o.Dir}
	for i, name := range names {
		file, err := read(o, name)
		if err != nil {
			return files{}, err
		}
		if i == 0 && name != "-" {
			found.dir = filepath.Dir(file.Filename)
		}
		found.files = append(found.files, file)
	}
	return found, nil
}

// fromEnvironment is Compose's COMPOSE_FILE, a list like PATH.
func fromEnvironment(environ []string) []string {
	env := spec.Environment(environ)
	separator := env["COMPOSE_PATH_SEPARATOR"]
	if separator == "" {
		separator = string(filepath.ListSeparator)
	}
	var names []string
	for _, name := range strings.Split(env["COMPOSE_FILE"], separator) {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
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

func read(o Options, name string) (types.ConfigFile, error) {
	if name == "-" && o.Stdin != nil {
		content, err := io.ReadAll(o.Stdin)
		if err != nil {
			return types.ConfigFile{}, &spec.Problem{Where: "standard input", What: err.Error()}
		}
		return types.ConfigFile{Filename: "-", Content: content}, nil
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(o.Dir, path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return types.ConfigFile{}, &spec.Problem{Where: name, What: "cannot read the file: " + reason(err), Fix: "check the path"}
	}
	return types.ConfigFile{Filename: path, Content: content}, nil
}

// reason is the last part of a file error: the path is named already.
func reason(err error) string {
	text := err.Error()
	return strings.TrimSpace(text[strings.LastIndex(text, ": ")+1:])
}

// interpolationEnvironment is Environ over the .env file of the project's folder.
func interpolationEnvironment(environ []string, dir string) (types.Mapping, error) {
	env := types.Mapping(spec.Environment(environ))
	name := filepath.Join(dir, ".env")
	if !isFile(name) || isTrue(env["COMPOSE_DISABLE_ENV_FILE"]) {
		return env, nil
	}
	values, err := dotenv.GetEnvFromFile(env, []string{name})
	if err != nil {
		return nil, envFileProblem(name, err)
	}
	env.Merge(values)
	return env, nil
}

func isTrue(text string) bool {
	return text == "1" || strings.EqualFold(text, "true")
}

// envFileProblem takes the line out of dotenv's text.
func envFileProblem(name string, err error) error {
	where, what := name, strings.TrimSpace(err.Error())
	if m := regexp.MustCompile(`line (\d+): (.*)`).FindStringSubmatch(what); m != nil {
		where, what = fmt.Sprintf("%s:%s", name, m[1]), m[2]
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
