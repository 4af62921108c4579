package compose

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// explain turns an error of compose-go, which names a path or nothing and
// may have several lines, into one line with file:line. compose-go has no
// error types for these, so its texts are the only source; a text that is
// not known still becomes one line that names the file.
func (s *source) explain(err error) error {
	var p *spec.Problem
	if errors.As(err, &p) {
		return err
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	text = strings.ReplaceAll(text, s.base+string(filepath.Separator), "")
	text = regexp.MustCompile(`^validating .*?: `).ReplaceAllString(text, "")
	text = strings.TrimPrefix(text, "decoding failed due to the following error(s): ")
	for _, known := range []func(string) *spec.Problem{
		s.wholeFile, s.badEnvFile, s.unknownKey, s.notOneOf, s.badPattern, s.wrongType, s.missingVariable, s.badInterpolation, s.badValue, s.badSyntax, s.badPort, s.badProjectName, s.mentioned,
	} {
		if p := known(text); p != nil {
			return p
		}
	}
	return &spec.Problem{Where: s.first, What: text}
}

func (s *source) wholeFile(text string) *spec.Problem {
	switch text {
	case "empty compose file":
		return &spec.Problem{Where: s.first + ":1", What: "the file is empty", Fix: "add services:"}
	case "top-level object must be a mapping":
		return &spec.Problem{Where: s.first + ":1", What: "the file is not a mapping", Fix: "begin with services:"}
	}
	return nil
}

func (s *source) badEnvFile(text string) *spec.Problem {
	m := regexp.MustCompile(`^failed to read (.*): line (\d+): (.*)$`).FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	return &spec.Problem{Where: m[1] + ":" + m[2], What: m[3], Fix: "write KEY=VALUE lines"}
}

func (s *source) notOneOf(text string) *spec.Problem {
	m := regexp.MustCompile(`^(\S+) value must be (?:one of )?(.*)$`).FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	return &spec.Problem{Where: s.where(m[1]), What: m[1] + " has an unknown value", Fix: "use one of " + strings.ReplaceAll(m[2], "'", "")}
}

// badPattern reads what the schema says of a text of another form.
func (s *source) badPattern(text string) *spec.Problem {
	m := regexp.MustCompile(`^(\S+) '(.*)' does not match pattern '(.*)'$`).FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	fix := "write a text that matches " + m[3]
	if strings.HasSuffix(m[1], ".pull_policy") {
		fix = "use missing, always, never, build, daily, weekly or every_12h"
	}
	return &spec.Problem{Where: s.where(m[1]), What: fmt.Sprintf("%s: %q does not fit", m[1], m[2]), Fix: fix}
}

// unknownKey reads what the schema says of a key that it does not have.
func (s *source) unknownKey(text string) *spec.Problem {
	if m := regexp.MustCompile(`^(\S*) ?additional properties '([^']*)'.* not allowed$`).FindStringSubmatch(text); m != nil {
		return s.keyProblem(m[1], m[2])
	}
	if m := regexp.MustCompile(`^(\S+) (false schema|unevaluated properties not allowed)$`).FindStringSubmatch(text); m != nil {
		i := strings.LastIndexByte(m[1], '.')
		return s.keyProblem(m[1][:max(i, 0)], m[1][i+1:])
	}
	return nil
}

func (s *source) keyProblem(parent, key string) *spec.Problem {
	p := &spec.Problem{Where: s.where(join(parent, key)), What: fmt.Sprintf("unknown key %q", key)}
	if parent != "" {
		p.What += " in " + parent
	}
	if parent == "services" {
		p.What = fmt.Sprintf("%q is not a service name", key)
		p.Fix = "use letters, digits, dots, - and _"
		return p
	}
	if p.Fix = suggestion(key, schemaKeys(parent)); parent == "" {
		if old := s.firstVersion(); old != nil {
			return old
		}
		ofService := schemaKeys("services.any")
		if near := spec.Nearest(key, ofService); near != "" && spec.Nearest(key, schemaKeys("")) == "" {
			p.Fix = fmt.Sprintf("did you mean %q, below a service?", near)
		}
	}
	if before, _, found := strings.Cut(parent, "."); found && before == "services" && strings.Count(parent, ".") == 1 {
		p.Fix = serviceSuggestion(key, schemaKeys(parent))
	}
	return p
}

// wrongType: compose-go names only the first type that the schema allows.
func (s *source) wrongType(text string) *spec.Problem {
	m := regexp.MustCompile(`^(\S+) must be an? (.*)$`).FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	what := m[2]
	if kinds := schemaTypes(m[1]); len(kinds) > 0 {
		what = strings.Join(kinds, " or ")
	}
	return &spec.Problem{Where: s.where(m[1]), What: m[1] + " has the wrong type", Fix: "write " + what}
}

// missingVariable names the first one in the file of those that are missing: an error
// for each of them stands in the text, in any order.
func (s *source) missingVariable(text string) *spec.Problem {
	const begin = "error while interpolating "
	if !strings.HasPrefix(text, begin) {
		return nil
	}
	one := regexp.MustCompile(`^(\S+): required variable (\S+) is missing a value:? ?(.*)$`)
	var first *spec.Problem
	least := 0
	for _, part := range strings.Split(text, begin) {
		m := one.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			continue
		}
		what := fmt.Sprintf("the variable %s is required", m[2])
		if m[3] != "" {
			what += ": " + m[3]
		}
		if line := s.values[brackets(m[1])].line; first == nil || line < least {
			least = line
			first = &spec.Problem{Where: s.where(brackets(m[1])), What: what, Fix: "set it in the environment or in .env"}
		}
	}
	return first
}

