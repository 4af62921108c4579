package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clockTick is USER_HZ, in which Linux tells processor time (proc_pid_stat(5)).
const clockTick = time.Second / 100

// groupOf lists the processes of a worker: of its process group, and their children.
func groupOf(leader int) (titles []string, rows [][]string, err error) {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, nil, err
	}
	type process struct {
		pid, parent, group int
		row                []string
	}
	var all []process
	for _, folder := range entries {
		fields, err := statFields(folder)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(folder))
		parent, _ := strconv.Atoi(fields[1])
		group, _ := strconv.Atoi(fields[2])
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		took := (time.Duration(user+system) * clockTick).Round(10 * time.Millisecond)
		all = append(all, process{pid, parent, group, []string{strconv.Itoa(pid), strconv.Itoa(parent), fields[0], took.String(), commandOf(folder)}})
	}
	slices.SortFunc(all, func(a, b process) int { return a.pid - b.pid })
	member := map[int]bool{}
	for changed := true; changed; {
		changed = false
		for _, one := range all {
			if !member[one.pid] && (one.pid == leader || one.group == leader || member[one.parent]) {
				member[one.pid], changed = true, true
			}
		}
	}
	for _, one := range all {
		if member[one.pid] {
			rows = append(rows, one.row)
		}
	}
	if len(rows) == 0 {
		return nil, nil, errors.New("it has ended")
	}
	return []string{"PID", "PPID", "STATE", "TIME", "CMD"}, rows, nil
}

// statFields are those of /proc/PID/stat from the state on: the name before may hold anything.
func statFields(folder string) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return nil, err
	}
	text := string(content)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return nil, fs.ErrInvalid
	}
	return fields, nil
}

func commandOf(folder string) string {
	content, err := os.ReadFile(filepath.Join(folder, "cmdline"))
	text := strings.TrimSpace(strings.ReplaceAll(string(content), "\x00", " "))
	if err != nil || text == "" {
		name, _ := os.ReadFile(filepath.Join(folder, "comm"))
		return fmt.Sprintf("[%s]", strings.TrimSpace(string(name)))
	}
	return oneLine(text)
}
