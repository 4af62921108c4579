package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"bulsa/bench/measure"
)

// bench runs rows.
type bench struct {
	options       options
	dir           string
	contenders    []contender
	upstream      upstream
	loadCores     cores
	upstreamCores cores
	pair          string // PEM file of a certificate and its key
}

func newBench(o options, dir string) *bench {
	return &bench{
		options: o, dir: dir, contenders: contenders(o),
		loadCores: cores{1}, upstreamCores: cores{min(2, runtime.NumCPU()-1)},
	}
}

func (b *bench) stop() {
	if b.upstream.process != nil {
		b.upstream.process.Stop()
	}
}

// measurement is what the contenders of a row did, run by run.
type measurement struct {
	Began    time.Time            `json:"began"`
	Span     time.Duration        `json:"span"`
	Runs     map[string][]figures `json:"runs"`     // by contender; the same index is the same round
	Versions map[string]string    `json:"versions"` // by contender
}

// measure lets the contenders of a row take turns.
func (b *bench) measure(ctx context.Context, r row) (measurement, error) {
	m := measurement{Began: time.Now().UTC(), Span: b.span(r.work), Runs: map[string][]figures{}, Versions: map[string]string{}}
	var all []*running
	defer func() {
		for _, p := range all {
			p.process.Stop()
		}
	}()
	for _, c := range b.contenders {
		if !r.has(c.name) {
			continue
		}
		if !c.installed() {
			fmt.Printf("  without %s: %s is missing\n", c.title, c.program)
			continue
		}
		p, err := b.start(c, r)
		if err != nil {
			return m, err
		}
		all = append(all, p)
		if v := c.says(); v != "" {
			m.Versions[c.name] = v
		}
	}
	for round := range b.options.pairs {
		for i := range all {
			p := &all[(i+round)%len(all)] // everybody is first sometimes
			f, err := b.undisturbed(ctx, r, p)
			if err != nil {
				return m, fmt.Errorf("%s: %w", (*p).name, err)
			}
			name := (*p).name
			m.Runs[name] = append(m.Runs[name], f)
			fmt.Printf("  round %d, %s: %s\n", round+1, name, r.brief(f))
		}
	}
	return m, nil
}

// undisturbed repeats a run during which the rest of the machine was busy.
func (b *bench) undisturbed(ctx context.Context, r row, p **running) (figures, error) {
	const tolerable = 0.15
	var best figures
	for i := range 1 + b.options.repeats {
		if r.fresh {
			if err := b.renew(r, p); err != nil {
				return best, err
			}
		}
		f, err := b.load(ctx, r.work, *p)
		if err != nil {
			return best, err
		}
		if i == 0 || f.disturbed() < best.disturbed() {
			best = f
		}
		if best.disturbed() <= tolerable {
			break
		}
	}
	return best, nil
}

// renew starts the contender again.
func (b *bench) renew(r row, p **running) error {
	(*p).process.Stop()
	fresh, err := b.start((*p).contender, r)
	if err == nil {
		*p = fresh
	}
	return err
}

func (r row) proxyCores() cores {
	var c cores
	for i := range r.cores {
		c = append(c, i)
	}
	return c
}

// load runs the load generator once.
func (b *bench) load(ctx context.Context, w work, p *running) (figures, error) {
	switch {
	case w.idle:
		return b.idle(ctx, w, p)
	case w.tls:
		return b.overTLS(w, p)
	}
	var f figures
	out, err := b.generator(ctx, w, p).Output()
	if err != nil {
		return f, fmt.Errorf("load: %w%s", err, complaint(err))
	}
	if err := json.Unmarshal(out, &f); err != nil {
		return f, fmt.Errorf("load: %w: %s", err, out)
	}
	return f, nil
}