func (s *source) badInterpolation(text string) *spec.Problem {
	if m := regexp.MustCompile(`^invalid interpolation format for (\S+)\. .*another \$\. ?(.*)$`).FindStringSubmatch(text); m != nil {
		return &spec.Problem{
			Where: s.where(brackets(m[1])),
			What:  fmt.Sprintf("%q is not a valid ${VARIABLE}", m[2]),
			Fix:   "close the brace, or write $$ for a dollar sign",
		}
	}
	if m := regexp.MustCompile(`^error while interpolating (\S+): failed to cast to expected type: (.*)$`).FindStringSubmatch(text); m != nil {
		kind := "true or false"
		if strings.Contains(m[2], "strconv") {
			kind = "a number"
		}
		return &spec.Problem{Where: s.where(brackets(m[1])), What: brackets(m[1]) + " has the wrong type", Fix: "write " + kind}
	}
	return nil
}

// badValue reads mapstructure's "'services[app].key' reason" and the paths
// that the schema and the loader's own checks begin with.
func (s *source) badValue(text string) *spec.Problem {
	if m := regexp.MustCompile(`^'([^']+)' (.*)$`).FindStringSubmatch(text); m != nil {
		path, what, fix := brackets(m[1]), m[2], ""
		switch {
		case strings.Contains(what, "duration"):
			what, fix = "not a duration", "write one like 500ms, 5s or 1m30s"
		case strings.Contains(what, "invalid command line"):
			what, fix = "a quote is not closed", "close it, or write the command as a list"
		case strings.Contains(what, "cannot parse"):
			what, fix = "the value does not fit", "write a whole number of at least 0"
		}
		return &spec.Problem{Where: s.where(path), What: path + ": " + what, Fix: fix}
	}
	m := regexp.MustCompile(`^((?:error while interpolating )?(services|include|networks|volumes|configs|secrets|jobs|models|name)[^\s:]*):? (.*)$`).FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	path := brackets(strings.TrimPrefix(m[1], "error while interpolating "))
	if _, known := s.values[path]; !known && !strings.Contains(path, ".") {
		return nil
	}
	return &spec.Problem{Where: s.where(path), What: path + " " + m[3]}
}

// brackets turns services[app].ports[0] into services.app.ports.0.
func brackets(path string) string {
	return strings.ReplaceAll(strings.ReplaceAll(path, "[", "."), "]", "")
}

func (s *source) badSyntax(text string) *spec.Problem {
	m := regexp.MustCompile(`^failed to parse (.*?): (yaml: .*)$`).FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	var p *spec.Problem
	if errors.As(yamlProblem(shown(s.base, m[1]), nil, errors.New(m[2])), &p) {
		return p
	}
	return nil
}

