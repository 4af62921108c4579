package spec

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration as Go, Docker and Compose write it: 5s,
// 1m30s, and Compose's days and weeks (1d, 1w2d). Negative ones are errors.
func ParseDuration(text string) (time.Duration, error) {
	var long time.Duration
	rest := strings.TrimSpace(text)
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, badDuration(text)
		}
		long += time.Duration(n) * unit.length
		rest = after
	}
	if rest == "" && long > 0 {
		return long, nil
	}
	short, err := time.ParseDuration(rest)
	if err != nil || short < 0 || short > math.MaxInt64-long {
		return 0, badDuration(text)
	}
	return long + short, nil
}

func badDuration(text string) error {
	return fmt.Errorf("%q is not a duration; write it like 500ms, 5s or 1m30s", text)
}

// ParseSize reads a number of bytes as Compose writes it: 1048576, 10m, 10mb,
// 1.5g; the units are powers of 1024. The result is never negative.
func ParseSize(text string) (int64, error) {
	number := strings.ToLower(strings.TrimSpace(text))
	number = strings.TrimSuffix(strings.TrimSuffix(number, "b"), "i")
	shift := 0
	if n := len(number); n > 0 {
		if i := strings.IndexByte("kmgt", number[n-1]); i >= 0 {
			shift, number = 10*(i+1), number[:n-1]
		}
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	size := f * float64(int64(1)<<shift)
	if err != nil || math.IsNaN(size) || size < 0 || size >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size; write it like 512k, 10m or 1g", text)
	}
	return int64(size), nil
}

// ParseRestart reads docker's restart policy (no, always, unless-stopped,
// on-failure[:N]) into r.
func ParseRestart(text string, r *Restart) error {
	policy, attempts, limited := strings.Cut(text, ":")
	switch policy {
	case "no":
		r.Condition = RestartNever
	case "always", "unless-stopped":
		r.Condition = RestartAlways
	case "on-failure":
		r.Condition = RestartOnFailure
	default:
		return fmt.Errorf("%q is not a restart policy; use no, on-failure[:N], always or unless-stopped", text)
	}
	if !limited {
		return nil
	}
	n, err := strconv.Atoi(attempts)
	if err != nil || n < 0 || policy != "on-failure" {
		return fmt.Errorf("%q is not a restart policy; a count is a whole number and stands after on-failure only, as in on-failure:5", text)
	}
	r.MaxAttempts = n
	return nil
}

// ParsePublish reads the value of -p: [HOST:]PORT[:TARGET], an IPv6 host in
// brackets. PORT 0 is any free port; without TARGET the first port that the
// application asks for is meant.
func ParsePublish(text string) (Port, error) {
	fail := func() (Port, error) {
		return Port{}, fmt.Errorf("%q is not [HOST:]PORT[:TARGET]; write it like 3333, 3333:3000 or 127.0.0.1:3333:3000", text)
	}
	rest, host := text, ""
	if after, bracketed := strings.CutPrefix(text, "["); bracketed {
		inside, tail, closed := strings.Cut(after, "]:")
		if !closed || inside == "" {
			return fail()
		}
		host, rest = inside, tail
	} else if first, tail, _ := strings.Cut(text, ":"); isHost(first, tail) {
		host, rest = first, tail
	}
	if strings.HasPrefix(rest, ":") {
		return fail()
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			return Port{}, fmt.Errorf("%q in %q is not an address; give an IP address or localhost", host, text)
		}
	}
	published, target, hasTarget := strings.Cut(rest, ":")
	p := Port{Host: host}
	var err error
	if p.Published, err = parsePort(published); err != nil {
		return fail()
	}
	if hasTarget {
		if p.Target, err = parsePort(target); err != nil {
			return fail()
		}
	}
	return p, nil
}

// isHost tells HOST:PORT from PORT:TARGET: a host is no plain number.
func isHost(first, tail string) bool {
	if tail == "" {
		return false
	}
	_, err := strconv.Atoi(first)
	return first != "" && err != nil
}

func parsePort(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err
}

