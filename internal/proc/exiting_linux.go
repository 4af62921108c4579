// Package proc asks the kernel about a process by its number.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// flagExiting is PF_EXITING of the kernel: set before a dying process's
// descriptors are closed (kernel/exit.c, do_exit).
const flagExiting = 0x4

// Exiting reports whether the process is on its way out or gone. Its
// descriptors may be closed in any order, so that one of them is closed first
// says nothing; this does.
func Exiting(pid int) bool {
	if pid == 0 {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	// Field 2, the command, may hold spaces and parentheses; fields[0] is field 3, proc(5).
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const state, flags = 0, 6 // fields 3 and 9
	if len(fields) <= flags {
		return true
	}
	n, err := strconv.ParseUint(string(fields[flags]), 10, 64)
	return err != nil || n&flagExiting != 0 || fields[state][0] == 'Z'
}
