package admin

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"bulsa/internal/api"
)

const (
	maxBody      = 4 << 20 // bytes: a resolved project is far smaller
	maxReplicas  = 10000
	bodyTime     = 10 * time.Second
	longestWait  = 10 * time.Minute
	readyPolling = 20 * time.Millisecond
	// takeTime is how long a reader may take to take an answer that does not last.
	takeTime = 30 * time.Second
)

// answer turns an error of a handler into a status and an api.Error.
func (s *Server) answer(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		http.NewResponseController(w).SetWriteDeadline(time.Time{}) // the one of the request before
		err := h(w, r)
		if err == nil || r.Context().Err() != nil {
			return
		}
		code := statusOf(err)
		if code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="bulsa"`)
		}
		writeJSON(w, code, api.Error{Message: oneLine(err.Error())})
	})
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// soon ends the connection of a reader that does not take what comes next.
func soon(w http.ResponseWriter) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(takeTime))
}

// writeJSON cannot fail in a way that anybody could still be told.
func writeJSON(w http.ResponseWriter, code int, v any) {
	soon(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

//go:embed page
var pages embed.FS // go:embed needs a variable; nobody writes to it

// page serves the status page, page/index.html for /, and what it consists of.
func (s *Server) page(w http.ResponseWriter, r *http.Request) error {
	dir, err := fs.Sub(pages, "page")
	if err != nil {
		return err
	}
	soon(w)
	http.FileServerFS(dir).ServeHTTP(w, r)
	return nil
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	soon(w)
	s.metrics.ServeHTTP(w, r)
	return nil
}

func (s *Server) unknown(_ http.ResponseWriter, r *http.Request) error {
	return NotFound(fmt.Sprintf("nothing is at %s %s", r.Method, r.URL.Path))
}

// livez tells that bulsa itself answers, whatever its workers do: who restarts it by
// /healthz would do so because an application is ill.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
	return nil
}

// healthz tells a load balancer or an orchestrator whether the project stands.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	r := s.cfg.Control.Project().Readiness(time.Now())
	code := http.StatusOK
	if !r.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, r)
	return nil
}

func (s *Server) project(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, s.cfg.Control.Project())
	return nil
}

func (s *Server) workers(w http.ResponseWriter, r *http.Request) error {
	all, err := boolean(r, "all")
	if err != nil {
		return err
	}
	workers := []api.Worker{}
	for _, service := range s.cfg.Control.Project().Services {
		for _, worker := range service.Workers {
			if all || worker.State != "pending" {
				workers = append(workers, worker)
			}
		}
	}
	writeJSON(w, http.StatusOK, workers)
	return nil
}

func (s *Server) inspect(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	container, _, _ := strings.Cut(name, "/") // app.1/2 is inside of app.1
	if err := s.known(container); err != nil {
		return err
	}
	i, err := s.cfg.Control.Inspect(name)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, i)
	return nil
}

// ready answers as soon as the project is ready or found failing, at the latest
// after ?wait.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	wait := time.Duration(0)
	if text := r.URL.Query().Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > longestWait {
			return Invalid(fmt.Sprintf("wait=%s: not a duration from 0s to %s", text, longestWait))
		}
		wait = d
	}
	settled, err := boolean(r, "settled")
	if err != nil {
		return err
	}
	end := time.NewTimer(wait)
	defer end.Stop()
	tick := time.NewTicker(readyPolling)
	defer tick.Stop()
	for {
		project := s.cfg.Control.Project()
		state := project.Readiness(time.Now())
		if settled {
			state = project.Settled(time.Now())
		}
		if state.Ready || state.Failing || wait == 0 {
			writeJSON(w, http.StatusOK, state)
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-end.C:
			wait = 0
		case <-tick.C:
		}
	}
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) error {
	follow, err := boolean(r, "follow")
	if err != nil {
		return err
	}
	tail := -1
	if text := r.URL.Query().Get("tail"); text != "" && text != "all" {
		if tail, err = strconv.Atoi(text); err != nil || tail < -1 {
			return Invalid(fmt.Sprintf("tail=%s: not a number of lines, or all", text))
		}
	}
	names := r.URL.Query()["name"]
	if err := s.known(names...); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	lines, err := s.cfg.Control.Logs(ctx, tail, follow, names)
	if err != nil {
		return err
	}
	stream(ctx, w, lines)
	return nil
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	follow, err := boolean(r, "follow")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events, err := s.cfg.Control.Events(ctx, follow)
	if err != nil {
		return err
	}
	stream(ctx, w, events)
	return nil
}

// stream sends one JSON object a line, and flushes when there is no next one yet.
func stream[T any](ctx context.Context, w http.ResponseWriter, items <-chan T) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w).Flush
	encoder := json.NewEncoder(w)
	flush()
	for {
		select {
		case <-ctx.Done():
			return
		case item, open := <-items:
			if !open || encoder.Encode(item) != nil {
				return
			}
			if len(items) == 0 && flush() != nil {
				return
			}
		}
	}
}

func (s *Server) scale(w http.ResponseWriter, r *http.Request) error {
	var req api.ScaleRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	scales := req.Services
	if len(scales) == 0 {
		scales = []api.Scale{req.Scale}
	} else if req.Scale != (api.Scale{}) {
		return Invalid("scale takes one service, or services, not both")
	}
	if err := s.checkScales(scales); err != nil {
		return err
	}
	message, err := s.cfg.Control.Scale(r.Context(), scales, req.Wait)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, api.Answer{Message: message})
	return nil
}

// checkScales finds what can be wrong with one of several before any is scaled.
func (s *Server) checkScales(scales []api.Scale) error {
	p := s.cfg.Control.Project()
	seen := map[string]bool{}
	for _, one := range scales {
		switch {
		case (one.Replicas == nil) == (one.By == nil):
			return Invalid("scale needs either replicas, a number, or by, a difference")
		case one.Replicas != nil && (*one.Replicas < 0 || *one.Replicas > maxReplicas):
			return Invalid(fmt.Sprintf("scale needs a number of replicas from 0 to %d", maxReplicas))
		case one.By != nil && (*one.By < -maxReplicas || *one.By > maxReplicas):
			return Invalid(fmt.Sprintf("scale by at most %d", maxReplicas))
		case !slices.Contains(p.ServiceNames(), one.Service):
			return NotFound(p.NoSuch("service", one.Service))
		case seen[one.Service]:
			return Invalid(fmt.Sprintf("service %s is named twice", one.Service))
		}
		seen[one.Service] = true
	}
	return nil
}

func (s *Server) start(w http.ResponseWriter, r *http.Request) error {
	return s.withNames(w, r, s.cfg.Control.Start)
}

func (s *Server) stopNames(w http.ResponseWriter, r *http.Request) error {
	return s.withNames(w, r, s.cfg.Control.Stop)
}

func (s *Server) restart(w http.ResponseWriter, r *http.Request) error {
	return s.withNames(w, r, s.cfg.Control.Restart)
}

func (s *Server) withNames(w http.ResponseWriter, r *http.Request, do func(context.Context, []string, bool) error) error {
	var req api.NamesRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	if err := s.known(req.Names...); err != nil {
		return err
	}
	return s.done(w, do(r.Context(), req.Names, req.Wait))
}

func (s *Server) kill(w http.ResponseWriter, r *http.Request) error {
	var req api.KillRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	p := s.cfg.Control.Project()
	if !p.HasWorker(req.Worker) {
		return NotFound(p.NoSuch("worker", req.Worker))
	}
	return s.done(w, s.cfg.Control.Kill(r.Context(), req.Worker, req.Signal))
}

func (s *Server) down(w http.ResponseWriter, r *http.Request) error {
	var req api.DownRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	var within *time.Duration
	if req.Seconds != nil {
		if *req.Seconds < 0 || *req.Seconds > math.MaxInt32 {
			return Invalid("seconds is from 0 to 2147483647")
		}
		within = new(time.Duration(*req.Seconds) * time.Second)
	}
	// The project ends even when the one who asked is gone already.
	return s.done(w, s.cfg.Control.Down(context.WithoutCancel(r.Context()), within))
}

func (s *Server) apply(w http.ResponseWriter, r *http.Request) error {
	var raw json.RawMessage
	if err := decode(w, r, &raw); err != nil {
		return err
	}
	message, err := s.cfg.Control.Apply(r.Context(), raw)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, api.Answer{Message: message})
	return nil
}

func (s *Server) done(w http.ResponseWriter, err error) error {
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, api.Answer{})
	return nil
}

// known refuses a name that is neither a service nor a worker.
func (s *Server) known(names ...string) error {
	if len(names) == 0 {
		return nil
	}
	p := s.cfg.Control.Project()
	for _, name := range names {
		if !slices.Contains(p.ServiceNames(), name) && !slices.Contains(p.WorkerNames(), name) {
			return NotFound(p.NoSuch("worker or service", name))
		}
	}
	return nil
}

// decode reads one JSON value and nothing behind it.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if err := checkJSON(r); err != nil {
		return err
	}
	// Only the body has a deadline: one for the whole request (http.Server's
	// ReadTimeout) would end streams and long waits too.
	deadline := http.NewResponseController(w).SetReadDeadline
	deadline(time.Now().Add(bodyTime))
	defer deadline(time.Time{})
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return Invalid("the body is not the JSON that is expected here: " + err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Invalid("the body has more than one JSON value")
	}
	return nil
}

func boolean(r *http.Request, key string) (bool, error) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, Invalid(fmt.Sprintf("%s=%s: neither true nor false", key, text))
	}
	return b, nil
}
