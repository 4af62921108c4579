package admin

import (
	"net/http"
	"slices"

	"bulsa/internal/api"
)

// doctor answers from what is measured anyway.
func (s *Server) doctor(w http.ResponseWriter, r *http.Request) error {
	return s.examine(w, r, api.DoctorRequest{Service: r.URL.Query().Get("service")})
}

// doctorProfile may also look into a worker.
func (s *Server) doctorProfile(w http.ResponseWriter, r *http.Request) error {
	var req api.DoctorRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	return s.examine(w, r, req)
}

func (s *Server) examine(w http.ResponseWriter, r *http.Request, req api.DoctorRequest) error {
	p := s.cfg.Control.Project()
	if req.Service != "" && !slices.Contains(p.ServiceNames(), req.Service) {
		return NotFound(p.NoSuch("service", req.Service))
	}
	report, err := s.cfg.Control.Doctor(r.Context(), req.Service, req.Profile)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}
