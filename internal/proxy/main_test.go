package proxy

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// The ways to serve a client that a Config asks for.
var (
	goroutines  bool
	singleCalls bool
)

// TestMain runs all tests on event loops and then on goroutines: what a client sees
// must be the same. Loops that make each receive and send by a call of its own differ
// in how bytes come and go alone, so only what is about that is tested on them.
func TestMain(m *testing.M) {
	if runtime.GOOS != "linux" {
		os.Exit(m.Run())
	}
	code := m.Run()
	if fuzz := flag.Lookup("test.fuzz").Value.String(); fuzz != "" && !strings.Contains(fuzz, "Loop") {
		os.Exit(code) // the others fuzz functions
	}
	if code == 0 {
		fmt.Println("on goroutines:")
		goroutines = true
		code = m.Run()
		goroutines = false
	}
	if filter := flag.Lookup("test.run"); code == 0 && filter.Value.String() == "" {
		fmt.Println("on loops without io_uring:")
		singleCalls = true
		_ = filter.Value.Set("Pieces|AtAnyByte|Lost|Killed|Bodies|Failed|Allocates|Recall|Shapes|FuzzLoop")
		code = m.Run()
	}
	os.Exit(code)
}
