package admin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"bulsa/internal/api"
)

// Token reads the token that changes over TCP need, from a file with mode 0600
// beside the control socket. The first call for a project makes it.
func Token(project string) (string, error) {
	path := filepath.Join(api.RuntimeDir(project), "token")
	token, err := readToken(path)
	if err == nil {
		return token, os.Chmod(path, 0o600)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot read the admin token: %w", err)
	}
	token = rand.Text() // 130 bits
	temporary := path + ".new"
	err = os.WriteFile(temporary, []byte(token+"\n"), 0o600)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return "", fmt.Errorf("cannot keep the admin token: %w", err)
	}
	return token, nil
}

// Lengths of a token: a shorter one can be guessed, a longer one is something else.
const (
	shortestToken = 16
	longestToken  = 512
)

// readToken reads a token that somebody may have put there.
func readToken(path string) (string, error) {
	f, err := api.PlainFile(path, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 2*longestToken))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fs.ErrNotExist
	}
	if len(token) < shortestToken || len(token) > longestToken || strings.ContainsFunc(token, notOfToken) {
		return "", fmt.Errorf("%s holds no token, which is %d to %d letters, digits or -._~+/= (RFC 6750): remove the file, and a new one is made", path, shortestToken, longestToken)
	}
	return token, nil
}

// notOfToken reports what can be in no b64token (RFC 6750, section 2.1).
func notOfToken(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~+/=", r))
}
