package diagnose

import (
	"strings"
	"testing"
)

func TestPackageManagersAreKnownByTheirCommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"npm start":                                            "npm start",
		"npm run dev                    ":                      "npm run dev",
		"node\x00/usr/bin/yarn\x00start":                       "yarn start",
		"/usr/bin/node\x00/opt/pnpm/bin/pnpm.cjs\x00run\x00go": "pnpm run go",
		"node\x00/usr/lib/npm/bin/npm-cli.js\x00start":         "npm start",
		"node\x00/srv/npm-mirror.js":                           "",
		"node\x00app.js\x00npm":                                "",
		"/bin/sh\x00-c\x00npm start":                           "",
		"":                                                     "",
	} {
		if got := managerIn(strings.Split(line, "\x00")); got != want {
			t.Errorf("%q is %q, not %q", line, got, want)
		}
	}
}
