// Command unhealthy measures how long users get bad answers after one of two
// containers behind one port has turned unhealthy: with Docker alone, with what
// Compose makes of it, with autoheal's loop, and with bulsa. It writes
// bench/results. It starts a dockerd of its own, for which it must be root.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bulsa/bench/measure"
	"bulsa/internal/dockertest"
)

type options struct {
	bulsa, app, results string

	runs  int
	limit time.Duration
}

// The health check is the same for all.
const (
	interval = 2 * time.Second
	timeout  = 5 * time.Second
	retries  = 3
)

const (
	baseImage = "node:22-slim"
	appImage  = "bulsa-bench/unhealthy"
)

func main() {
	var o options
	flag.StringVar(&o.bulsa, "bulsa", "./bulsa", "the program under test")
	flag.StringVar(&o.app, "app", "bench/unhealthy/app.js", "the service")
	flag.StringVar(&o.results, "results", "bench/results", "folder for the report; empty: none is written")
	flag.IntVar(&o.runs, "runs", 3, "runs of each peer that recovers; one of each other")
	flag.DurationVar(&o.limit, "limit", 30*time.Second, "when a peer counts as not recovering")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "unhealthy:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	if o.bulsa, err = filepath.Abs(o.bulsa); err != nil {
		return err
	}
	d, err := dockertest.New()
	if err != nil {
		return err
	}
	defer func() {
		if failed := d.Remove(); err == nil {
			err = failed
		}
	}()
	app, err := os.ReadFile(o.app)
	if err != nil {
		return err
	}
	if err := d.ImportBase(baseImage, "node", "sh", "wget"); err != nil {
		return err
	}
	dockerfile := "FROM " + baseImage + "\nCOPY app.js /app.js\nCMD [\"node\", \"/app.js\"]\n"
	if err := d.Build(appImage, dockerfile, map[string][]byte{"app.js": app}); err != nil {
		return err
	}
	began, load := time.Now(), measure.LoadAverage()
	seen := map[string][]outcome{}
	for i := range o.runs {
		for _, c := range contenders() {
			if i > 0 && !seen[c.title][0].recovered {
				continue
			}
			x, err := c.measure(o, docker{d.Host})
			if err != nil {
				return fmt.Errorf("%s: %w", c.title, err)
			}
			fmt.Printf("%-20s %s\n", c.title, x)
			seen[c.title] = append(seen[c.title], x)
		}
	}
	text := report(began, load, o, seen)
	fmt.Print("\n", text)
	if o.results == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(o.results, began.Format("2006-01-02")+"-unhealthy.md"), []byte(text), 0o644)
}

func report(began time.Time, load string, o options, seen map[string][]outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# A container that turns unhealthy\n\n%s. %s. %s, %s. Load average at the start %s.\n\n",
		began.Format("2006-01-02"), measure.Machine(), measure.FirstLine("dockerd", "--version"), measure.FirstLine("nginx", "-v"), load)
	fmt.Fprintf(&b, "Two containers behind one port; one begins to answer 500 to everything, its health check included, until it is restarted. Docker runs the check for all: every %s, %d failures in a row "+
		"make it unhealthy. A client asks 20 times a second. For all but bulsa nginx stands in front, with its defaults, in turn. Autoheal is its loop: each %s it looks for unhealthy containers and restarts them "+
		"with `docker restart -t 10`. Made by `go run ./bench/unhealthy`.\n\n", interval, retries, healEvery)
	fmt.Fprintf(&b, "| | users get good answers again after | bad answers | what happened |\n|---|---|---|---|\n")
	for _, c := range contenders() {
		runs := seen[c.title]
		var times, bad []float64
		for _, x := range runs {
			times, bad = append(times, x.after.Seconds()), append(bad, float64(x.bad))
		}
		after := fmt.Sprintf("**%.1f s** (%s)", measure.Median(times), each(times, "%.1f"))
		if !runs[0].recovered {
			after = fmt.Sprintf("**never** (not within %s)", o.limit)
		}
		fmt.Fprintf(&b, "| %s | %s | %s of %d | %s |\n", c.title, after, each(bad, "%.0f"), runs[0].asked, c.what)
	}
	fmt.Fprintf(&b, "\nIn brackets each run. The requests asked are those of the first one. The loop begins to count at about the time of the fault, so it looks 5 and 10 s later; "+
		"at another moment it may look at once after Docker's verdict, or 5 s after it.\n")
	return b.String()
}

func each(values []float64, format string) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprintf(format, v)
	}
	return strings.Join(words, ", ")
}
