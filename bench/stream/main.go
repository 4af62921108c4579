// Command stream measures what a connection of TCP costs that is passed on: by bulsa
// (protocol: tcp), by HAProxy (mode tcp) and by nginx (stream), in turn, to the same
// server. It prints a report. It needs haproxy, nginx and libnginx-mod-stream.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bulsa/bench/measure"
)

type options struct {
	bulsa  string
	rounds int
	span   time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bulsa, "bulsa", "./bulsa", "the program under test")
	flag.IntVar(&o.rounds, "rounds", 7, "how often each is measured")
	flag.DurationVar(&o.span, "span", time.Second, "how long, each time")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "stream:", err)
		os.Exit(1)
	}
}

// work is one way to use connections: pieces that go to the server and come back.
type work struct {
	name    string
	clients int
	piece   int
	short   bool // a new connection for each piece
}

func works() []work {
	return []work{
		{"64 bytes there and back, 64 connections", 64, 64, false},
		{"64 KiB there and back, 16 connections", 16, 64 << 10, false},
		{"1 MiB there and back, 4 connections", 4, 1 << 20, false},
		{"a new connection for 64 bytes, 32 at a time", 32, 64, true},
	}
}

// contender is a program that passes connections on.
type contender struct {
	name    string
	file    string
	config  string // {PORT}, {SERVER} and {DIR} are filled in
	command []string
	env     []string
}

func contenders(o options) []contender {
	return []contender{
		{"bulsa", "bulsa.yaml", `services:
  echo:
    ports: ["127.0.0.1:{PORT}:7"]
    x-bulsa: {protocol: tcp, servers: ["{SERVER}"]}
`, []string{o.bulsa, "up", "-f", "{FILE}", "--admin", "off", "-p", "stream"}, []string{"BULSA_RUNTIME_DIR={DIR}/run"}},
		{"HAProxy", "haproxy.cfg", `global
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen echo
  bind 127.0.0.1:{PORT} backlog 4096
  option splice-auto
  server s {SERVER}
`, []string{"haproxy", "-f", "{FILE}"}, nil},
		{"nginx", "nginx.conf", `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 2;
pid {DIR}/nginx.pid;
error_log {DIR}/nginx.log;
events { worker_connections 10000; }
stream { server { listen 127.0.0.1:{PORT} backlog=4096; proxy_pass {SERVER}; } }
`, []string{"nginx", "-c", "{FILE}"}, nil},
	}
}

// running is a contender that serves.
type running struct {
	contender
	process *measure.Process
	address string
	costs   [][]float64 // microseconds of processor time for a piece: by work, by round
}

func run(o options) error {
	dir, err := os.MkdirTemp("", "stream")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := echo()
	if err != nil {
		return err
	}
	var all []*running
	for _, c := range contenders(o) {
		r, err := c.start(dir, server)
		if err != nil {
			return err
		}
		defer r.process.Stop()
		r.costs = make([][]float64, len(works()))
		all = append(all, r)
	}
	for round := range o.rounds + 1 {
		for i, w := range works() {
			for _, r := range all {
				cost, err := r.measure(w, o.span)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", r.name, w.name, err)
				}
				if round > 0 { // the first warms up
					r.costs[i] = append(r.costs[i], cost)
				}
			}
		}
	}
	report(o, all)
	return nil
}

func (c contender) start(dir, server string) (*running, error) {
	address, err := measure.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, c.file)
	fill := strings.NewReplacer("{PORT}", port, "{SERVER}", server, "{DIR}", dir, "{FILE}", file)
	if err := os.WriteFile(file, []byte(fill.Replace(c.config)), 0o644); err != nil {
		return nil, err
	}
	var command, env []string
	for _, word := range c.command {
		command = append(command, fill.Replace(word))
	}
	for _, v := range c.env {
		env = append(env, fill.Replace(v))
	}
	r := &running{contender: c, address: "127.0.0.1:" + port}
	r.process, err = measure.Start(c.name, r.address, env, command...)
	return r, err
}

// echo is the server behind all of them.
func echo() (address string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					if _, err := conn.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String(), nil
}

func (r *running) measure(w work, span time.Duration) (microseconds float64, err error) {
	pids := measure.Tree(r.process.PID())
	before := measure.CPUTime(pids)
	end := time.Now().Add(span)
	var pieces atomic.Int64
	var failed atomic.Pointer[error]
	var clients sync.WaitGroup
	for range w.clients {
		clients.Go(func() {
			n, err := w.use(r.address, end)
			if pieces.Add(n); err != nil {
				failed.Store(&err)
			}
		})
	}
	clients.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64((measure.CPUTime(pids) - before).Microseconds()) / float64(pieces.Load()), nil
}

// use sends pieces and waits for each to come back, until end.
func (w work) use(address string, end time.Time) (pieces int64, err error) {
	var conn net.Conn
	out, in := make([]byte, w.piece), make([]byte, w.piece)
	for time.Now().Before(end) {
		if conn == nil {
			if conn, err = net.Dial("tcp", address); err != nil {
				return pieces, err
			}
		}
		sent := make(chan error, 1)
		if w.piece > 4<<10 { // more than fits on its way would wait for what is not read
			go func() {
				_, err := conn.Write(out)
				sent <- err
			}()
		} else {
			_, err := conn.Write(out)
			sent <- err
		}
		_, err := io.ReadFull(conn, in)
		if err = firstOf(<-sent, err); err != nil {
			return pieces, err
		}
		if pieces++; w.short {
			_ = conn.Close()
			conn = nil
		}
	}
	if conn != nil {
		_ = conn.Close()
	}
	return pieces, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func report(o options, all []*running) {
	fmt.Printf("%s, %s; %d rounds of %s in turn; load %s\n%s, %s\n\n", time.Now().Format("2006-01-02"), measure.Machine(), o.rounds, o.span, measure.LoadAverage(),
		measure.FirstLine("haproxy", "-v"), measure.FirstLine("nginx", "-v"))
	fmt.Println("| processor time for a piece, µs (median) | bulsa | HAProxy | nginx | bulsa/HAProxy | bulsa/nginx |\n|---|---|---|---|---|---|")
	for i, w := range works() {
		fmt.Printf("| %s ", w.name)
		for _, r := range all {
			fmt.Printf("| %.1f ", measure.Median(r.costs[i]))
		}
		for _, peer := range all[1:] {
			var ratios []float64
			for round := range all[0].costs[i] {
				ratios = append(ratios, all[0].costs[i][round]/peer.costs[i][round])
			}
			fmt.Printf("| %.2f ", measure.Median(ratios))
		}
		fmt.Println("|")
	}
}
