// Command reverseproxy is what a Go program gets from its standard library:
// httputil.ReverseProxy over several servers in turn, with the connection pool
// and the buffers that one would set for speed.
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "HOST:PORT")
	flag.Parse()
	var turn atomic.Uint64
	servers := flag.Args()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: servers[turn.Add(1)%uint64(len(servers))]})
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		Transport:  &http.Transport{MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Minute, DisableCompression: true},
		BufferPool: &buffers{},
	}
	log.Fatal((&http.Server{Addr: *listen, Handler: proxy}).ListenAndServe())
}

// buffers lends those through which bodies are copied.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
