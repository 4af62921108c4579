package measure

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// PM2Version is the version that is compared with.
const PM2Version = "7.0.4"

// PM2 is its program, once it is installed in dir.
func PM2(dir string) string { return filepath.Join(dir, "node_modules", ".bin", "pm2") }

// InstallPM2 gets PM2 from npm unless it is in dir already.
func InstallPM2(dir string) error {
	if installedPM2(dir) == PM2Version {
		return nil
	}
	out, err := exec.Command("npm", "install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--loglevel=error", "pm2@"+PM2Version).CombinedOutput()
	if err != nil {
		return fmt.Errorf("npm install pm2: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func installedPM2(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "node_modules", "pm2", "package.json"))
	if err != nil {
		return ""
	}
	var p struct {
		Version string `json:"version"`
	}
	_ = json.Unmarshal(b, &p) // no version is no match
	return p.Version
}
