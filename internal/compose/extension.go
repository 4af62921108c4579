package compose

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

const extensionKey = "x-bulsa"

// extensionPlaces refuses x-bulsa anywhere but directly under a service,
// where compose-go would silently accept it.
func (c *converter) extensionPlaces(model *types.Project) error {
	for _, path := range slices.Sorted(maps.Keys(c.source.values)) {
		parent, isExtension := strings.CutSuffix(path, extensionKey)
		if !isExtension || parent != "" && !strings.HasSuffix(parent, ".") {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(parent, "."), ".")
		freeText := slices.ContainsFunc(parts, func(p string) bool {
			return p == "environment" || p == "labels" || strings.HasPrefix(p, "x-")
		})
		name := strings.Join(parts[1:], ".")
		_, isService := model.Services[name]
		_, isDisabled := model.DisabledServices[name]
		if freeText || parts[0] == "services" && (isService || isDisabled || len(parts) == 2) {
			continue
		}
		return &spec.Problem{Where: path, What: "x-bulsa has no meaning here", Fix: "put it directly under a service"}
	}
	return nil
}

// setter decodes one value into the service.
type setter func(path string, value any) error

// extension decodes x-bulsa strictly: a key that is not in these tables is
// an error. docs/configuration.md lists the same keys.
func (c *converter) extension(path string, from types.ServiceConfig, s *spec.Service) error {
	value, given := from.Extensions[extensionKey]
	if !given || value == nil {
		return nil
	}
	path += "." + extensionKey
	if err := decode(path, value, c.extensionKeys(from, s)); err != nil {
		return err
	}
	if err := joins(path, value, from, s); err != nil {
		return err
	}
	if len(s.Servers) > 0 && s.Engine == spec.EngineProcess && !hasKey(value, "engine") {
		s.Engine = spec.EngineExternal
	}
	return nil
}

func hasKey(value any, key string) bool {
	m, _ := value.(map[string]any)
	_, has := m[key]
	return has
}

func (c *converter) extensionKeys(from types.ServiceConfig, s *spec.Service) map[string]setter {
	return map[string]setter{
		"engine":          text(func(t string) error { s.Engine = spec.Engine(t); return nil }),
		"balance":         text(func(t string) error { s.Balance.Policy = t; return nil }),
		"pool":            text(func(t string) error { s.Pool = t; return nil }),
		"weight":          integer(&s.Balance.Weight),
		"max_fails":       integer(&s.Balance.MaxFails),
		"fail_timeout":    duration(&s.Balance.FailTimeout),
		"slow_start":      duration(&s.Balance.SlowStart),
		"max_conns":       integer(&s.Balance.MaxConns),
		"workers":         c.workers(from, s),
		"spare":           spare,
		"probe":           group(probeKeys(s)),
		"on_unhealthy":    onUnhealthy(s),
		"sticky":          sticky(s),
		"event_loop":      group(c.eventLoopKeys(s)),
		"node":            nodeMode(s),
		"stdin":           stdin(s),
		"relay":           relays(s),
		"client_address":  clientAddress(s),
		"hold":            duration(&s.Forward.Hold),
		"recall":          boolean(&s.Forward.Recall),
		"timeouts":        group(timeoutKeys(s)),
		"limits":          group(limitKeys(s)),
		"trusted_proxies": textList(&s.Forward.TrustedProxies),
		"proxy_protocol":  boolean(&s.Forward.ProxyProtocol),
		"protocol":        protocol(s),
		"send_proxy":      text(func(t string) error { s.Forward.SendProxy = spec.SendProxy(t); return nil }),
		"routes":          routeList(s),
		"tls":             group(c.tlsKeys(s)),
		"upstream":        text(func(t string) error { s.Forward.Upstream = spec.Upstream(t); return nil }),
		"access_log":      c.accessLog(s),
		"restart":         group(restartKeys(s)),
		"servers":         serverList(s),
	}
}

func probeKeys(s *spec.Service) map[string]setter {
	return map[string]setter{
		"http":   text(func(t string) error { s.Health.HTTP = t; return nil }),
		"tcp":    boolean(&s.Health.TCP),
		"loop":   boolean(&s.Health.Loop),
		"passes": integer(&s.Health.Passes),
	}
}

func (c *converter) eventLoopKeys(s *spec.Service) map[string]setter {
	return map[string]setter{
		"unhealthy_after": func(path string, value any) error {
			s.EventLoop.UnhealthyAfter = new(time.Duration)
			return duration(s.EventLoop.UnhealthyAfter)(path, value)
		},
		"monitor": onOff(&s.EventLoop.Monitor),
		"threadpool": func(path string, value any) error {
			n := spec.ThreadPool(c.cpus())
			if value != "auto" {
				if err := integer(&n)(path, value); err != nil {
					return wrong(path, "a whole number or auto")
				}
			}
			if n < 1 || n > 1024 {
				return &spec.Problem{Where: path, What: fmt.Sprintf("%d threads", n), Fix: "give auto, or 1 to 1024, libuv's limit"}
			}
			env := spec.Environment(s.Command.Env)
			env["UV_THREADPOOL_SIZE"] = strconv.Itoa(n)
			s.Command.Env = spec.SortEnvironment(env)
			return nil
		},
	}
}

