package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The limits of the house. Whoever meets one looks for the noun that is hidden
// in the room, the file or the function, in place of raising it.
const (
	mostShare = 0.15 // of a room in the lines of cmd and internal, without tests
	mostDepth = 8    // imports from cmd/bulsa to the deepest room
	mostFile  = 500  // lines of a file
	mostLines = 60   // lines of a function
)

// above is what is larger than the limits and waits for its split. The list only
// shrinks: what fits its limit again must leave it.
var above = map[string]bool{
	"proxy":                     true,
	"proxy/downstream_linux.go": true,
}

// questions are what goes up in a house where commands go down and facts come
// up: a lower room asks an upper one, by an interface of its own. There are no others.
var questions = []string{"admin.Control", "engine.Sockets", "proxy.Diverter", "eventloop.Diagnoser"}

func TestTheQuestionsThatGoUpAreNamed(t *testing.T) {
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, question := range questions {
		if !strings.Contains(string(text), "`"+question+"`") {
			t.Errorf("ARCHITECTURE.md does not name %s among the questions that go up", question)
		}
	}
}

func TestImportsAreNotTooDeep(t *testing.T) {
	imports := map[string][]string{}
	for _, p := range packages(t) {
		imports[p.ImportPath] = p.Imports
	}
	var deepest func(name string) []string
	known := map[string][]string{}
	deepest = func(name string) []string {
		if way, ok := known[name]; ok {
			return way
		}
		var longest []string
		for _, next := range imports[name] {
			if _, ours := imports[next]; ours {
				if way := deepest(next); len(way) > len(longest) {
					longest = way
				}
			}
		}
		known[name] = append([]string{strings.TrimPrefix(name, module)}, longest...)
		return known[name]
	}
	if way := deepest("bulsa/cmd/bulsa"); len(way) > mostDepth {
		t.Errorf("imports are %d deep, at most %d: %s", len(way), mostDepth, strings.Join(way, " > "))
	}
}

// TestNothingIsTooLarge measures rooms, files and functions.
func TestNothingIsTooLarge(t *testing.T) {
	lines, all := map[string]int{}, 0
	for _, root := range []string{"../cmd", "."} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			n := measure(t, path)
			lines[filepath.Dir(path)] += n
			all += n
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for room, n := range lines {
		if share := float64(n) / float64(all); share <= mostShare {
			fits(t, room)
		} else if !above[room] {
			t.Errorf("%s has %d of %d lines, %.1f %%, at most %.0f %%", room, n, all, 100*share, 100*mostShare)
		}
	}
}

// measure returns the lines of a file, and complains of what is too long in it.
func measure(t *testing.T, path string) int {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := files.Position(function.End()).Line - files.Position(function.Pos()).Line + 1; n > mostLines {
			t.Errorf("%s: %s has %d lines, at most %d: look for the sentence that it hides", path, function.Name.Name, n, mostLines)
		}
	}
	n := files.File(file.FileStart).LineCount()
	if n <= mostFile {
		fits(t, path)
	} else if !above[path] {
		t.Errorf("%s has %d lines, at most %d", path, n, mostFile)
	}
	return n
}

// fits complains of a place that is listed as larger than its limit and is not.
func fits(t *testing.T, place string) {
	t.Helper()
	if above[place] {
		t.Logf("%s fits its limit now: take it from the list", place)
	}
}
