// Portserver is a web server that listens on $PORT, or on the port that is its
// argument, and knows of nothing else.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	port := os.Getenv("PORT")
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello from worker %s\n", os.Getenv("BULSA_WORKER"))
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