func timeoutKeys(s *spec.Service) map[string]setter {
	return map[string]setter{
		"header":     duration(&s.Forward.HeaderTimeout),
		"idle":       duration(&s.Forward.IdleTimeout),
		"connect":    duration(&s.Forward.ConnectTimeout),
		"answer":     duration(&s.Forward.AnswerTimeout),
		"drain":      duration(&s.Stop.Drain),
		"websockets": duration(&s.Forward.WebSockets),
		"write":      duration(&s.Forward.WriteTimeout),
		"retry":      duration(&s.Forward.RetryTimeout),
	}
}

func limitKeys(s *spec.Service) map[string]setter {
	l := &s.Limits
	return map[string]setter{
		"body": size(&l.Body),
		"header": func(path string, value any) error {
			n := int64(l.Header)
			err := size(&n)(path, value)
			l.Header = int(min(n, math.MaxInt32))
			return err
		},
		"connections":             integer(&l.Connections),
		"connections_per_address": integer(&l.ConnectionsPerAddress),
		"min_rate":                size(&l.MinRate),
		"queue":                   integer(&l.Queue),
		"queue_timeout":           duration(&l.QueueTimeout),
	}
}

func routeKeys(r *spec.Route) map[string]setter {
	return map[string]setter{
		"host":         text(func(t string) error { r.Host = t; return nil }),
		"path":         text(func(t string) error { r.Path = t; return nil }),
		"strip_prefix": boolean(&r.StripPrefix),
	}
}

func routeList(s *spec.Service) setter {
	return func(path string, value any) error {
		list, ok := value.([]any)
		if !ok {
			return wrong(path, "a list of routes, such as [{host: api.example.com, path: /v1}]")
		}
		for i, item := range list {
			var r spec.Route
			where := fmt.Sprintf("%s.%d", path, i)
			if err := decode(where, item, routeKeys(&r)); err != nil {
				return err
			}
			r, err := spec.ParseRoute(r)
			if err != nil {
				return spec.At(where, err)
			}
			s.Routes = append(s.Routes, r)
		}
		return nil
	}
}

// accessLog is on once it is named. A path starts from the project's folder.
func (c *converter) accessLog(s *spec.Service) setter {
	return func(path string, value any) error {
		l := spec.AccessLog{Format: "json", File: spec.StdoutLog, Sample: 1}
		err := decode(path, value, map[string]setter{
			"format": text(func(t string) error { l.Format = t; return nil }),
			"file":   text(func(t string) error { l.File = t; return nil }),
			"sample": number(&l.Sample),
		})
		if l.File != "" && l.File != spec.StdoutLog {
			l.File = absolute(c.dir, filepath.FromSlash(l.File))
		}
		s.AccessLog = l
		return err
	}
}

func restartKeys(s *spec.Service) map[string]setter {
	return map[string]setter{
		"delay":        duration(&s.Restart.Delay),
		"max_delay":    duration(&s.Restart.MaxDelay),
		"reset_after":  duration(&s.Restart.ResetAfter),
		"jitter":       number(&s.Restart.Jitter),
		"budget":       integer(&s.Restart.Budget),
		"window":       duration(&s.Restart.Window),
		"failed_retry": duration(&s.Restart.FailedRetry),
	}
}

func serverKeys(server *spec.Server) map[string]setter {
	return map[string]setter{
		"address": text(func(t string) (err error) {
			server.Address, err = spec.ParseServer(t)
			return err
		}),
		"weight":       integer(&server.Weight),
		"max_fails":    integer(&server.MaxFails),
		"fail_timeout": duration(&server.FailTimeout),
		"max_conns":    integer(&server.MaxConns),
		"backup":       boolean(&server.Backup),
		"down":         boolean(&server.Down),
	}
}

// serverList reads servers; one that is a plain text is an address.
func serverList(s *spec.Service) setter {
	return func(path string, value any) error {
		list, ok := value.([]any)
		if !ok {
			return wrong(path, "a list of servers")
		}
		for i, item := range list {
			server := spec.NewServer("")
			where := fmt.Sprintf("%s.%d", path, i)
			if address, plain := item.(string); plain {
				item = map[string]any{"address": address}
			}
			if err := decode(where, item, serverKeys(&server)); err != nil {
				return err
			}
			if server.Address == "" {
				return &spec.Problem{Where: where, What: "a server without an address", Fix: `add address: "host:port"`}
			}
			s.Servers = append(s.Servers, server)
		}
		return nil
	}
}

