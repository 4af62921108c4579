package cli

import (
	"strings"
	"testing"

	"bulsa/internal/api"
)

func TestForeignFlagsAndNumbersGetBulsasWords(t *testing.T) {
	for line, want := range map[string]string{
		"run -i 2 app.js":           "bulsa run -w N FILE",
		"start app.js -i 2":         "bulsa run -d -w N FILE",
		"start app.js --name x":     "bulsa run -d -w N FILE",
		"logs --lines 3":            "bulsa logs --tail N",
		"logs --err":                "standard output and standard error together",
		"kill -9 app.1":             "bulsa kill -s 9 NAME",
		"scale +1":                  "bulsa scale app=+1",
		"scale app 3":               "write bulsa scale app=3",
		"lgos":                      "did you mean bulsa logs?",
		"start ecosystem.json":      "docs/coming-from-pm2.md",
		"profile app.1 --seconds x": `bulsa: --seconds: "x" is not a number`,
		"logs --follow=maybe":       `bulsa: --follow: "maybe" is not true or false`,
		"logs --nowhere":            "see bulsa logs --help",
	} {
		r := bulsa(t, strings.Fields(line)...)
		if r.status != 2 || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, "strconv") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("bulsa %s: %+v; want status 2 and one line with %q", line, r, want)
		}
	}
}

func TestAllIsAServiceOnlyWhereOneHasThatName(t *testing.T) {
	web, all := api.Project{Services: []api.Service{{Name: "web"}}}, api.Project{Services: []api.Service{{Name: "all"}}}
	if err := saysAll("stop", []string{"all"}, web); err == nil || err.Error() != "there is no service all: bulsa stop without a name means all of them" {
		t.Errorf("stop all: %v", err)
	}
	for _, err := range []error{saysAll("stop", []string{"all"}, all), saysAll("stop", []string{"web"}, web), saysAll("stop", nil, web)} {
		if err != nil {
			t.Error(err)
		}
	}
}
