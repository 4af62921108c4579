package proxy

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// goroutines is Config.Goroutines of the proxies under test.
var goroutines bool

// TestMain runs all tests on event loops and then on goroutines: what a client
// sees must be the same.
func TestMain(m *testing.M) {
	code := m.Run()
	if runtime.GOOS == "linux" && code == 0 {
		fmt.Println("on goroutines:")
		goroutines = true
		code = m.Run()
	}
	os.Exit(code)
}