// workers is for containers; a process service takes it as its replicas when
// Compose's own words do not give any.
func (c *converter) workers(from types.ServiceConfig, s *spec.Service) setter {
	return func(path string, value any) error {
		n, err := spec.ParseWorkers(fmt.Sprint(value), c.cpus())
		if err != nil {
			return spec.At(path, err)
		}
		if s.Engine == spec.EngineDocker {
			if n < 1 {
				return &spec.Problem{Where: path, What: "a container without workers inside", Fix: "give 1 or more, or auto; deploy.replicas is the number of containers"}
			}
			s.Container.Workers = fmt.Sprint(value)
			return nil
		}
		if from.Scale != nil || from.Deploy != nil && from.Deploy.Replicas != nil {
			c.warn(path, "workers is ignored: deploy.replicas is given as well and counts for processes")
			return nil
		}
		s.Replicas = n
		return nil
	}
}

func (c *converter) cpus() int {
	if c.options.CPUs > 0 {
		return c.options.CPUs
	}
	return CPUs()
}

func spare(path string, value any) error {
	var n int
	if err := integer(&n)(path, value); err != nil {
		return err
	}
	if n != 0 {
		return &spec.Problem{Where: path, What: "spare workers are not part of this version", Fix: "set spare: 0"}
	}
	return nil
}

func onUnhealthy(s *spec.Service) setter {
	return text(func(t string) error {
		if t != "restart" && t != "none" {
			return fmt.Errorf("%q is not known; use restart or none", t)
		}
		s.Health.Replace = t == "restart"
		return nil
	})
}

// decode sets each key of a mapping, in the order of the keys' names.
func decode(path string, value any, keys map[string]setter) error {
	m, ok := value.(map[string]any)
	if !ok {
		return wrong(path, "a mapping")
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		set, known := keys[key]
		where := path + "." + key
		if !known {
			return &spec.Problem{
				Where: where,
				What:  fmt.Sprintf("unknown key %q in %s", key, path),
				Fix:   suggestion(key, slices.Sorted(maps.Keys(keys))),
			}
		}
		if m[key] == nil {
			continue // a key without a value keeps its default
		}
		if err := set(where, m[key]); err != nil {
			return err
		}
	}
	return nil
}

func group(keys map[string]setter) setter {
	return func(path string, value any) error { return decode(path, value, keys) }
}

func wrong(path, want string) error {
	return &spec.Problem{Where: path, What: path + " has the wrong type", Fix: "write " + want}
}

func text(set func(string) error) setter {
	return func(path string, value any) error {
		t, ok := value.(string)
		if !ok {
			return wrong(path, "text")
		}
		if err := set(t); err != nil {
			return spec.At(path, err)
		}
		return nil
	}
}

// integer also takes the text that interpolation leaves behind.
func integer(field *int) setter {
	return func(path string, value any) error {
		n, err := strconv.ParseInt(fmt.Sprint(value), 10, 32)
		if err != nil {
			return wrong(path, "a whole number")
		}
		*field = int(n)
		return nil
	}
}

func number(field *float64) setter {
	return func(path string, value any) error {
		f, err := strconv.ParseFloat(fmt.Sprint(value), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return wrong(path, "a number")
		}
		*field = f
		return nil
	}
}

func boolean(field *bool) setter {
	return func(path string, value any) error {
		switch fmt.Sprint(value) {
		case "true":
			*field = true
		case "false":
			*field = false
		default:
			return wrong(path, "true or false")
		}
		return nil
	}
}

// onOff is a boolean that may also be written as on or off.
func onOff(field *bool) setter {
	return func(path string, value any) error {
		switch value {
		case "on":
			value = true
		case "off":
			value = false
		}
		if boolean(field)(path, value) != nil {
			return wrong(path, "on or off")
		}
		return nil
	}
}

// duration refuses plain numbers: their unit would be a guess. 0 is 0.
func duration(field *time.Duration) setter {
	return func(path string, value any) error {
		d, err := spec.ParseDuration(fmt.Sprint(value))
		if err != nil {
			return spec.At(path, err)
		}
		*field = d
		return nil
	}
}

func size(field *int64) setter {
	return func(path string, value any) error {
		n, err := spec.ParseSize(fmt.Sprint(value))
		if err != nil {
			return spec.At(path, err)
		}
		*field = n
		return nil
	}
}

func textList(field *[]string) setter {
	return func(path string, value any) error {
		list, ok := value.([]any)
		if !ok {
			return wrong(path, "a list")
		}
		*field = nil
		for i, item := range list {
			t, isText := item.(string)
			if !isText {
				return wrong(fmt.Sprintf("%s.%d", path, i), "text")
			}
			*field = append(*field, t)
		}
		return nil
	}
}
