package main

import (
	"embed"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"
)

//go:embed conf
var configurations embed.FS

// contender is a reverse proxy that is started for the probe.
type contender struct {
	name    string
	program string
	version []string // arguments that make it tell its version
	config  string   // file in conf
	command func(file, dir string) []string
}

func contenders(bulsa string) []contender {
	return []contender{
		{"bulsa", bulsa, []string{"version"}, "bulsa.yaml", func(file, _ string) []string {
			return []string{"up", "-f", file, "--project-name", "conformance", "--admin", "off"}
		}},
		{"nginx", "nginx", []string{"-v"}, "nginx.conf", func(file, dir string) []string {
			return []string{"-e", filepath.Join(dir, "nginx.log"), "-c", file}
		}},
		{"HAProxy", "haproxy", []string{"-v"}, "haproxy.cfg", func(file, _ string) []string { return []string{"-db", "-f", file} }},
	}
}

// title is the first line of what it says of itself.
func (c contender) title() string {
	out, _ := exec.Command(c.program, c.version...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return c.name + " (" + line + ")"
}

// measure runs it before the application at origin, and asks it for everything.
func (c contender) measure(origin string) (_ []Result, err error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file, err := c.configure(dir, listen, origin)
	if err != nil {
		return nil, err
	}
	program, err := exec.LookPath(c.program)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, c.command(file, dir)...)
	cmd.Env = append(os.Environ(), "BULSA_RUNTIME_DIR="+dir)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // ended by the signal
	}()
	if err := await(listen); err != nil {
		return nil, err
	}
	return ask(listen), nil
}

func (c contender) configure(dir, listen, origin string) (string, error) {
	t, err := template.ParseFS(configurations, "conf/"+c.config)
	if err != nil {
		return "", err
	}
	file, err := os.Create(filepath.Join(dir, c.config))
	if err != nil {
		return "", err
	}
	err = t.Execute(file, struct{ Dir, Listen, Origin string }{dir, listen, origin})
	return file.Name(), errors.Join(err, file.Close())
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// await returns when somebody listens.
func await(address string) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return err
		}
	}
}