func complaint(err error) string {
	if exit, ok := err.(*exec.ExitError); ok {
		return ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}

func (b *bench) generator(ctx context.Context, w work, p *running) *exec.Cmd {
	number := strconv.Itoa
	command := []string{filepath.Join(b.options.tools, "load"), "-p", number(p.port),
		"-u", "/" + number(w.answer), "-l", number(w.answer), "-m", number(w.post),
		"-c", number(w.connections), "-r", number(w.rate),
		"-d", fmt.Sprint(b.span(w).Seconds()), "-w", fmt.Sprint(warmUp(b.options.span).Seconds()),
		"-P", list(p.tree()), "-Q", list([]int{b.upstream.process.PID()})}
	if w.browser {
		command = append(command, "-f")
	}
	if w.idle {
		command = append(command, "-i")
	}
	command = b.loadCores.pin(command)
	return exec.CommandContext(ctx, command[0], command[1:]...)
}

// span is the length of one run.
func (b *bench) span(w work) time.Duration { return b.options.span * time.Duration(max(w.longer, 1)) }

func warmUp(span time.Duration) time.Duration { return span / 4 }

func (p *running) tree() []int { return measure.Tree(p.process.PID()) }

func list(pids []int) string {
	var out []string
	for _, pid := range pids {
		out = append(out, strconv.Itoa(pid))
	}
	return strings.Join(out, ",")
}

// idle measures what connections cost that do nothing. The process has served a
// little before, so that what it loads or allocates once is not counted.
func (b *bench) idle(ctx context.Context, w work, p *running) (figures, error) {
	if _, err := b.load(ctx, work{answer: w.answer, connections: 64}, p); err != nil {
		return figures{}, err
	}
	before := measure.Memory(p.tree())
	cmd := b.generator(ctx, w, p)
	var out, errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		return figures{}, err
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return figures{}, err
	}
	if err := cmd.Start(); err != nil {
		return figures{}, err
	}
	if _, err := io.ReadFull(said, make([]byte, len("idle\n"))); err == nil {
		time.Sleep(b.options.span) // what is freed after a while may be
	}
	all := measure.Memory(p.tree())
	_ = in.Close() // they ask once more and end
	_, _ = io.Copy(&out, said)
	if err := cmd.Wait(); err != nil {
		return figures{}, fmt.Errorf("load: %w: %s", err, errs.String())
	}
	var f figures
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		return f, fmt.Errorf("load: %w: %s", err, out.String())
	}
	f.Memory, f.PerConnection = float64(all), float64(all-before)/float64(w.connections)
	return f, nil
}

// overTLS loads by wrk, which speaks TLS and asks for no resumption.
func (b *bench) overTLS(w work, p *running) (figures, error) {
	load := measure.Wrk{URL: fmt.Sprintf("https://127.0.0.1:%d/%d", p.port, w.answer), Connections: w.connections, Pin: b.loadCores.pin(nil)}
	if w.handshakes {
		load.Fields = []string{"Connection: close"}
	}
	if _, _, err := load.Run(warmUp(b.options.span)); err != nil {
		return figures{}, err
	}
	began, before := time.Now(), measure.CPUTime(p.tree())
	requests, failed, err := load.Run(b.options.span)
	used := measure.CPUTime(p.tree()) - before
	f := figures{Requests: requests, Errors: failed, Seconds: time.Since(began).Seconds(), ProxyCPU: used.Seconds()}
	if failed > 0 {
		f.Why = "as wrk counts them"
	}
	return f, err
}

// state keeps the figures of all runs in a file, so that rows can be measured
// one at a time.
type state struct {
	options options
	rows    map[string]measurement
}

func openState(o options) (*state, error) {
	s := &state{options: o, rows: map[string]measurement{}}
	if !o.add {
		return s, nil
	}
	b, err := os.ReadFile(o.state)
	if os.IsNotExist(err) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &s.rows); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it, or leave -add away", o.state, err)
	}
	return s, nil
}

func (s *state) put(name string, m measurement) error {
	s.rows[name] = m
	if s.options.quick {
		return nil
	}
	b, err := json.Marshal(s.rows)
	if err != nil {
		return err
	}
	return os.WriteFile(s.options.state, b, 0o644)
}
