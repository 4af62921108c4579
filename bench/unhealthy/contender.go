package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"bulsa/bench/measure"
)

// healEvery is autoheal's AUTOHEAL_INTERVAL.
const healEvery = 5 * time.Second

// contender is one way to run two containers behind one port.
type contender struct {
	title, what string
	start       func(o options, d docker, dir, address string) (stop func(), err error)
}

func contenders() []contender {
	return []contender{
		{"Docker alone", "Docker writes \"unhealthy\" beside it", behindNginx("no", false)},
		{"Compose semantics", "`restart: always` looks at exits, not at health", behindNginx("always", false)},
		{"autoheal's loop", "the container is restarted, in use until then", behindNginx("always", true)},
		{"bulsa", "out of rotation at Docker's verdict, replaced beside it", bulsa},
	}
}

// measure starts the two containers, makes one of them sick and watches.
func (c contender) measure(o options, d docker) (outcome, error) {
	dir, err := os.MkdirTemp("", "unhealthy")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(dir)
	address, err := measure.FreeAddress()
	if err != nil {
		return outcome{}, err
	}
	stop, err := c.start(o, d, dir, address)
	if err != nil {
		return outcome{}, err
	}
	defer stop()
	return watch("http://"+address+"/", o.limit, d.sicken)
}

// docker is docker's own command line.
type docker struct{ host string }

func (d docker) call(args ...string) (string, error) {
	cmd := exec.Command("docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host, "DOCKER_CONTEXT=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// awaitHealthy waits until n containers are healthy.
func (d docker) awaitHealthy(n int) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		ids, err := d.call("ps", "-q", "--filter", "health=healthy")
		if err != nil {
			return err
		}
		if len(strings.Fields(ids)) == n {
			return nil
		}
	}
	return errors.New("the containers do not become healthy")
}

// sicken makes one of the containers sick, past whatever balances over them.
func (d docker) sicken() error {
	ids, err := d.call("ps", "-q")
	if err != nil {
		return err
	}
	ip, err := d.call("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", strings.Fields(ids)[0])
	if err != nil {
		return err
	}
	if !good(&http.Client{Timeout: patience}, "http://"+net.JoinHostPort(ip, "3000")+"/sick") {
		return errors.New("the container cannot be made sick")
	}
	return nil
}

// heal is autoheal's loop (willfarrell/docker-autoheal, docker-entrypoint): it
// sleeps, lists what is unhealthy, and restarts it.
func (d docker) heal(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(healEvery):
		}
		ids, err := d.call("ps", "-q", "--filter", "health=unhealthy", "--filter", "label=autoheal=true")
		if err != nil {
			continue
		}
		for _, id := range strings.Fields(ids) {
			_, _ = d.call("restart", "-t", "10", id) // the next round tries again
		}
	}
}

// behindNginx runs two containers with published ports, and nginx in front.
func behindNginx(policy string, heals bool) func(o options, d docker, dir, address string) (func(), error) {
	return func(_ options, d docker, dir, address string) (stop func(), err error) {
		ctx, cancel := context.WithCancel(context.Background())
		healed := make(chan struct{})
		close(healed)
		var proxy *measure.Process
		stop = func() {
			cancel()
			<-healed
			if proxy != nil {
				proxy.Stop()
			}
			_, _ = d.call("rm", "-f", "app-1", "app-2") // the dockerd goes, too
			_, _ = d.call("network", "rm", "bench")
		}
		defer func() {
			if err != nil {
				stop()
			}
		}()
		if _, err := d.call("network", "create", "bench"); err != nil {
			return nil, err
		}
		servers := ""
		for i := range 2 {
			published, err := d.run(fmt.Sprintf("app-%d", i+1), policy)
			if err != nil {
				return nil, err
			}
			servers += fmt.Sprintf("    server %s;\n", published)
		}
		if err := d.awaitHealthy(2); err != nil {
			return nil, err
		}
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, dir, address, servers), 0o600); err != nil {
			return nil, err
		}
		if proxy, err = measure.Start("nginx", address, nil, "nginx", "-e", filepath.Join(dir, "nginx.log"), "-c", file); err != nil {
			return nil, err
		}
		if heals {
			healed = make(chan struct{})
			go func() { defer close(healed); d.heal(ctx) }()
		}
		return stop, nil
	}
}

// run starts a container and returns where it is published.
func (d docker) run(name, policy string) (address string, err error) {
	if address, err = measure.FreeAddress(); err != nil {
		return "", err
	}
	_, err = d.call("run", "-d", "--name", name, "--network", "bench", "-p", address+":3000", "--restart", policy, "--label", "autoheal=true",
		"--health-cmd", healthCommand, "--health-interval", interval.String(), "--health-timeout", timeout.String(), "--health-retries", strconv.Itoa(retries), appImage)
	return address, err
}

const healthCommand = "wget -q -O /dev/null http://127.0.0.1:3000/health"

const nginxConfig = `daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  upstream app {
%[3]s  }
  server {
    listen %[2]s;
    location / { proxy_pass http://app; }
  }
}
`

func bulsa(o options, d docker, dir, address string) (func(), error) {
	text := fmt.Sprintf("name: unhealthy\nservices:\n  app:\n    image: %s\n    ports: [%q]\n    deploy: {replicas: 2}\n    healthcheck: {test: %q, interval: %s, timeout: %s, retries: %d}\n",
		appImage, address+":3000", healthCommand, interval, timeout, retries)
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := measure.Start("bulsa", address, []string{"BULSA_RUNTIME_DIR=" + dir, "DOCKER_HOST=" + d.host, "DOCKER_CONTEXT="}, o.bulsa, "-f", file, "up", "--admin", "off")
	if err != nil {
		return nil, err
	}
	if err := d.awaitHealthy(2); err != nil {
		p.Stop()
		return nil, err
	}
	return p.Stop, nil
}
