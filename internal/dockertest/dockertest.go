// Package dockertest runs a Docker Engine for tests: a dockerd of their own,
// with its own data, socket and networks, and images made from this machine's
// programs. No registry is needed, and nothing of another Docker is touched.
package dockertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// Off is the variable that skips the tests by hand: BULSA_TEST_DOCKER=off.
const Off = "BULSA_TEST_DOCKER"

// Binary is the variable that names another dockerd than the one on the path. The
// programs beside it (containerd, its shim, docker-proxy) are used with it.
const Binary = "BULSA_TEST_DOCKERD"

// patience is how long dockerd may take to start or to stop.
const patience = time.Minute

// Daemon is a dockerd.
type Daemon struct {
	Host string // for DOCKER_HOST
	dir  string
	log  *os.File
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Skip skips the test when it is asked to by hand.
func Skip(t testing.TB) {
	t.Helper()
	if os.Getenv(Off) == "off" {
		t.Skip(Off + "=off")
	}
}

// started counts the daemons of this process.
var started atomic.Int64

// New starts a dockerd in a folder, which Remove deletes. Without the right to
// do so the error says what is missing.
func New() (*Daemon, error) {
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("these tests start a dockerd, for which they must be root (%s=off skips them)", Off)
	}
	if _, err := exec.LookPath(program()); err != nil {
		return nil, fmt.Errorf("%s is missing: scripts/test-deps.sh installs one (%s=off skips these tests): %w", program(), Off, err)
	}
	dir, err := os.MkdirTemp("", "bulsa-dockerd-")
	if err != nil {
		return nil, err
	}
	d := &Daemon{dir: dir, Host: "unix://" + filepath.Join(dir, "docker.sock")}
	if d.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	if err := d.Start(); err != nil {
		d.Remove()
		return nil, err
	}
	return d, nil
}

// Start starts dockerd and waits until it answers.
func (d *Daemon) Start() error {
	// The pool is the daemon's own, so that those of several test binaries and a
	// real Docker's stay apart. Nothing of the host's firewall is changed.
	pool := 100 + (os.Getpid()+int(started.Add(1)))%100
	d.cmd = exec.Command(program(),
		"--data-root", filepath.Join(d.dir, "data"), "--exec-root", filepath.Join(d.dir, "exec"),
		"--pidfile", filepath.Join(d.dir, "pid"), "--host", d.Host, "--config-file", filepath.Join(d.dir, "none.json"),
		"--bridge", "none", "--iptables=false", "--ip-forward=false", "--live-restore",
		"--default-address-pool", fmt.Sprintf("base=10.%d.0.0/16,size=24", pool))
	if err := os.WriteFile(filepath.Join(d.dir, "none.json"), []byte("{}"), 0o600); err != nil {
		return err
	}
	if path := os.Getenv(Binary); path != "" {
		d.cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"))
	}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start dockerd: %w", err)
	}
	done := make(chan struct{})
	d.done = done
	go func() {
		_ = d.cmd.Wait() // how it ended stands in its log
		close(done)
	}()
	return d.await()
}

func program() string { return cmp.Or(os.Getenv(Binary), "dockerd") }

func (d *Daemon) await() error {
	c, err := d.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if _, err := c.Ping(ctx, client.PingOptions{}); err == nil {
			return nil
		}
		select {
		case <-d.done:
			return fmt.Errorf("dockerd ended: %s", d.lastLine())
		case <-ctx.Done():
			return fmt.Errorf("dockerd does not answer: %s", d.lastLine())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (d *Daemon) lastLine() string {
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// Client is a client of the daemon.
func (d *Daemon) Client() (*client.Client, error) { return client.New(client.WithHost(d.Host)) }

// Stop ends dockerd; its containers go on, as live-restore has it.
func (d *Daemon) Stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(patience):
		return errors.New("dockerd does not end")
	}
}

// Freeze stops dockerd from answering, until Thaw.
func (d *Daemon) Freeze() error { return d.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets dockerd go on.
func (d *Daemon) Thaw() error { return d.cmd.Process.Signal(syscall.SIGCONT) }

// Remove ends dockerd with all it runs, and deletes its folder.
func (d *Daemon) Remove() error {
	var failed error
	if d.cmd != nil && d.cmd.Process != nil {
		failed = errors.Join(d.removeContainers(), d.Stop(), d.endContainerd())
	}
	d.log.Close()
	for _, mount := range d.mounts() {
		_ = exec.Command("umount", "-l", mount).Run() // what stays shows in the removal
	}
	return errors.Join(failed, os.RemoveAll(d.dir))
}

func (d *Daemon) removeContainers() error {
	c, err := d.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := c.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil // it did not start
	}
	for _, one := range list.Items {
		if _, err := c.ContainerRemove(ctx, one.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			return err
		}
	}
	networks, err := c.NetworkList(ctx, client.NetworkListOptions{Filters: client.Filters{}.Add("type", "custom")})
	if err != nil {
		return err
	}
	for _, n := range networks.Items {
		if _, err := c.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// endContainerd ends the containerd that dockerd leaves behind with live-restore.
func (d *Daemon) endContainerd() error {
	text, err := os.ReadFile(filepath.Join(d.dir, "exec", "containerd", "containerd.pid"))
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if !strings.Contains(string(line), d.dir) {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil && time.Now().Before(deadline); {
		if state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); strings.Contains(string(state), ") Z ") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// mounts are what is mounted below the daemon's folder, the deepest first.
func (d *Daemon) mounts() []string {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir+"/") {
			out = append([]string{fields[1]}, out...)
		}
	}
	return out
}

// Lazy is one daemon for all tests of a package, started by the first of them.
type Lazy struct {
	once   sync.Once
	daemon *Daemon
	err    error
}

// Get returns the daemon, or fails the test with the reason why there is none.
func (l *Lazy) Get(t testing.TB) *Daemon {
	t.Helper()
	Skip(t)
	l.once.Do(func() { l.daemon, l.err = New() })
	if l.err != nil {
		t.Fatal(l.err)
	}
	return l.daemon
}

// Remove removes the daemon, if there is one; call it after the last test.
func (l *Lazy) Remove() error {
	if l.daemon == nil {
		return nil
	}
	return l.daemon.Remove()
}
