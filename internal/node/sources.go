package node

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// How much of a program is read at most to find a word in it.
const (
	mostSources     = 500
	mostSourceBytes = 8 << 20
)

// Mentions reports whether a program's own sources have a word: its main file and
// what it loads from there by relative paths. known is false when they cannot be
// told, or are too many to read.
func Mentions(script, word string) (found, known bool) {
	main := sourceFile(script)
	if main == "" {
		return false, false
	}
	// A path by which a module names another of its own package: in require, import
	// and export.
	relative := regexp.MustCompile(`['"` + "`" + `](\.\.?/[^'"` + "`" + `\n]{1,200})['"` + "`" + `]`)
	files, size := []string{main}, 0
	seen := map[string]bool{main: true}
	for i := 0; i < len(files); i++ {
		text, err := os.ReadFile(files[i])
		if err != nil {
			return false, false
		}
		if hasWord(text, word) {
			return true, true
		}
		if size += len(text); size > mostSourceBytes || len(files) > mostSources {
			return false, false
		}
		for _, m := range relative.FindAllSubmatch(text, -1) {
			next := sourceFile(filepath.Join(filepath.Dir(files[i]), string(m[1])))
			if next != "" && !seen[next] {
				seen[next] = true
				files = append(files, next)
			}
		}
	}
	return false, true
}

// sourceFile is the file that Node, or what compiles for it, takes for a path; "":
// none.
func sourceFile(path string) string {
	candidates := []string{path}
	for _, ext := range []string{".js", ".cjs", ".mjs", ".ts", ".json", "/index.js", "/index.ts"} {
		candidates = append(candidates, path+ext)
	}
	if stem, ok := strings.CutSuffix(path, ".js"); ok { // TypeScript names what it will be compiled to
		candidates = append(candidates, stem+".ts")
	}
	for _, c := range candidates {
		real, err := filepath.EvalSymlinks(c)
		if err != nil {
			continue
		}
		if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() {
			return real
		}
	}
	return ""
}

// hasWord finds a word that is no part of a longer one.
func hasWord(text []byte, word string) bool {
	for {
		i := bytes.Index(text, []byte(word))
		if i < 0 {
			return false
		}
		end := i + len(word)
		if (i == 0 || !inWord(text[i-1])) && (end == len(text) || !inWord(text[end])) {
			return true
		}
		text = text[end:]
	}
}

func inWord(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
