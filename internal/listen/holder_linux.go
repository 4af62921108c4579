package listen

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holder looks in /proc for the process that has the port open. Processes of
// other users stay hidden.
func holder(network string, port int) (pid int, program string) {
	inodes := make(map[string]bool)
	for _, table := range []string{network, network + "6"} {
		addInodes(inodes, "/proc/net/"+table, network == "tcp", port)
	}
	if len(inodes) == 0 {
		return 0, ""
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !inodes[to] {
			continue
		}
		name := strings.Split(link, "/")[2]
		comm, _ := os.ReadFile("/proc/" + name + "/comm")
		pid, _ = strconv.Atoi(name)
		return pid, strings.TrimSpace(string(comm))
	}
	return 0, ""
}

// addInodes reads a table of proc_net(5) for sockets bound to port; of TCP those
// that listen.
func addInodes(inodes map[string]bool, table string, listening bool, port int) {
	const (
		localAddress, state, inode = 1, 3, 9
		listen                     = "0A" // TCP_LISTEN
	)
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	suffix := ":" + strings.ToUpper(leftPad(strconv.FormatInt(int64(port), 16)))
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > inode && strings.HasSuffix(fields[localAddress], suffix) && (!listening || fields[state] == listen) {
			inodes["socket:["+fields[inode]+"]"] = true
		}
	}
}

func leftPad(hex string) string { return strings.Repeat("0", max(0, 4-len(hex))) + hex }
