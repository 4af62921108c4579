package node

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAProgramsOwnSourcesAreSearchedForAWord(t *testing.T) {
	for name, c := range map[string]struct {
		files        map[string]string
		found, known bool
	}{
		"in the main file":        {map[string]string{"app.js": "listen(process.env.PORT || 3000)"}, true, true},
		"nowhere":                 {map[string]string{"app.js": "listen(process.env.METRICS_PORT || 3000); // PORTS"}, false, true},
		"in a module that it has": {map[string]string{"app.js": "require('./lib')", "lib/index.js": `import x from "../config.js"`, "config.ts": "const { PORT } = process.env"}, true, true},
		"in one that it has not":  {map[string]string{"app.js": "require('express')", "other.js": "process.env.PORT", "node_modules/express/index.js": "PORT"}, false, true},
		"in a circle":             {map[string]string{"app.js": "import './b.js'", "b.js": "import './app.js'"}, false, true},
		"without the main file":   {map[string]string{"other.js": "PORT"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, text := range c.files {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if found, known := Mentions(filepath.Join(dir, "app"), "PORT"); found != c.found || known != c.known {
				t.Errorf("found %v, known %v", found, known)
			}
		})
	}
}
