package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"bulsa/bench/measure"
)

// contender knows how to start one peer: a balancer on address with n workers of
// the app behind it, everything in a folder of its own.
type contender struct {
	name, title string
	start       func(o options, dir, address string, n int, env []string) (stop func(), err error)
}

func contenders() []contender {
	return []contender{
		{"nginx-rr", "nginx, round robin", nginx("")},
		{"nginx-least", "nginx, least_conn", nginx("least_conn;")},
		{"pm2", "PM2, cluster mode", pm2},
		{"bulsa", "bulsa, defaults", bulsa("")},
		{"bulsa-recall", "bulsa, `recall: true`", bulsa("    x-bulsa: {recall: true}\n")},
	}
}

// bulsa runs the app from a file, with the lines of x-bulsa that are given.
func bulsa(extension string) func(o options, dir, address string, n int, env []string) (func(), error) {
	return func(o options, dir, address string, n int, env []string) (func(), error) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		file := filepath.Join(dir, "bulsa.yaml")
		text := fmt.Sprintf("services:\n  app:\n    command: [node, %q]\n    ports: [%q]\n    deploy: {replicas: %d}\n    environment: [%s]\n%s",
			o.app, address+":3000", n, strings.Join(env, ", "), extension)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		p, err := measure.Start("bulsa", address, []string{"BULSA_RUNTIME_DIR=" + dir}, o.bulsa, "up", "-f", file, "--project-name", "mixed", "--admin", "off")
		if err != nil {
			return nil, err
		}
		return p.Stop, nil
	}
}

// nginx stands in front of plain Node processes, with connections kept to them.
func nginx(method string) func(o options, dir, address string, n int, env []string) (func(), error) {
	return func(o options, dir, address string, n int, env []string) (func(), error) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		var stops []func()
		stop := func() {
			for _, f := range stops {
				f()
			}
		}
		var servers strings.Builder
		for i := range n {
			worker, err := measure.FreeAddress()
			if err != nil {
				stop()
				return nil, err
			}
			_, port, _ := net.SplitHostPort(worker)
			p, err := measure.Start("node", worker, append([]string{"PORT=" + port, "NODE_APP_INSTANCE=" + strconv.Itoa(i)}, env...), "node", o.app)
			if err != nil {
				stop()
				return nil, err
			}
			stops = append(stops, p.Stop)
			fmt.Fprintf(&servers, "    server %s max_fails=0;\n", worker)
		}
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(fmt.Sprintf(nginxConfig, dir, address, method, servers.String())), 0o600); err != nil {
			stop()
			return nil, err
		}
		p, err := measure.Start("nginx", address, nil, "nginx", "-e", filepath.Join(dir, "nginx.log"), "-c", file)
		if err != nil {
			stop()
			return nil, err
		}
		stops = append([]func(){p.Stop}, stops...)
		return stop, nil
	}
}

// One worker process, so that least_conn knows of all requests.
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
    %[3]s
%[4]s    keepalive 64;
  }
  server {
    listen %[2]s;
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`

func pm2(o options, dir, address string, n int, env []string) (func(), error) {
	if err := measure.InstallPM2(o.pm2); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	call := func(args ...string) error {
		cmd := exec.Command(measure.PM2(o.pm2), args...)
		cmd.Env = append(append(os.Environ(), "PM2_HOME="+dir, "PORT="+port), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("pm2 %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	stop := func() { _ = call("kill") } // nothing is left to measure
	if err := call("start", o.app, "-i", strconv.Itoa(n)); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}
