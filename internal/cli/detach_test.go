package cli

import (
	"net"
	"os"
	"strings"
	"testing"

	"bulsa/internal/api/client"
)

func TestADetachedProjectRunsUntilDown(t *testing.T) {
	emptyHouse(t)
	r := bulsa(t, "run", "-d", "--name", "nap", "-w", "2", "--admin", "off", "sleep", "1000")
	if r.status != 0 || r.stdout != "nap: 2 of 2 workers ready\n" {
		t.Fatalf("run -d: %+v", r)
	}
	t.Cleanup(func() { bulsa(t, "down", "-p", "nap") })
	if r := bulsa(t, "ps"); r.status != 0 || !strings.Contains(r.stdout, "\nnap.2   process ") || strings.Contains(r.stdout, "admin") {
		t.Errorf("ps: %+v", r)
	}
	r = bulsa(t, "run", "--name", "nap", "sleep", "1000")
	if r.status != 1 || !strings.HasPrefix(r.stderr, `bulsa: project "nap" already runs (pid `) {
		t.Errorf("a second one: %+v", r)
	}
	if r := bulsa(t, "down"); r.status != 0 || r.stdout != "nap: stopped\n" {
		t.Errorf("down: %+v", r)
	}
	if names := client.Running(); len(names) != 0 {
		t.Errorf("still running: %v", names)
	}
}

func TestADetachedStartThatCannotWorkLeavesNothing(t *testing.T) {
	emptyHouse(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, args := range map[string][]string{
		" is in use":                        {"-p", taken.Addr().String() + ":80", "sleep", "1000"},
		"loopback addresses only":           {"--admin", "0.0.0.0:9900", "sleep", "1000"},
		"there-is-no-such-program-anywhere": {"there-is-no-such-program-anywhere"},
	} {
		for _, detach := range []string{"--detach=true", "--detach=false"} {
			r := bulsa(t, append([]string{"run", detach}, args...)...)
			if r.status != 2 || !strings.HasPrefix(r.stderr, "bulsa: ") || !strings.Contains(r.stderr, want) {
				t.Errorf("%s %v: exit status %d, %q, want %q", detach, args, r.status, r.stderr, want)
			}
			if names := client.Running(); len(names) != 0 {
				t.Errorf("%s %v: left running: %v", detach, args, names)
			}
		}
	}
}

func TestADetachedCrashLoopIsTold(t *testing.T) {
	emptyHouse(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	r := bulsa(t, "run", "-d", "--name", "crash", "--admin", "off", "-p", free+":80", "false")
	t.Cleanup(func() { bulsa(t, "down", "-p", "crash") })
	if r.status != 1 || !strings.HasPrefix(r.stderr, "bulsa: crash: 0 of 1 workers ready: crash.1 ") || !strings.Contains(r.stderr, "exit 1") || !strings.Contains(r.stderr, "bulsa down -p crash") {
		t.Errorf("%+v", r)
	}
	if r := bulsa(t, "down"); r.status != 0 {
		t.Errorf("down: %+v", r)
	}
}

func TestTheDetachedCommandIsNotForPeople(t *testing.T) {
	emptyHouse(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess(self, []string{self, daemonName}, &os.ProcAttr{Files: []*os.File{null, null, null}})
	if err != nil {
		t.Fatal(err)
	}
	state, err := p.Wait()
	if err != nil || state.ExitCode() != 2 {
		t.Errorf("exit status %d, %v, want 2", state.ExitCode(), err)
	}
}
