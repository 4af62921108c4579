package spec

import (
	"testing"
	"time"
)

func TestDurationsAreWrittenAsGoDockerAndComposeDo(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5s": 5 * time.Second, "1m30s": 90 * time.Second, "500ms": 500 * time.Millisecond, "0": 0, "0s": 0,
		"1d": 24 * time.Hour, "1w2d3h": 9*24*time.Hour + 3*time.Hour, "1.5h": 90 * time.Minute,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "5x", "-5s", "d", "1d2w", "99999999h99999999h", "1s d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestSizesArePowersOf1024(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1048576": 1 << 20, "10m": 10 << 20, "10MB": 10 << 20, "1.5k": 1536, "2GiB": 2 << 30, "7b": 7} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "m", "-1", "big", "1e30", "NaN", "Inf", "10x"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestSignalsAreNamesShortNamesOrNumbers(t *testing.T) {
	for text, want := range map[string]string{"SIGTERM": "SIGTERM", "TERM": "SIGTERM", "term": "SIGTERM", "15": "SIGTERM", "9": "SIGKILL", "usr2": "SIGUSR2", "10": "SIGUSR1",
		"SIGRTMIN+3": "SIGRTMIN+3", "rtmin+3": "SIGRTMIN+3", "37": "SIGRTMIN+3", "SIGRTMIN": "SIGRTMIN", "RTMAX": "SIGRTMAX", "SIGRTMAX-30": "SIGRTMIN", "SIGRTMIN+29": "SIGRTMAX-1"} {
		if got, err := ParseSignal(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "32", "65", "-1", "SIGFOO", "SIG", "SIGRTMIN+31", "SIGRTMAX-31", "SIGRTMIN+", "SIGRTMIN+-1"} {
		if got, err := ParseSignal(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestPublishIsHostPortTarget(t *testing.T) {
	for text, want := range map[string]Port{
		"3333": {Published: 3333}, "3333:3000": {Published: 3333, Target: 3000}, "0": {}, "0:3000": {Target: 3000},
		"127.0.0.1:80": {Host: "127.0.0.1", Published: 80}, "127.0.0.1:80:3000": {Host: "127.0.0.1", Published: 80, Target: 3000},
		"localhost:80": {Host: "localhost", Published: 80}, "[::1]:80": {Host: "::1", Published: 80}, "[::]:80:3000": {Host: "::", Published: 80, Target: 3000},
	} {
		if got, err := ParsePublish(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "70000", "80:70000", ":80", "80:", "example.com:80", "[::1]", "::1:80", "1:2:3", "-1"} {
		if got, err := ParsePublish(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

func TestServersAreWrittenAsInNginx(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1": "127.0.0.1:80", "app:3000": "app:3000", "[::1]": "[::1]:80", "[::1]:81": "[::1]:81", "unix:/run/a.sock": "unix:/run/a.sock",
	} {
		if got, err := ParseServer(text); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":80", "a:0", "a:70000", "http://a", "a/b", "unix", "unix:a", "unix:80", "unix:/", "::1", "[a]:1", "a b:1"} {
		if got, err := ParseServer(text); err == nil {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}

func TestRestartPoliciesAreDockers(t *testing.T) {
	for text, want := range map[string]Restart{
		"no": {Condition: RestartNever}, "always": {Condition: RestartAlways}, "unless-stopped": {Condition: RestartAlways},
		"on-failure": {Condition: RestartOnFailure}, "on-failure:5": {Condition: RestartOnFailure, MaxAttempts: 5},
	} {
		var got Restart
		if err := ParseRestart(text, &got); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yes", "always:3", "on-failure:x", "on-failure:-1"} {
		if err := ParseRestart(text, &Restart{}); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

// FuzzParse: no text makes a parser panic, and what it returns it reads again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"1w2d3h", "10m", "TERM", "[::1]:80:3000", "unix:/a", "on-failure:5", "10.0.0.0/8"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDuration(text); err == nil && d < 0 {
			t.Errorf("%q is %v", text, d)
		}
		if n, err := ParseSize(text); err == nil && n < 0 {
			t.Errorf("%q is %d", text, n)
		}
		if p, err := ParsePublish(text); err == nil && (p.Published < 0 || p.Published > 65535 || p.Target < 0 || p.Target > 65535) {
			t.Errorf("%q is %+v", text, p)
		}
		if server, err := ParseServer(text); err == nil {
			if again, err := ParseServer(server); err != nil || again != server {
				t.Errorf("%q is %q, which is %q, %v", text, server, again, err)
			}
		}
		if name, err := ParseSignal(text); err == nil {
			if again, err := ParseSignal(name); err != nil || again != name {
				t.Errorf("%q is %q, which is %q, %v", text, name, again, err)
			}
		}
		if err := ParseRestart(text, &Restart{}); err != nil {
			_ = At("--restart", err).Error()
		}
	})
}
