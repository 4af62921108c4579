// Command conformance counts how many cases of a public probe of HTTP/1.1 servers
// a proxy passes. Without -address it starts bulsa, nginx and HAProxy one after
// another before the same application, and asks that application itself, too.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	address := flag.String("address", "", "HOST:PORT of a server to ask; it has to answer as the application of -origin does")
	listen := flag.String("origin", "", "serve the application at this HOST:PORT and do nothing else")
	bulsa := flag.String("bulsa", "./bulsa", "bulsa's program")
	all := flag.Bool("v", false, "list what passed, too")
	flag.Parse()
	if err := run(*address, *listen, *bulsa, *all); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(address, listen, bulsa string, all bool) error {
	switch {
	case listen != "":
		return http.ListenAndServe(listen, origin())
	case address != "":
		report(os.Stdout, address, ask(address), all)
		return nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: origin()}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	for _, c := range contenders(bulsa) {
		results, err := c.measure(ln.Addr().String())
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		report(os.Stdout, c.title(), results, all)
	}
	report(os.Stdout, "the application alone (net/http)", ask(ln.Addr().String()), all)
	return nil
}

func ask(address string) []Result {
	p := &Prober{
		Dial: func() (net.Conn, error) { return net.DialTimeout("tcp", address, 5*time.Second) },
		Host: address, Quiet: 3 * time.Second, Settle: 300 * time.Millisecond, Patience: 8 * time.Second,
	}
	return p.Run()
}

// tally counts the verdicts on what is counted.
func tally(results []Result) (passed, lax, counted int) {
	for _, r := range results {
		switch {
		case r.Note:
			continue
		case r.Verdict == Passed:
			passed++
		case r.Verdict == Lax:
			lax++
		}
		counted++
	}
	return passed, lax, counted
}

func report(w io.Writer, name string, results []Result, all bool) {
	passed, lax, counted := tally(results)
	fmt.Fprintf(w, "%s: %d of %d passed, %d lax, %d failed\n", name, passed, counted, lax, counted-passed-lax)
	for _, r := range results {
		if r.Verdict == Passed && !all {
			continue
		}
		note := ""
		if r.Note {
			note = " (not counted)"
		}
		fmt.Fprintf(w, "  %-6s %s, RFC %s%s: %s\n", r.Verdict, r.Name, r.RFC, note, r.Got)
	}
}