// ParseServer reads an external server's address in nginx's words - host,
// host:port, [::1]:port, unix:/path - and adds nginx's default port 80.
func ParseServer(text string) (string, error) {
	if scheme, path, _ := strings.Cut(text, ":"); scheme == "unix" {
		if !strings.HasPrefix(path, "/") || len(path) < 2 {
			return "", fmt.Errorf("%q is not an absolute socket path; write unix:/run/app.sock", text)
		}
		return text, nil
	}
	host, port := text, "80"
	if i := strings.LastIndexByte(text, ':'); i >= 0 && i > strings.LastIndexByte(text, ']') {
		host, port = text[:i], text[i+1:]
	}
	n, err := parsePort(port)
	if err != nil || n == 0 || !validHost(host) {
		return "", fmt.Errorf("%q is not a server address; write host:port, [::1]:port or unix:/path", text)
	}
	return host + ":" + strconv.Itoa(n), nil
}

// validHost accepts a DNS name, an IPv4 address or a bracketed IPv6 address.
func validHost(host string) bool {
	if inside, bracketed := strings.CutPrefix(host, "["); bracketed {
		inside, closed := strings.CutSuffix(inside, "]")
		a, err := netip.ParseAddr(inside)
		return closed && err == nil && a.Is6()
	}
	if host == "" || len(host) > 253 {
		return false
	}
	return strings.IndexFunc(host, func(r rune) bool {
		return !(r == '-' || r == '.' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}) < 0
}

// ParseNetwork reads a trusted proxy: a CIDR, or one address.
func ParseNetwork(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write it like 10.0.0.0/8 or 192.0.2.1", text)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// ParseRoute brings a route's host and path to the form that is compared: the
// host in lower case, the path without a final slash.
func ParseRoute(r Route) (Route, error) {
	r.Host = strings.TrimSuffix(strings.ToLower(r.Host), ".")
	name := strings.TrimPrefix(r.Host, "*.")
	switch {
	case r.Host == "" && r.Path == "":
		return r, errors.New("a route names neither host nor path; give one, or path: / for all")
	case strings.Contains(name, "*"):
		return r, fmt.Errorf("%q is not a host; a wildcard is the whole first label, as in *.example.com", r.Host)
	case r.Host != "" && !isHostName(name):
		return r, fmt.Errorf("%q is not a host; write a name such as api.example.com, without scheme and port", r.Host)
	}
	if r.Path == "" {
		r.Path = "/"
	}
	if !strings.HasPrefix(r.Path, "/") {
		return r, fmt.Errorf("%q is not a path; begin it with /", r.Path)
	}
	if r.Path != "/" {
		r.Path = strings.TrimSuffix(r.Path, "/")
	}
	if bad := strings.IndexFunc(r.Path, func(c rune) bool { return c <= ' ' || c == 0x7f || strings.ContainsRune("?#%*", c) }); bad >= 0 {
		return r, fmt.Errorf("%q is not a path; write it plainly, without ?, #, %%, * and spaces", r.Path)
	}
	for segment := range strings.SplitSeq(r.Path[1:], "/") {
		if segment == "." || segment == ".." || segment == "" && r.Path != "/" {
			return r, fmt.Errorf("%q is not a path that a client asks for; leave out its empty, . and .. segments", r.Path)
		}
	}
	if r.StripPrefix && r.Path == "/" {
		return r, errors.New("strip_prefix without a path; give the path to take off")
	}
	return r, nil
}

// isHostName is RFC 1123, section 2.1, with _, or an address.
func isHostName(name string) bool {
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return len(name) <= 253
}

// ParseWorkers reads a number of workers, or auto for one per CPU; empty is 1.
func ParseWorkers(text string, cpus int) (int, error) {
	switch text {
	case "":
		return 1, nil
	case "auto":
		return max(cpus, 1), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > MaxReplicas {
		return 0, fmt.Errorf("%q is not a number of workers; give 0 to %d, or auto for one per CPU", text, MaxReplicas)
	}
	return n, nil
}
