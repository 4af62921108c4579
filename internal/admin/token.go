package admin

import (
	"crypto/rand"
	"errors"
	"fmt"
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
	b, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(b))) > 0 {
		return strings.TrimSpace(string(b)), os.Chmod(path, 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot read the admin token: %w", err)
	}
	token := rand.Text() // 130 bits
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