// yamlProblem takes the line out of the YAML parser's text.
func yamlProblem(file string, content []byte, err error) error {
	what := strings.Join(strings.Fields(err.Error()), " ")
	where := file
	lines := regexp.MustCompile(`line (\d+)(, column \d+)?`).FindAllStringSubmatch(what, -1)
	if len(lines) > 0 {
		where = file + ":" + lines[len(lines)-1][1]
	}
	what = regexp.MustCompile(`^(go-)?yaml: (construct errors: |unmarshal errors: )?((load|parser|scanner|composer) error:? ?)?`).ReplaceAllString(what, "")
	what = regexp.MustCompile(`(while \S+( \S+){0,5} )?(at |in )?line \d+(, column \d+)?(-\d+(\.\d+)?)?:? ?`).ReplaceAllString(what, "")
	what = strings.Trim(what, ": ")
	if what == "found character that cannot start any token" && len(lines) > 0 && hasTab(content, lines[len(lines)-1][1]) {
		return &spec.Problem{Where: where, What: "not valid YAML: a tab stands before the text", Fix: "indent with spaces"}
	}
	return &spec.Problem{Where: where, What: "not valid YAML: " + what, Fix: "check indentation, colons and quotes"}
}

// hasTab reports whether a tab is among what a line of a file is indented with, or
// the next one, which some errors mean.
func hasTab(content []byte, line string) bool {
	n, err := strconv.Atoi(line)
	all := strings.Split(string(content), "\n")
	if err != nil || n < 1 || n > len(all) {
		return false
	}
	for _, text := range all[n-1 : min(n+1, len(all))] {
		if strings.Contains(text[:len(text)-len(strings.TrimLeft(text, " \t"))], "\t") {
			return true
		}
	}
	return false
}

// badPort finds the port that compose-go could not read: its error has no path.
func (s *source) badPort(text string) *spec.Problem {
	if !strings.Contains(strings.ToLower(text), "port") && !strings.Contains(text, "proto") && !strings.Contains(text, "IP") && !strings.Contains(text, "ip address") {
		return nil
	}
	isPort := regexp.MustCompile(`^services\..*\.ports\.\d+$`)
	for _, sc := range s.scalars {
		if !isPort.MatchString(sc.path) || strings.Contains(sc.text, "$") {
			continue
		}
		if _, err := types.ParsePortConfig(sc.text); err != nil {
			return &spec.Problem{
				Where: sc.at.String(),
				What:  fmt.Sprintf("%q is not a port: %s", sc.text, err),
				Fix:   `write "3333:3000" or "127.0.0.1:3333:3000", with ports from 1 to 65535`,
			}
		}
	}
	return nil
}

func (s *source) badProjectName(text string) *spec.Problem {
	m := regexp.MustCompile(`^invalid project name ("[^"]*")`).FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	name, err := strconv.Unquote(m[1])
	where := "--project-name"
	if at, inFile := s.values["name"]; inFile && err == nil && s.has("name", name) {
		where = at.String()
	}
	return &spec.Problem{Where: where, What: m[1] + " is not a project name", Fix: "use lower-case letters, digits, - and _, beginning with a letter or digit"}
}

func (s *source) has(path, text string) bool {
	for _, sc := range s.scalars {
		if sc.path == path && sc.text == text {
			return true
		}
	}
	return false
}

// mentioned finds the longest text of the file that the message repeats: a
// file that does not exist, for example.
func (s *source) mentioned(text string) *spec.Problem {
	var best scalar
	for _, sc := range s.scalars {
		base := filepath.Base(sc.text)
		if len(base) > 2 && len(base) > len(best.text) && strings.Contains(text, base) {
			best = scalar{sc.path, base, sc.at}
		}
	}
	if best.text == "" {
		return nil
	}
	fix := ""
	if strings.Contains(text, "no such file") || strings.Contains(text, "not found") {
		text, _, _ = strings.Cut(strings.TrimPrefix(text, "open "), ": ")
		if !strings.Contains(text, "not found") {
			text += " not found"
		}
		fix = "check the path"
	}
	return &spec.Problem{Where: best.at.String(), What: text, Fix: fix}
}
