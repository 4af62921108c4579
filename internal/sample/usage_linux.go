package sample

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, which Linux promises to user space (proc(5)).
const ticksPerSecond = 100

// sessionUsage sums up what the sessions led by leaders use: every worker leads
// a session of its own. One pass over /proc; see proc(5), /proc/pid/stat.
func sessionUsage(leaders map[int]bool) map[int]Usage {
	out := map[int]Usage{}
	if len(leaders) == 0 {
		return out
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return out
	}
	page := int64(unix.Getpagesize())
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// To ask for the session costs a tenth of reading the file, and most are others'.
		if session, err := unix.Getsid(pid); err == nil && !leaders[session] {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		session, ticks, pages, ok := parseStat(stat)
		if !ok || !leaders[session] {
			continue
		}
		u := out[session]
		u.CPU += time.Duration(ticks) * time.Second / ticksPerSecond
		u.Memory += pages * page
		out[session] = u
	}
	return out
}

// machineTime reads the time of all processors together (proc_stat(5)).
func machineTime() ticks {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}
	}
	first, _, _ := bytes.Cut(text, []byte{'\n'})
	var t ticks
	for i, field := range bytes.Fields(first)[1:] {
		n, _ := strconv.ParseUint(string(field), 10, 64)
		const idle, iowait, guest = 3, 4, 8 // guest time is part of user time
		if i >= guest {
			break
		}
		t.all += n
		if i != idle && i != iowait {
			t.busy += n
		}
	}
	return t
}

// parseStat reads session (field 6), utime and stime (14, 15) and rss (24). The
// command in field 2 may hold spaces and parentheses; the last one ends it.
func parseStat(stat []byte) (session int, ticks, pages int64, ok bool) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, 0, false
	}
	fields := bytes.Fields(stat[end+1:]) // fields[0] is field 3
	if len(fields) < 22 {
		return 0, 0, 0, false
	}
	number := func(field int) int64 {
		n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64)
		return n
	}
	return int(number(6)), number(14) + number(15), number(24), true
}
