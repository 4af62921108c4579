package daemon

import (
	"os"
	"runtime/debug"
)

// collectorPercent lets the heap grow to five times what is alive before it is
// collected. What is alive is a few megabytes; at Go's default the collector
// would run many times a second under load, and health checks would begin later.
const collectorPercent = 400

// TuneCollector sets the garbage collector for a program that lives long with
// little memory. $GOGC, where it is set, decides instead.
func TuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
}
