package main

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"bulsa/bench/measure"
)

//go:embed conf
var configurations embed.FS

// contender is a program that forwards requests.
type contender struct {
	name    string
	title   string
	program string   // on PATH, or a path
	version []string // arguments that make it tell its version; nil: it has none
	config  string   // file in conf
	unix    bool     // reaches the servers over unix sockets
	spool   bool     // site.Spool

	// command is its arguments, and env what it needs beside the environment.
	command func(site) []string
	env     func(site) []string
}

// site is what a contender's configuration is filled in with.
type site struct {
	Port    int
	Cores   int
	Servers []string // HOST:PORT or unix:PATH
	Dir     string   // for what it writes
	File    string   // its configuration
	TLS     bool     // it speaks TLS to clients, with Pair
	Pair    string   // file of the certificate and its key
	Spool   bool     // nginx's default: bodies may go by way of the disk
}

const (
	bulsa        = "bulsa"
	bulsaUnix    = "bulsa-unix"
	nginx        = "nginx"
	nginxSpool   = "nginx-spool"
	haproxy      = "haproxy"
	caddy        = "caddy"
	reverseProxy = "reverseproxy"
	floor        = "floor"
)

// contenders are all that can take part, in the order of the report.
func contenders(o options) []contender {
	up := func(s site) []string {
		return []string{"up", "-f", s.File, "--project-name", filepath.Base(s.Dir), "--admin", "off"}
	}
	own := func(s site) []string { return []string{"BULSA_RUNTIME_DIR=" + s.Dir} }
	configured := func(s site) []string { return []string{"-e", filepath.Join(s.Dir, "nginx.log"), "-c", s.File} }
	return []contender{
		{name: bulsa, title: "bulsa", program: o.bulsa, version: []string{"version"}, config: "bulsa.yaml", command: up, env: own},
		{name: bulsaUnix, title: "bulsa, unix sockets", program: o.bulsa, config: "bulsa.yaml", unix: true, command: up, env: own},
		{name: nginx, title: "nginx", program: "nginx", version: []string{"-v"}, config: "nginx.conf", command: configured},
		{name: nginxSpool, title: "nginx, bodies spooled as by default", program: "nginx", config: "nginx.conf", spool: true, command: configured},
		{name: haproxy, title: "HAProxy", program: "haproxy", version: []string{"-v"}, config: "haproxy.cfg",
			command: func(s site) []string { return []string{"-db", "-f", s.File} }},
		{name: caddy, title: "Caddy", program: "caddy", version: []string{"version"}, config: "Caddyfile",
			command: func(s site) []string { return []string{"run", "--adapter", "caddyfile", "--config", s.File} },
			env: func(s site) []string {
				return []string{"HOME=" + s.Dir, "XDG_DATA_HOME=" + s.Dir, "XDG_CONFIG_HOME=" + s.Dir}
			}},
		{name: reverseProxy, title: "httputil.ReverseProxy", program: filepath.Join(o.tools, "reverseproxy"),
			command: func(s site) []string {
				return append([]string{"-listen", fmt.Sprintf("127.0.0.1:%d", s.Port)}, s.Servers...)
			}},
		{name: floor, title: "C forwarder (floor)", program: filepath.Join(o.tools, "forward"),
			command: func(s site) []string {
				_, port, _ := strings.Cut(s.Servers[0], ":")
				return []string{strconv.Itoa(s.Port), port, strconv.Itoa(s.Cores)}
			}},
	}
}

// installed says whether the program is there.
func (c contender) installed() bool {
	_, err := exec.LookPath(c.program)
	return err == nil
}

// says is the version that it tells, or "".
func (c contender) says() string {
	if c.version == nil {
		return ""
	}
	line := measure.FirstLine(append([]string{c.program}, c.version...)...)
	if c.name == caddy {
		return "Caddy " + line
	}
	return line
}

// running is a contender under load.
type running struct {
	contender
	port    int
	process *measure.Process
}

// start runs it for a row.
func (b *bench) start(c contender, r row) (*running, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, c.name)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's worker is another user
		return nil, err
	}
	s := site{Port: port, Cores: r.cores, Servers: b.upstream.tcp, Dir: dir, TLS: r.work.tls, Pair: b.pair, Spool: c.spool}
	if c.unix {
		s.Servers = b.upstream.unix
	}
	if c.config != "" {
		if s.File, err = s.configure(c.config); err != nil {
			return nil, err
		}
	}
	var env []string
	if c.env != nil {
		env = c.env(s)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p, err := measure.Start(c.name, address, env, r.proxyCores().pin(append([]string{c.program}, c.command(s)...))...)
	if err != nil {
		return nil, err
	}
	return &running{contender: c, port: port, process: p}, nil
}

// configure writes the configuration and returns its path.
func (s site) configure(name string) (string, error) {
	t, err := template.ParseFS(configurations, "conf/"+name)
	if err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(s.Dir, name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	return f.Name(), t.Execute(f, s)
}

// upstream is the one process that stands for all servers.
type upstream struct {
	process *measure.Process
	tcp     []string
	unix    []string
}

// servers is how many the proxies balance over.
const servers = 4

func (b *bench) startUpstream() error {
	command := []string{filepath.Join(b.options.tools, "upstream")}
	for i := range servers {
		port, err := freePort()
		if err != nil {
			return err
		}
		socket := filepath.Join(b.dir, fmt.Sprintf("server%d.sock", i))
		b.upstream.tcp = append(b.upstream.tcp, fmt.Sprintf("127.0.0.1:%d", port))
		b.upstream.unix = append(b.upstream.unix, "unix:"+socket)
		command = append(command, fmt.Sprintf("tcp:%d", port), "unix:"+socket)
	}
	var err error
	b.upstream.process, err = measure.Start("upstream", b.upstream.tcp[0], nil, b.upstreamCores.pin(command)...)
	return err
}

func freePort() (int, error) {
	address, err := measure.FreeAddress()
	if err != nil {
		return 0, err
	}
	_, port, _ := strings.Cut(address, ":")
	return strconv.Atoi(port)
}

// cores are those that a program may run on.
type cores []int

// pin makes a command run on them alone, as taskset(1) does.
func (c cores) pin(command []string) []string {
	list := make([]string, len(c))
	for i, n := range c {
		list[i] = strconv.Itoa(n)
	}
	return append([]string{"taskset", "-c", strings.Join(list, ",")}, command...)
}
