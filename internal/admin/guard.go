package admin

import (
	"crypto/subtle"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// refusal is the answer 401, 403 or 503: who asks, or how, or how often, is not good enough.
type refusal struct {
	status  int
	message string
}

func (e *refusal) Error() string { return e.message }

func forbidden(message string) error { return &refusal{http.StatusForbidden, message} }

// guard puts the checks of TCP in front of a route. A browser on this machine
// can be made to send requests here by any page it shows, so that "it comes from
// loopback" proves nothing.
func (s *Server) guard(r route, h handler) handler {
	return func(w http.ResponseWriter, req *http.Request) error {
		if err := checkHost(req); err != nil {
			return err
		}
		if err := checkOrigin(req, r.access); err != nil {
			return err
		}
		if r.access.changes() {
			if err := s.checkChange(req, r.access); err != nil {
				return err
			}
		}
		return h(w, req)
	}
}

// checkHost stops DNS rebinding: a name that leads here for a moment is no name
// of ours. Comparing Origin with Host would not stop it, since both are the attacker's.
func checkHost(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil || strings.EqualFold(host, "localhost") {
		return nil
	}
	return forbidden("the admin server answers under an IP address or localhost only")
}

// checkOrigin stops pages of other origins. Following a link to a page that only reads is fine.
func checkOrigin(r *http.Request, a access) error {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return forbidden("requests from pages of another origin are refused")
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return nil
	}
	if !a.changes() && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return nil
	}
	return forbidden("requests from pages of another site are refused")
}

// checkChange is about requests that change the project.
func (s *Server) checkChange(r *http.Request, a access) error {
	if a == local {
		return forbidden("this is answered on the control socket only")
	}
	if r.Header.Get("X-Bulsa") == "" {
		return forbidden("a change needs the header X-Bulsa: 1")
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if s.cfg.Token == "" || !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare([]byte(token), []byte(s.cfg.Token)) != 1 {
		return &refusal{http.StatusUnauthorized, "a change needs the header Authorization: Bearer TOKEN, with the token from the file beside the control socket"}
	}
	return nil
}

// checkJSON keeps out bodies that a plain HTML form can send.
func checkJSON(r *http.Request) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return Invalid("a change needs the header Content-Type: application/json")
	}
	return nil
}

// secured sets the headers that keep browsers from doing more than show a page.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// statusOf is the HTTP status that tells an error.
func statusOf(err error) int {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.status
	}
	return status(err)
}
