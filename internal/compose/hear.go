package compose

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/cli/pkg/kvfile"
	"github.com/sirupsen/logrus"

	"bulsa/internal/spec"
)

// loading lets one load at a time speak: compose-go has no other way to warn than
// logrus's global logger, and keeps the formats of env files in a global map.
var loading sync.Mutex

// listening returns what compose-go logs while work runs.
func listening(work func() error) (said []string, err error) {
	loading.Lock()
	defer loading.Unlock()
	dotenv.RegisterFormat("raw", rawFormat)
	logrus.SetOutput(io.Discard)
	log := logrus.StandardLogger()
	ear := &ear{}
	before := log.ReplaceHooks(logrus.LevelHooks{logrus.WarnLevel: {ear}, logrus.ErrorLevel: {ear}})
	defer log.ReplaceHooks(before)
	err = work()
	return ear.said, err
}

// ear is a hook of logrus that keeps what is said.
type ear struct{ said []string }

func (e *ear) Levels() []logrus.Level { return []logrus.Level{logrus.WarnLevel, logrus.ErrorLevel} }

func (e *ear) Fire(entry *logrus.Entry) error {
	e.said = append(e.said, entry.Message)
	return nil
}

// rawFormat is env_file's format: raw, which Compose reads as docker run does: no
// quotes, no variables.
func rawFormat(r io.Reader, filename string, vars map[string]string, lookup func(string) (string, bool)) error {
	lines, err := kvfile.ParseFromReader(r, lookup)
	if err != nil {
		return fmt.Errorf("failed to read %s: %w", filename, err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	return nil
}

// servicesEnvFiles are the env files of the services of a model.
func servicesEnvFiles(model *types.Project) []string {
	var names []string
	for _, s := range model.Services {
		for _, file := range s.EnvFiles {
			if file.Format == "" {
				names = append(names, file.Path)
			}
		}
	}
	slices.Sort(names)
	return names
}

// heard turns what compose-go has said into warnings with a place. Unset variables
// of the configuration files themselves are unsetVariables' business.
func (s *source) heard(said, envFiles []string) []spec.Warning {
	var warnings []spec.Warning
	for _, text := range said {
		var found []spec.Warning
		if m := regexp.MustCompile(`^The "(.*)" variable is not set`).FindStringSubmatch(text); m != nil {
			found = s.inEnvFiles(m[1], envFiles)
		} else {
			found = []spec.Warning{s.remark(text)}
		}
		for _, w := range found {
			if !slices.Contains(warnings, w) {
				warnings = append(warnings, w)
			}
		}
	}
	return warnings
}

// inEnvFiles warns of every value of an env file that loses a part because it asks for
// a variable that nobody has set: most often a password with a dollar sign.
func (s *source) inEnvFiles(variable string, envFiles []string) []spec.Warning {
	asks := regexp.MustCompile(`\$\{?` + regexp.QuoteMeta(variable) + `([^A-Za-z0-9_]|$)`)
	var warnings []spec.Warning
	for _, name := range envFiles {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // compose-go has read it
		}
		number := 0
		for line := range strings.Lines(string(content)) {
			number++
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			if strings.HasPrefix(key, "#") || strings.HasPrefix(value, "'") || !asks.MatchString(strings.ReplaceAll(value, "$$", "")) {
				continue
			}
			warnings = append(warnings, spec.Warning{
				Where:   position{file: shown(s.base, name), line: number}.String(),
				Message: fmt.Sprintf("the variable %s is not set and becomes empty in the value of %s; put the value in single quotes if the $ is a part of it", variable, strings.TrimPrefix(key, "export ")),
			})
		}
	}
	return warnings
}

// remark is what compose-go says, with the place that it names.
func (s *source) remark(text string) spec.Warning {
	if m := regexp.MustCompile("^(.*): the attribute `version` is obsolete").FindStringSubmatch(text); m != nil {
		file := shown(s.base, m[1])
		where := file
		if at, known := s.values["version"]; known && at.file == file {
			where = at.String()
		}
		return spec.Warning{Where: where, Message: "version is ignored: Compose files have no version any more; remove it"}
	}
	if m := regexp.MustCompile("^(\"[^\"]*\") for boolean .* use `(.*)`$").FindStringSubmatch(text); m != nil {
		return spec.Warning{Where: s.booleanWritten(strings.Trim(m[1], `"`)), Message: fmt.Sprintf("write %s instead of %s", m[2], m[1])}
	}
	if path, rest, found := strings.Cut(text, ": "); found && s.values[path] != (position{}) {
		return spec.Warning{Where: s.where(path), Message: rest}
	}
	return spec.Warning{Where: s.first, Message: strings.ReplaceAll(text, s.base+string(filepath.Separator), "")}
}

// booleanWritten is the first place where a word stands for true or false.
func (s *source) booleanWritten(word string) string {
	for _, sc := range s.scalars {
		if strings.EqualFold(sc.text, word) && slices.Contains(schemaTypes(sc.path), "true or false") {
			return sc.at.String()
		}
	}
	return s.first
}
