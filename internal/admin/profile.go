package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"bulsa/internal/api"
)

// longestLook bounds how long a worker may be profiled or traced.
const longestLook = 5 * time.Minute

func (s *Server) profile(w http.ResponseWriter, r *http.Request) error {
	return lookFor(s, w, r, s.cfg.Control.Profile)
}

func (s *Server) phases(w http.ResponseWriter, r *http.Request) error {
	return lookFor(s, w, r, s.cfg.Control.Phases)
}

// lookFor looks into a worker for a time and answers what was seen.
func lookFor[T any](s *Server, w http.ResponseWriter, r *http.Request, look func(context.Context, string, time.Duration) (T, error)) error {
	req, err := s.profileRequest(w, r)
	if err != nil {
		return err
	}
	d := time.Duration(req.Seconds * float64(time.Second))
	if d <= 0 || d > longestLook {
		return Invalid(fmt.Sprintf("seconds: %g is not above 0 and at most %g", req.Seconds, longestLook.Seconds()))
	}
	seen, err := look(r.Context(), req.Worker, d)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, seen)
	return nil
}

// heap streams a snapshot. What goes wrong before its first byte is an answer
// like any other; later it is told in a trailer.
func (s *Server) heap(w http.ResponseWriter, r *http.Request) error {
	req, err := s.profileRequest(w, r)
	if err != nil {
		return err
	}
	w.Header().Set("Trailer", api.ErrorTrailer)
	body := &begun{ResponseWriter: w}
	err = s.cfg.Control.Heap(r.Context(), req.Worker, body)
	if err == nil || !body.any {
		return err
	}
	w.Header().Set(api.ErrorTrailer, oneLine(err.Error()))
	return nil
}

func (s *Server) profileRequest(w http.ResponseWriter, r *http.Request) (api.ProfileRequest, error) {
	var req api.ProfileRequest
	if err := decode(w, r, &req); err != nil {
		return req, err
	}
	p := s.cfg.Control.Project()
	if !p.HasWorker(req.Worker) {
		return req, NotFound(p.NoSuch("worker", req.Worker))
	}
	return req, nil
}

// begun knows whether anything was written.
type begun struct {
	http.ResponseWriter
	any bool
}

func (b *begun) Write(p []byte) (int, error) {
	if !b.any {
		b.any = true
		b.Header().Set("Content-Type", "application/json")
	}
	return b.ResponseWriter.Write(p)
}
