package cli

import (
	"os"
	"strings"
	"testing"
)

func TestProfileWritesAFileAndSaysWhatItMeans(t *testing.T) {
	emptyHouse(t)
	p := running(t, "shop")
	for _, c := range []struct{ line, asked, file, content, stdout string }{
		{
			"profile app.1 -o a.cpuprofile", `profile ["app.1",5]`, "a.cpuprofile", `{"nodes":[]}`,
			"app.1 did something in 98% of 5.00s, 25% of that to collect garbage\n\n" +
				"where it was at the start:\n  RegExp.test\n  match  /srv/app.js:7:3\n\n" +
				"what took its time:\n   70.0%  (anonymous)  /srv/app.js:7\n\n" +
				"wrote a.cpuprofile: open it in Chrome DevTools, under Performance\n",
		},
		{"profile app.1 --seconds 0.5 -o -", `profile ["app.1",0.5]`, "", "", `{"nodes":[]}`},
		{"profile app.1 --heap -o a.heapsnapshot", `heap ["app.1"]`, "a.heapsnapshot", "{}", "wrote a.heapsnapshot, 2B: open it in Chrome DevTools, under Memory\n"},
		{
			"profile app.1 --phases", `phases ["app.1",1]`, "", "",
			"app.1: 12 iterations of its event loop in 1.00s\n\n" +
				"PHASE                    TIME   SHARE    COUNT  KNOWN    \n" +
				"timers                  500ms   50.0%        3  exact    n\n" +
				"pending                     -       -        -  unknown  m\n\n" +
				"part of the phases above:\n" +
				"microtasks              500ms   50.0%        -  exact    o\n\n" +
				"THREAD POOL     TASKS       RUN      WAIT   LONGEST\n" +
				"crypto              2     2.0ms     250ms     1.50s\n",
		},
	} {
		r := bulsa(t, strings.Fields(c.line)...)
		if asked := p.takeAsked(); r.status != 0 || r.stdout != c.stdout || asked != c.asked || r.stderr != "" {
			t.Errorf("bulsa %s: asked %s, want %s; %d %q\n%s", c.line, asked, c.asked, r.status, r.stderr, r.stdout)
		}
		if c.file == "" {
			continue
		}
		if b, err := os.ReadFile(c.file); err != nil || string(b) != c.content {
			t.Errorf("bulsa %s wrote %q, %v", c.line, b, err)
		}
	}
}

func TestAProfileThatCannotBeWrittenIsAnError(t *testing.T) {
	emptyHouse(t)
	running(t, "shop")
	r := bulsa(t, "profile", "app.1", "-o", "nowhere/a.cpuprofile")
	if want := "bulsa: cannot write nowhere/a.cpuprofile: no such file or directory\n"; r.status != 1 || r.stderr != want {
		t.Errorf("%d %q, want %q", r.status, r.stderr, want)
	}
}

func TestDoctorPrintsFindingsOrOneLine(t *testing.T) {
	emptyHouse(t)
	p := running(t, "shop")
	for _, c := range []struct{ line, asked, stdout string }{
		{"doctor", `doctor ["",true]`, "nothing to report: 2 workers, measured for 1m2s\n"},
		{
			"doctor --no-profile app", `doctor ["app",false]`,
			"app.2  loop-blocked: it is blocked\n    seen  for 3 s\n    do    split it\n\napp  wrapper: npm\n    do    node app.js\nnote: no profile\n",
		},
	} {
		r := bulsa(t, strings.Fields(c.line)...)
		if asked := p.takeAsked(); r.status != 0 || r.stdout != c.stdout || asked != c.asked || r.stderr != "" {
			t.Errorf("bulsa %s: %+v, asked %s", c.line, r, asked)
		}
	}
	if r := bulsa(t, "doctor", "nope"); r.status != 1 || !strings.Contains(r.stderr, `no service "nope"`) {
		t.Errorf("%+v", r)
	}
	if r := bulsa(t, "doctor", "a", "b"); r.status != 2 {
		t.Errorf("%+v", r)
	}
}
