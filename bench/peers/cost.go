package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"bulsa/bench/measure"
)

const (
	answer      = "Hello, World!" // 13 bytes
	connections = 64
	warmUp      = 500 * time.Millisecond
)

// proxied is one proxy and what was measured of it.
type proxied struct {
	name, version string
	address       string
	process       *measure.Process
	runs          []costRun
}

// costRun is one run against one proxy.
type costRun struct {
	requests int
	failed   int
	cpu      time.Duration
	span     time.Duration
}

// perRequest is processor time of the proxy, in microseconds.
func (c costRun) perRequest() float64 {
	if c.requests == 0 {
		return 0
	}
	return float64(c.cpu.Microseconds()) / float64(c.requests)
}

// measureCost sends the same load through all proxies, in turn, to the same two
// servers, which answer 13 bytes at once.
func (r *report) measureCost(dir string) error {
	if _, err := exec.LookPath("wrk"); err != nil {
		r.note("No cost of a request: wrk is missing (apt-get install wrk).")
		return nil
	}
	var upstreams []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		upstreams = append(upstreams, l.Addr().String())
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }))
	}
	if err := r.startProxies(dir, upstreams); err != nil {
		return err
	}
	defer func() {
		for _, p := range r.proxies {
			p.process.Stop()
		}
	}()
	for round := range r.options.rounds {
		for i := range r.proxies {
			p := r.proxies[(i+round)%len(r.proxies)] // everybody is first sometimes
			run, err := p.measure(r.options.span)
			if err != nil {
				return err
			}
			p.runs = append(p.runs, run)
			fmt.Printf("round %d, %s: %.1f us of CPU a request, %d requests\n", round+1, p.name, run.perRequest(), run.requests)
		}
	}
	return nil
}

// startProxies starts bulsa and those of its peers that are installed.
func (r *report) startProxies(dir string, upstreams []string) error {
	for _, make := range []func(string, options, []string, string) (name, version string, env, command []string, err error){bulsaProxy, nginxProxy, haproxyProxy} {
		address, err := measure.FreeAddress()
		if err != nil {
			return err
		}
		name, version, env, command, err := make(dir, r.options, upstreams, address)
		if err != nil {
			return err
		}
		if _, err := exec.LookPath(command[0]); err != nil {
			r.note(fmt.Sprintf("Not compared with %s: it is missing (apt-get install %s).", name, name))
			continue
		}
		p, err := measure.Start(name, address, env, command...)
		if err != nil {
			return err
		}
		r.proxies = append(r.proxies, &proxied{name: name, version: version, address: address, process: p})
	}
	return nil
}

func (p *proxied) measure(span time.Duration) (costRun, error) {
	load := measure.Wrk{URL: "http://" + p.address + "/", Connections: connections}
	if _, _, err := load.Run(warmUp); err != nil {
		return costRun{}, err
	}
	before := measure.CPUTime(measure.Tree(p.process.PID()))
	requests, failed, err := load.Run(span)
	used := measure.CPUTime(measure.Tree(p.process.PID())) - before
	return costRun{requests: requests, failed: failed, cpu: used, span: span}, err
}

func bulsaProxy(dir string, o options, upstreams []string, address string) (name, version string, env, command []string, err error) {
	file := filepath.Join(dir, "bulsa.yaml")
	text := fmt.Sprintf(`services:
  web:
    ports: ["%s:80"]
    x-bulsa:
      engine: external
      servers: ["%s", "%s"]
`, address, upstreams[0], upstreams[1])
	return "bulsa", measure.FirstLine(o.bulsa, "version"), []string{"BULSA_RUNTIME_DIR=" + dir},
		[]string{o.bulsa, "up", "-f", file, "--project-name", "cost", "--admin", "off"}, os.WriteFile(file, []byte(text), 0o600)
}

// nginxProxy does what bulsa does by default: keep-alive both ways, X-Forwarded-*, no access log.
func nginxProxy(dir string, _ options, upstreams []string, address string) (name, version string, env, command []string, err error) {
	file := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000000;
  upstream web { server %[3]s; server %[4]s; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen %[2]s;
    location / {
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`, dir, address, upstreams[0], upstreams[1])
	return "nginx", measure.FirstLine("nginx", "-v"), nil, []string{"nginx", "-e", filepath.Join(dir, "nginx.log"), "-c", file}, os.WriteFile(file, []byte(text), 0o600)
}

func haproxyProxy(dir string, _ options, upstreams []string, address string) (name, version string, env, command []string, err error) {
	file := filepath.Join(dir, "haproxy.cfg")
	text := fmt.Sprintf(`defaults
  mode http
  option forwardfor
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind %s
  default_backend web
backend web
  http-reuse always
  server a %s
  server b %s
`, address, upstreams[0], upstreams[1])
	return "haproxy", measure.FirstLine("haproxy", "-v"), nil, []string{"haproxy", "-db", "-f", file}, os.WriteFile(file, []byte(text), 0o600)
}
