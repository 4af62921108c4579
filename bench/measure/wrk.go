package measure

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// Wrk is a load of wrk with one thread, flat out.
type Wrk struct {
	URL         string
	Connections int
	Fields      []string // of the header, beside Host
	Pin         []string // a command before it, such as taskset's
}

// Run loads the URL for a span. wrk knows whole seconds only; shorter is ended by
// a signal.
func (w Wrk) Run(span time.Duration) (requests, failed int, err error) {
	command := append([]string{"timeout", "--signal=INT", strconv.FormatFloat(span.Seconds(), 'f', 3, 64)}, w.Pin...)
	command = append(command, "wrk", "-t", "1", "-c", strconv.Itoa(w.Connections), "-d", "1h")
	for _, f := range w.Fields {
		command = append(command, "-H", f)
	}
	command = append(command, w.URL)
	out, _ := exec.Command(command[0], command[1:]...).CombinedOutput() // timeout's status says that it was the time
	return parseWrk(string(out))
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkFailures = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)|Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

func parseWrk(out string) (requests, failed int, err error) {
	m := wrkRequests.FindStringSubmatch(out)
	if m == nil {
		return 0, 0, fmt.Errorf("wrk says: %s", out)
	}
	requests, _ = strconv.Atoi(m[1])
	for _, m := range wrkFailures.FindAllStringSubmatch(out, -1) {
		for _, digits := range m[1:] {
			n, _ := strconv.Atoi(digits)
			failed += n
		}
	}
	return requests, failed, nil
}
