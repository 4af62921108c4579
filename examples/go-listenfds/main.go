// Go-listenfds is a web server that takes a listening socket which is already
// open, by the convention of systemd's socket activation (sd_listen_fds(3)): no
// port of its own, and no request lost while it is replaced. Without such a
// socket it listens on $PORT.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
)

// firstFD is SD_LISTEN_FDS_START: the sockets come after stdin, stdout and stderr.
const firstFD = 3

func main() {
	l, err := listen()
	if err != nil {
		log.Fatalf("cannot listen: %v", err)
	}
	log.Printf("listening on %s", l.Addr())
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello from worker %s\n", os.Getenv("BULSA_WORKER"))
	})
	log.Fatal(http.Serve(l, nil))
}

// listen returns the first inherited socket, else a new one on $PORT.
func listen() (net.Listener, error) {
	if !inherited() {
		return net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	}
	f := os.NewFile(firstFD, "LISTEN_FD_3")
	defer f.Close() // FileListener works on a copy
	return net.FileListener(f)
}

// inherited reports whether there are sockets, and that they are meant for this
// process: the variables may have been inherited from a parent.
func inherited() bool {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	return err == nil && n > 0 && os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid())
}
