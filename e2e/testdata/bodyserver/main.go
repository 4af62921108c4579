// Bodyserver does what testdata/apps/bodies.js does, without knowing of bulsa: it
// listens on $PORT of 127.0.0.1, or on the unix socket that is its argument.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
)

func main() {
	network, address := "tcp", "127.0.0.1:"+os.Getenv("PORT")
	if len(os.Args) > 1 {
		network, address = "unix", os.Args[1]
		os.Remove(address)
	}
	ledger, err := os.OpenFile(os.Getenv("LEDGER"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.FormValue("id"); id != "" {
			fmt.Fprintln(ledger, id)
		}
		if r.Method == http.MethodGet {
			down(w, r)
			return
		}
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err == nil {
			fmt.Fprintf(w, "%x", h.Sum(nil))
		}
	})))
}

// down sends as many bytes as it is asked for: 0 to 250, over and over.
func down(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("bytes"))
	if r.FormValue("framing") == "length" {
		w.Header().Set("Content-Length", strconv.Itoa(n))
	}
	piece := make([]byte, 251*64)
	for i := range piece {
		piece[i] = byte(i % 251)
	}
	for ; n > 0; n -= len(piece) {
		io.Copy(w, bytes.NewReader(piece[:min(n, len(piece))]))
	}
}
