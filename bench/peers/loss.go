package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bulsa/bench/measure"
)

const (
	workers = 4
	boot    = 30 * time.Second       // at most, for all of them
	pause   = 128 * time.Millisecond // of each of 64 clients: about 480 requests a second
)

// lossRun is what clients lost while the workers of one peer were killed.
type lossRun struct {
	name, version string
	kills         int
	Answered      int            `json:"answered"`
	Lost          int            `json:"lost"`
	Reopened      int            `json:"reopened"`
	Reasons       map[string]int `json:"reasons"`
	Slowest       float64        `json:"slowest_seconds"`
}

// measureLoss kills random workers of bulsa and of PM2 under the same load.
func (r *report) measureLoss(dir string) error {
	run, err := r.lossOfBulsa(dir)
	if err != nil {
		return err
	}
	r.losses = append(r.losses, run)
	if err := measure.InstallPM2(r.options.pm2); err != nil {
		r.note("Not compared with PM2: " + err.Error())
		return nil
	}
	if run, err = r.lossOfPM2(dir); err != nil {
		return err
	}
	r.losses = append(r.losses, run)
	return nil
}

func (r *report) lossOfBulsa(dir string) (lossRun, error) {
	address, err := measure.FreeAddress()
	if err != nil {
		return lossRun{}, err
	}
	p, err := measure.Start("bulsa", address, []string{"BULSA_RUNTIME_DIR=" + dir},
		r.options.bulsa, "run", "--name", "loss", "-w", strconv.Itoa(workers), "-p", address, "--admin", "off", r.options.app)
	if err != nil {
		return lossRun{}, err
	}
	defer p.Stop()
	return r.killUnderLoad("bulsa", measure.FirstLine(r.options.bulsa, "version"), address, p.PID())
}

func (r *report) lossOfPM2(dir string) (lossRun, error) {
	address, err := measure.FreeAddress()
	if err != nil {
		return lossRun{}, err
	}
	home := filepath.Join(dir, "pm2")
	_, port, _ := net.SplitHostPort(address)
	pm2 := func(args ...string) error {
		cmd := exec.Command(measure.PM2(r.options.pm2), args...)
		cmd.Env = append(os.Environ(), "PM2_HOME="+home, "PORT="+port)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("pm2 %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	defer func() { _ = pm2("kill") }()
	if err := pm2("start", r.options.app, "-i", strconv.Itoa(workers)); err != nil {
		return lossRun{}, err
	}
	text, err := os.ReadFile(filepath.Join(home, "pm2.pid"))
	if err != nil {
		return lossRun{}, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return lossRun{}, err
	}
	return r.killUnderLoad("PM2 cluster mode", measure.PM2Version, address, pid)
}

// killUnderLoad sends SIGKILL to random children of parent while clients ask.
func (r *report) killUnderLoad(name, version, address string, parent int) (lossRun, error) {
	run := lossRun{name: name, version: version}
	if err := awaitWorkers(parent); err != nil {
		return run, fmt.Errorf("%s: %w", name, err)
	}
	load := exec.Command(r.options.lossload, "-address", address, "-pause", pause.String(), "-clients", strconv.Itoa(connections))
	var out strings.Builder
	load.Stdout, load.Stderr = &out, os.Stderr
	if err := load.Start(); err != nil {
		return run, err
	}
	time.Sleep(time.Second)
	for range r.options.kills {
		if living := measure.Children(parent); len(living) > 0 {
			if syscall.Kill(living[rand.IntN(len(living))], syscall.SIGKILL) == nil {
				run.kills++
			}
		}
		time.Sleep(r.options.every)
	}
	time.Sleep(time.Second)
	if err := load.Process.Signal(os.Interrupt); err != nil {
		return run, err
	}
	if err := load.Wait(); err != nil {
		return run, fmt.Errorf("lossload: %w", err)
	}
	if err := json.Unmarshal([]byte(out.String()), &run); err != nil {
		return run, fmt.Errorf("lossload: %w: %s", err, out.String())
	}
	fmt.Printf("%s: %d kills, %d answered, %d lost\n", name, run.kills, run.Answered, run.Lost)
	return run, nil
}

// awaitWorkers waits until all workers run, and a moment for them to listen.
func awaitWorkers(parent int) error {
	for deadline := time.Now().Add(boot); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if len(measure.Children(parent)) >= workers {
			time.Sleep(2 * time.Second)
			return nil
		}
	}
	return fmt.Errorf("%d workers did not start within %s", workers, boot)
}
