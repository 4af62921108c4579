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

// extensionKeys are those of a service.
func (c *converter) extensionKeys(from types.ServiceConfig, s *spec.Service) keys {
	return keys{
		"engine":          word(&s.Engine),
		"balance":         word(&s.Balance.Policy),
		"pool":            word(&s.Pool),
		"weight":          unless(1, integer(&s.Balance.Weight)),
		"max_fails":       integer(&s.Balance.MaxFails),
		"fail_timeout":    duration(&s.Balance.FailTimeout),
		"slow_start":      duration(&s.Balance.SlowStart),
		"max_conns":       integer(&s.Balance.MaxConns),
		"workers":         c.workers(from, s),
		"spare":           {set: spare},
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
		"protocol":        {set: protocol(s)}, // each port is written with its own
		"send_proxy":      word(&s.Forward.SendProxy),
		"routes":          routeList(s),
		"tls":             c.tls(s),
		"upstream":        unless(string(spec.UpstreamHTTP1), word(&s.Forward.Upstream)),
		"access_log":      c.accessLog(s),
		"restart":         restartGroup(s),
		"servers":         serverList(s),
	}
}

// renderExtension writes what extension reads.
func renderExtension(s spec.Service) section {
	out := (&converter{}).extensionKeys(types.ServiceConfig{}, &s).written()
	if s.Pool == "" {
		return out
	}
	for _, key := range spec.PoolKeys() { // the pool's owner says it
		delete(out, key)
	}
	out["timeouts"] = section{"drain": s.Stop.Drain.String()}
	return out
}

func probeKeys(s *spec.Service) keys {
	return keys{
		"http":   word(&s.Health.HTTP),
		"tcp":    boolean(&s.Health.TCP),
		"loop":   boolean(&s.Health.Loop),
		"passes": integer(&s.Health.Passes),
	}
}

func (c *converter) eventLoopKeys(s *spec.Service) keys {
	return keys{
		"unhealthy_after": {
			set: func(path string, value any) error {
				s.EventLoop.UnhealthyAfter = new(time.Duration)
				return duration(s.EventLoop.UnhealthyAfter).set(path, value)
			},
			get: func() any {
				if s.EventLoop.UnhealthyAfter == nil {
					return nil
				}
				return s.EventLoop.UnhealthyAfter.String()
			},
		},
		"monitor": onOff(&s.EventLoop.Monitor),
		"threadpool": {set: func(path string, value any) error { // a variable of the environment, and written there
			n := spec.ThreadPool(c.cpus())
			if value != "auto" {
				if err := integer(&n).set(path, value); err != nil {
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
		}},
	}
}

func timeoutKeys(s *spec.Service) keys {
	return keys{
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

func limitKeys(s *spec.Service) keys {
	l := &s.Limits
	return keys{
		"body": size(&l.Body),
		"header": {
			set: func(path string, value any) error {
				n := int64(l.Header)
				err := size(&n).set(path, value)
				l.Header = int(min(n, math.MaxInt32))
				return err
			},
			get: func() any { return l.Header },
		},
		"connections":             integer(&l.Connections),
		"connections_per_address": integer(&l.ConnectionsPerAddress),
		"min_rate":                size(&l.MinRate),
		"queue":                   integer(&l.Queue),
		"queue_timeout":           duration(&l.QueueTimeout),
	}
}

func routeKeys(r *spec.Route) keys {
	return keys{
		"host":         word(&r.Host),
		"path":         word(&r.Path),
		"strip_prefix": boolean(&r.StripPrefix),
	}
}

func routeList(s *spec.Service) key {
	return key{
		set: func(path string, value any) error {
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
		},
		get: func() any {
			return writtenList(s.Routes, func(r spec.Route) section { return routeKeys(&r).written() })
		},
	}
}

// writtenList is a list of mappings; an empty one is left out.
func writtenList[T any](list []T, write func(T) section) any {
	if len(list) == 0 {
		return nil
	}
	var out []any
	for _, item := range list {
		out = append(out, write(item))
	}
	return out
}

// accessLog is on once it is named. A path starts from the project's folder.
func (c *converter) accessLog(s *spec.Service) key {
	table := func(l *spec.AccessLog) keys {
		return keys{"format": word(&l.Format), "file": word(&l.File), "sample": number(&l.Sample)}
	}
	return key{
		set: func(path string, value any) error {
			l := spec.AccessLog{Format: "json", File: spec.StdoutLog, Sample: 1}
			err := decode(path, value, table(&l))
			if l.File != "" && l.File != spec.StdoutLog {
				l.File = absolute(c.dir, filepath.FromSlash(l.File))
			}
			s.AccessLog = l
			return err
		},
		get: func() any {
			if s.AccessLog.Format == "" {
				return nil
			}
			return table(&s.AccessLog).written()
		},
	}
}

// restartGroup is written where something of it was given: giving it means that the
// service is always restarted.
func restartGroup(s *spec.Service) key {
	row := group(restartKeys(s))
	return key{row.set, func() any {
		if s.Restart.Condition == spec.RestartServing {
			return nil
		}
		return row.get()
	}}
}

func restartKeys(s *spec.Service) keys {
	return keys{
		"delay":        duration(&s.Restart.Delay),
		"max_delay":    duration(&s.Restart.MaxDelay),
		"reset_after":  duration(&s.Restart.ResetAfter),
		"jitter":       number(&s.Restart.Jitter),
		"budget":       integer(&s.Restart.Budget),
		"window":       duration(&s.Restart.Window),
		"failed_retry": duration(&s.Restart.FailedRetry),
	}
}

func serverKeys(server *spec.Server) keys {
	return keys{
		"address": {
			set: text(func(t string) (err error) {
				server.Address, err = spec.ParseServer(t)
				return err
			}),
			get: func() any { return escape(server.Address) },
		},
		"weight":       integer(&server.Weight),
		"max_fails":    integer(&server.MaxFails),
		"fail_timeout": duration(&server.FailTimeout),
		"max_conns":    integer(&server.MaxConns),
		"backup":       boolean(&server.Backup),
		"down":         boolean(&server.Down),
	}
}

// serverList reads servers; one that is a plain text is an address.
func serverList(s *spec.Service) key {
	return key{set: func(path string, value any) error {
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
	}, get: func() any {
		return writtenList(s.Servers, func(server spec.Server) section { return serverKeys(&server).written() })
	}}
}

// workers is for containers; a process service takes it as its replicas when
// Compose's own words do not give any.
func (c *converter) workers(from types.ServiceConfig, s *spec.Service) key {
	return key{set: func(path string, value any) error {
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
	}, get: func() any {
		if s.Container == nil || s.Container.Workers == "" {
			return nil
		}
		return s.Container.Workers
	}}
}

func (c *converter) cpus() int {
	if c.options.CPUs > 0 {
		return c.options.CPUs
	}
	return CPUs()
}

func spare(path string, value any) error {
	var n int
	if err := integer(&n).set(path, value); err != nil {
		return err
	}
	if n != 0 {
		return &spec.Problem{Where: path, What: "spare workers are not part of this version", Fix: "set spare: 0"}
	}
	return nil
}

func onUnhealthy(s *spec.Service) key {
	return key{set: text(func(t string) error {
		if t != "restart" && t != "none" {
			return fmt.Errorf("%q is not known; use restart or none", t)
		}
		s.Health.Replace = t == "restart"
		return nil
	}), get: func() any {
		if s.Health.Replace {
			return "restart"
		}
		return "none"
	}}
}
