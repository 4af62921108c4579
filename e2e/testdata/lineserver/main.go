// Lineserver speaks no HTTP: it answers each line with its worker's number and the
// line, on $PORT. With the argument "first" it speaks first, as mail servers do; with a
// number it listens on that port, too.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"os"
)

func main() {
	for _, arg := range os.Args[1:] {
		if arg != "first" {
			go listen(arg)
		}
	}
	listen(os.Getenv("PORT"))
}

func listen(port string) {
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn, len(os.Args) > 1 && os.Args[1] == "first")
	}
}

func serve(conn net.Conn, first bool) {
	defer conn.Close()
	worker := os.Getenv("BULSA_WORKER")
	if first {
		fmt.Fprintf(conn, "220 worker %s\r\n", worker)
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		fmt.Fprintf(conn, "%s %s\r\n", worker, lines.Text())
	}
}
