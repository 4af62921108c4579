package spec

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// MaxReplicas bounds Service.Replicas: a slip of the finger must not become a fork bomb.
const MaxReplicas = 10000

// Validate checks that p can be run. The error is a *Problem whose Where is
// a path in the file's words, such as services.app.healthcheck.interval; the
// first one in the order of the services is reported.
func Validate(p Project) error {
	if !ValidProjectName(p.Name) {
		return &Problem{
			Where: "name",
			What:  fmt.Sprintf("%q is not a project name", p.Name),
			Fix:   "use lower-case letters, digits, - and _, beginning with a letter or digit",
		}
	}
	if _, err := SortServices(p.Services); err != nil {
		return err
	}
	for _, s := range p.Services {
		if err := validateService(s); err != nil {
			return err
		}
		if err := validateDependencies(s, p.Services); err != nil {
			return err
		}
	}
	return validatePublished(p.Services)
}

// ValidProjectName reports whether name is [a-z0-9][a-z0-9_-]*, Compose's rule.
func ValidProjectName(name string) bool {
	return name != "" && len(name) <= 255 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == "" && name[0] != '-' && name[0] != '_'
}

// ValidName is Compose's rule for a service: [a-zA-Z0-9._-]+.
func ValidName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return name != "" && name != "." && name != ".." && strings.Trim(name, letters) == ""
}

func validateService(s Service) error {
	v := &checker{path: "services." + s.Name}
	v.check("", ValidName(s.Name), fmt.Sprintf("%q is not a service name", s.Name), "use letters, digits, dots, - and _")
	v.check("deploy.replicas", s.Replicas >= 0 && s.Replicas <= MaxReplicas, fmt.Sprintf("%d workers", s.Replicas), fmt.Sprintf("give a number from 0 to %d", MaxReplicas))
	v.engine(s)
	v.health(s.Health)
	v.eventLoop(s)
	v.restart(s.Restart)
	v.stop(s.Stop)
	v.balance(s.Balance)
	v.forward(s.Forward)
	v.limits(s.Limits)
	v.routes(s)
	v.tls(s)
	v.accessLog(s.AccessLog)
	v.update(s.Update)
	v.logs(s.Logs)
	for i, p := range s.Ports {
		v.port(fmt.Sprintf("ports.%d", i), p)
	}
	v.protocols(s)
	v.oneOf("x-bulsa.node", string(s.NodeMode), string(NodeAuto), string(NodeProxyFD), string(NodeRR), string(NodeShared), string(NodeListen), string(NodePort), string(NodeOff))
	if v.err != nil {
		return v.err
	}
	return nil
}

// checker collects the first problem of one service.
type checker struct {
	path string
	err  *Problem
}

func (v *checker) check(key string, ok bool, what, fix string) {
	if ok || v.err != nil {
		return
	}
	where := v.path
	if key != "" {
		where += "." + key
	}
	v.err = &Problem{Where: where, What: what, Fix: fix}
}

// parsed reports the error of one of this package's parsers.
func (v *checker) parsed(key string, err error) {
	if err != nil {
		v.check(key, false, err.Error(), "")
	}
}

func (v *checker) oneOf(key, value string, known ...string) {
	fix := "use one of " + strings.Join(known, ", ")
	if near := Nearest(value, known); near != "" {
		fix = fmt.Sprintf("did you mean %q? %s", near, fix)
	}
	v.check(key, slices.Contains(known, value), fmt.Sprintf("%q is not known", value), fix)
}

func (v *checker) notNegative(key string, d time.Duration) {
	v.check(key, d >= 0, fmt.Sprintf("%s is negative", d), "give a duration of at least 0s")
}

// atLeast1ms is Docker's floor for the times of a health check (moby
// daemon/container.go, validateHealthCheck).
func (v *checker) atLeast1ms(key string, d time.Duration) {
	v.check(key, d >= time.Millisecond, fmt.Sprintf("%s is shorter than 1ms", d), "give a duration of at least 1ms")
}

func (v *checker) engine(s Service) {
	switch s.Engine {
	case EngineProcess:
		v.check("x-bulsa.servers", len(s.Servers) == 0, "a service of processes has no servers of its own", "set engine: external, or list them in a service of their own that joins this one's pool: "+s.Name+"")
		v.check("command", len(s.Command.Args) > 0 && s.Command.Args[0] != "", "service "+s.Name+" has no command", "give a command, or servers under x-bulsa with engine: external")
		v.noNUL("command", s.Command.Args...)
		v.noNUL("working_dir", s.Command.Dir)
		v.environment(s.Command.Env)
	case EngineExternal:
		v.servers(s)
	case EngineDocker:
		v.container(s)
	case "swarm", "kubernetes":
		v.check("x-bulsa.engine", false, fmt.Sprintf("the %s engine is not part of this version", s.Engine), "use process, docker or external")
	default:
		v.oneOf("x-bulsa.engine", string(s.Engine), string(EngineProcess), string(EngineDocker), string(EngineExternal))
	}
}

func (v *checker) environment(variables []string) {
	v.noNUL("environment", variables...)
	for _, variable := range variables {
		name, _, found := strings.Cut(variable, "=")
		v.check("environment", found && name != "", fmt.Sprintf("%q is not a variable", variable), "write KEY: value")
	}
}

// noNUL: a NUL byte cannot be passed to a process (execve(2)).
func (v *checker) noNUL(key string, values ...string) {
	for _, value := range values {
		v.check(key, !strings.ContainsRune(value, 0), "a NUL character cannot be passed to a process", "remove it")
	}
}

func (v *checker) servers(s Service) {
	v.check("command", len(s.Command.Args) == 0, "servers that somebody else runs take no command", "remove the command, or set engine: process")
	v.check("x-bulsa.servers", len(s.Servers) > 0, "service "+s.Name+" is external and has no servers", `give servers: [{address: "host:port"}]`)
	onlyBackups := len(s.Servers) > 0
	for i, server := range s.Servers {
		key := fmt.Sprintf("x-bulsa.servers.%d", i)
		normal, err := ParseServer(server.Address)
		v.parsed(key+".address", err)
		v.check(key+".address", normal == server.Address, fmt.Sprintf("%q has no port", server.Address), "write host:port")
		v.check(key+".weight", server.Weight >= 1 && server.Weight <= 1<<16, fmt.Sprintf("weight %d", server.Weight), "give a weight from 1 to 65536, or down: true")
		v.check(key+".max_fails", server.MaxFails >= 0, "max_fails is negative", "0 switches it off")
		v.check(key+".max_conns", server.MaxConns >= 0, "max_conns is negative", "0 means no limit")
		v.notNegative(key+".fail_timeout", server.FailTimeout)
		onlyBackups = onlyBackups && server.Backup
	}
	v.check("x-bulsa.servers", !onlyBackups || s.Pool != "", "every server is a backup", "make at least one server a normal one")
}

func (v *checker) port(key string, p Port) {
	v.check(key, p.Published >= 0 && p.Published <= 65535, fmt.Sprintf("port %d does not exist", p.Published), "give a port from 1 to 65535, or 0 for any free one")
	v.check(key, p.Target >= 0 && p.Target <= 65535, fmt.Sprintf("port %d does not exist", p.Target), "give a port from 1 to 65535")
	if p.Host != "" && p.Host != "localhost" {
		_, err := netip.ParseAddr(p.Host)
		v.check(key, err == nil, fmt.Sprintf("%q is not an address", p.Host), "give an IP address or localhost")
	}
}

func (v *checker) health(h Health) {
	if len(h.Test) > 0 {
		v.check("healthcheck.test", h.Test[0] == "CMD" || h.Test[0] == "CMD-SHELL", fmt.Sprintf("a check begins with %q", h.Test[0]), "begin the list with CMD, CMD-SHELL or NONE, or write one string for a shell")
		v.check("healthcheck.test", len(h.Test) > 1 && h.Test[1] != "", "the check has no command", "add one, or set disable: true")
		v.check("healthcheck.test", len(h.Test) < 3 || h.Test[0] == "CMD", "CMD-SHELL takes one string", "write the whole line as one string, or use CMD")
		v.noNUL("healthcheck.test", h.Test...)
	}
	v.check("x-bulsa.probe.http", h.HTTP == "" || strings.HasPrefix(h.HTTP, "/") && !strings.ContainsAny(h.HTTP, " \t\r\n\x00"), fmt.Sprintf("%q is not a path", h.HTTP), "write a path such as /health")
	v.atLeast1ms("healthcheck.interval", h.Interval)
	v.atLeast1ms("healthcheck.timeout", h.Timeout)
	v.atLeast1ms("healthcheck.start_interval", h.StartInterval)
	v.check("healthcheck.start_period", h.StartPeriod == 0 || h.StartPeriod >= time.Millisecond, fmt.Sprintf("%s is shorter than 1ms", h.StartPeriod), "give 0s or at least 1ms")
	v.check("healthcheck.retries", h.Retries >= 1, fmt.Sprintf("%d retries", h.Retries), "give at least 1")
	v.check("x-bulsa.probe.passes", h.Passes >= 1, fmt.Sprintf("%d passes", h.Passes), "give at least 1")
}

func (v *checker) eventLoop(s Service) {
	if after := s.EventLoop.UnhealthyAfter; after != nil {
		v.check("x-bulsa.event_loop.unhealthy_after", *after == 0 || *after >= time.Second, fmt.Sprintf("%s is too short: a busy machine stops a loop for as long", *after), "give at least 1s, or 0s for never")
	}
	watched := s.Engine == EngineProcess && s.EventLoop.Monitor && s.NodeMode != NodePort && s.NodeMode != NodeOff
	v.check("x-bulsa.probe.loop", !s.Health.Loop || watched, "there is no event loop that bulsa watches", "use http or tcp, or see event_loop.monitor and node")
}

func (v *checker) restart(r Restart) {
	if r.Condition != RestartServing { // which no file can say
		v.oneOf("deploy.restart_policy.condition", string(r.Condition), string(RestartAlways), string(RestartOnFailure), string(RestartNever))
	}
	v.notNegative("x-bulsa.restart.delay", r.Delay)
	v.check("x-bulsa.restart.max_delay", r.MaxDelay >= r.Delay, fmt.Sprintf("max_delay %s is shorter than delay %s", r.MaxDelay, r.Delay), "raise max_delay")
	v.notNegative("x-bulsa.restart.reset_after", r.ResetAfter)
	v.check("x-bulsa.restart.jitter", r.Jitter >= 0 && r.Jitter <= 1, fmt.Sprintf("jitter %g", r.Jitter), "give a share from 0 to 1")
	v.check("x-bulsa.restart.budget", r.Budget >= 1, fmt.Sprintf("a budget of %d", r.Budget), "give at least 1 death within the window")
	v.check("x-bulsa.restart.window", r.Window >= time.Millisecond, fmt.Sprintf("a window of %s", r.Window), "give a duration such as 10m")
	v.check("x-bulsa.restart.failed_retry", r.FailedRetry >= time.Second, fmt.Sprintf("failed_retry %s", r.FailedRetry), "give at least 1s")
	v.check("deploy.restart_policy.max_attempts", r.MaxAttempts >= 0, "max_attempts is negative", "0 means no limit")
}

func (v *checker) stop(s Stop) {
	name, err := ParseSignal(s.Signal)
	v.parsed("stop_signal", err)
	v.check("stop_signal", name == s.Signal, fmt.Sprintf("%q is not a full signal name", s.Signal), fmt.Sprintf("write %s", name))
	v.notNegative("stop_grace_period", s.Grace)
	v.notNegative("x-bulsa.timeouts.drain", s.Drain)
}

func (v *checker) balance(b Balance) {
	v.oneOf("x-bulsa.balance", b.Policy, RoundRobin, LeastConn, IPHash, LeastLatency)
	v.check("x-bulsa.weight", b.Weight >= 1 && b.Weight <= 1<<16, fmt.Sprintf("weight %d", b.Weight), "give a weight from 1 to 65536")
	v.check("x-bulsa.max_fails", b.MaxFails >= 0, "max_fails is negative", "0 switches it off")
	v.notNegative("x-bulsa.fail_timeout", b.FailTimeout)
	v.check("x-bulsa.max_conns", b.MaxConns >= 0, "max_conns is negative", "0 means no limit")
	v.notNegative("x-bulsa.slow_start", b.SlowStart)
	v.check("x-bulsa.sticky.cookie", isToken(b.Sticky), fmt.Sprintf("%q is not a cookie name", b.Sticky), "use letters, digits, - and _")
}

// isToken reports whether s is empty or a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}) < 0
}

func (v *checker) forward(f Forward) {
	for _, limit := range []struct {
		key string
		d   time.Duration
	}{{"timeouts.header", f.HeaderTimeout}, {"timeouts.idle", f.IdleTimeout}, {"timeouts.connect", f.ConnectTimeout}, {"timeouts.retry", f.RetryTimeout}} {
		v.check("x-bulsa."+limit.key, limit.d >= time.Millisecond, fmt.Sprintf("%s is shorter than 1ms", limit.d), "give a duration such as 10s")
	}
	v.notNegative("x-bulsa.hold", f.Hold)
	v.notNegative("x-bulsa.timeouts.write", f.WriteTimeout)
	v.notNegative("x-bulsa.timeouts.websockets", f.WebSockets)
	v.check("x-bulsa.timeouts.answer", f.AnswerTimeout == 0 || f.AnswerTimeout >= time.Millisecond, fmt.Sprintf("%s is shorter than 1ms", f.AnswerTimeout), "give a duration such as 60s, or 0s for the default")
	for i, network := range f.TrustedProxies {
		_, err := ParseNetwork(network)
		v.parsed(fmt.Sprintf("x-bulsa.trusted_proxies.%d", i), err)
	}
}

func (v *checker) limits(l Limits) {
	v.check("x-bulsa.limits.header", l.Header >= 1024 && l.Header <= 1<<20, fmt.Sprintf("%d bytes of request head", l.Header), "give 1k to 1m")
	for _, limit := range []struct {
		key string
		n   int64
	}{{"body", l.Body}, {"connections", int64(l.Connections)}, {"connections_per_address", int64(l.ConnectionsPerAddress)}, {"min_rate", l.MinRate}, {"queue", int64(l.Queue)}} {
		v.check("x-bulsa.limits."+limit.key, limit.n >= 0, "a negative limit", "0 means no limit")
	}
	v.notNegative("x-bulsa.limits.queue_timeout", l.QueueTimeout)
}

func (v *checker) routes(s Service) {
	for i, r := range s.Routes {
		key := fmt.Sprintf("x-bulsa.routes.%d", i)
		normal, err := ParseRoute(r)
		v.parsed(key, err)
		v.check(key, slices.IndexFunc(s.Routes, func(o Route) bool { return o.Host == r.Host && o.Path == r.Path }) == i, fmt.Sprintf("the route %s is there twice", r), "remove one of the two")
		v.check(key, normal == r, fmt.Sprintf("the route %s is not in its plain form", r), fmt.Sprintf("write %s", normal))
	}
	raw := takesConnections(&s)
	v.check("x-bulsa.routes", len(s.Routes) == 0 || !raw, fmt.Sprintf("in mode %s workers take whole connections, which have no routes", s.NodeMode), "choose another x-bulsa.node, or remove routes")
	v.check("x-bulsa.proxy_protocol", !s.Forward.ProxyProtocol || !raw, fmt.Sprintf("in mode %s workers take whole connections and would meet the PROXY header", s.NodeMode), "choose another x-bulsa.node, or remove proxy_protocol")
	v.check("x-bulsa.proxy_protocol", !s.Forward.ProxyProtocol || len(s.Forward.TrustedProxies) > 0, "proxy_protocol without trusted_proxies: anybody could claim any address", "list the proxies' addresses under trusted_proxies")
}

func (v *checker) accessLog(l AccessLog) {
	if l == (AccessLog{}) {
		return
	}
	v.oneOf("x-bulsa.access_log.format", l.Format, "json", "combined")
	v.check("x-bulsa.access_log.file", l.File != "" && !strings.ContainsRune(l.File, 0), "an access log without a file", "give a path, or stdout")
	v.check("x-bulsa.access_log.sample", l.Sample > 0 && l.Sample <= 1, fmt.Sprintf("a sample of %g", l.Sample), "give a share above 0, up to 1")
}

func (v *checker) update(u Update) {
	v.check("deploy.update_config.parallelism", u.Parallelism >= 0, "parallelism is negative", "0 means all at once")
	v.notNegative("deploy.update_config.delay", u.Delay)
}

func (v *checker) logs(l Logs) {
	v.check("logging.options.max-size", l.MaxSize >= 1024, fmt.Sprintf("%d bytes a log file", l.MaxSize), "give at least 1k")
	v.check("logging.options.max-file", l.MaxFiles >= 1, fmt.Sprintf("%d log files", l.MaxFiles), "give at least 1")
}

// validateDependencies refuses conditions that can never come true.
func validateDependencies(s Service, all []Service) error {
	for _, d := range sortedDependencies(s) {
		v := &checker{path: "services." + s.Name + ".depends_on." + d.Service}
		v.oneOf("condition", d.Condition, ServiceStarted, ServiceHealthy, ServiceCompleted)
		i := slices.IndexFunc(all, func(other Service) bool { return other.Name == d.Service })
		if i >= 0 {
			target := all[i]
			v.check("condition", d.Condition != ServiceHealthy || target.mayBeHealthy(),
				fmt.Sprintf("service %s waits for %s to be healthy, but %s has no health check: it would wait for ever", s.Name, d.Service, d.Service),
				fmt.Sprintf("give %s a healthcheck, or use condition: service_started", d.Service))
			v.check("condition", d.Condition != ServiceCompleted || target.Engine != EngineExternal,
				fmt.Sprintf("service %s waits for %s to complete, but servers that somebody else runs never complete", s.Name, d.Service),
				"use condition: service_started")
		}
		if v.err != nil {
			return v.err
		}
	}
	return nil
}

// mayBeHealthy reports whether workers of s can have a health check: that of an
// image is not known before it runs.
func (s Service) mayBeHealthy() bool {
	if s.Engine == EngineDocker {
		return !s.Health.Disabled
	}
	return s.Health.Enabled()
}

// validatePublished refuses services on one port that cannot share it.
func validatePublished(services []Service) error {
	type claim struct {
		service *Service
		port    Port
	}
	taken := map[int][]claim{}
	for i := range services {
		s := &services[i]
		if s.Pool != "" {
			continue // they are another service's
		}
		for j, p := range s.Ports {
			if p.Published == 0 {
				continue
			}
			for _, other := range taken[p.Published] {
				if !hostsOverlap(other.port.Host, p.Host) {
					continue
				}
				if problem := shareProblem(other.service, other.port, s, p); problem != nil {
					problem.Where = "services." + s.Name + "." + cmp.Or(problem.Where, fmt.Sprintf("ports.%d", j))
					return problem
				}
			}
			taken[p.Published] = append(taken[p.Published], claim{s, p})
		}
	}
	return nil
}

// shareProblem says why b cannot be published where a is, if so. Where is a key
// of b, or empty for the port itself.
func shareProblem(a *Service, portA Port, b *Service, portB Port) *Problem {
	switch {
	case a.Name == b.Name:
		return &Problem{What: fmt.Sprintf("port %d is already published by service %s", portB.Published, a.Name), Fix: "publish one of them on another port"}
	case len(a.Routes) == 0 && len(b.Routes) == 0:
		return &Problem{
			What: fmt.Sprintf("port %d is already published by service %s", portB.Published, a.Name),
			Fix:  "publish one of them on another port, or say under x-bulsa.routes of one which hosts or paths are its",
		}
	case portA.Host != portB.Host:
		return &Problem{
			What: fmt.Sprintf("services %s and %s share port %d, but not on the same address", a.Name, b.Name, portB.Published),
			Fix:  "publish both on the same address",
		}
	case takesConnections(a), takesConnections(b):
		return &Problem{
			What: fmt.Sprintf("services %s and %s share port %d, but in mode %s or %s workers take whole connections", a.Name, b.Name, portB.Published, NodeRR, NodeShared),
			Fix:  "choose another x-bulsa.node",
		}
	case a.Forward.ProxyProtocol != b.Forward.ProxyProtocol, a.Forward.ProxyProtocol && !slices.Equal(a.Forward.TrustedProxies, b.Forward.TrustedProxies):
		return &Problem{
			What: fmt.Sprintf("services %s and %s share port %d, but not proxy_protocol and trusted_proxies", a.Name, b.Name, portB.Published),
			Fix:  "give both the same",
		}
	}
	for i, r := range b.Routes {
		if slices.ContainsFunc(a.Routes, func(o Route) bool { return o.Host == r.Host && o.Path == r.Path }) {
			return &Problem{
				Where: fmt.Sprintf("x-bulsa.routes.%d", i),
				What:  fmt.Sprintf("service %s has the route %s on port %d, too", a.Name, r, portB.Published),
				Fix:   "give one of them another host or path",
			}
		}
	}
	return nil
}

func takesConnections(s *Service) bool { return s.NodeMode == NodeRR || s.NodeMode == NodeShared }

// hostsOverlap reports whether two listeners of one port would collide.
func hostsOverlap(a, b string) bool {
	return a == b || anyHost(a) || anyHost(b)
}

func anyHost(host string) bool {
	return host == "" || host == "0.0.0.0" || host == "::"
}

// Advise finds what is allowed but unlikely to be meant. Where is a path, as
// in Validate.
func Advise(p Project) []Warning {
	var warnings []Warning
	byName := map[string]Service{}
	for _, s := range p.Services {
		byName[s.Name] = s
	}
	for _, s := range p.Services {
		where := "services." + s.Name
		for _, d := range sortedDependencies(s) {
			target, known := byName[d.Service]
			if known && d.Condition == ServiceCompleted && target.Restart.Condition == RestartAlways {
				warnings = append(warnings, Warning{
					Where:   where + ".depends_on." + d.Service,
					Message: fmt.Sprintf("service %s waits for %s to complete, but %s is always restarted; set restart: on-failure or restart: \"no\" on %s", s.Name, d.Service, d.Service, d.Service),
				})
			}
		}
		if s.KeepsData() && s.StartFirst() {
			warnings = append(warnings, Warning{
				Where:   where + ".deploy.update_config.order",
				Message: fmt.Sprintf("order: start-first lets two containers of %s write to %s at the same time whenever one is replaced; a database loses rows by that: remove order, unless the program is made for it", s.Name, oneOf(s.Container)),
			})
		}
		if len(s.Ports) == 0 && len(s.Routes) > 0 {
			warnings = append(warnings, Warning{Where: where + ".x-bulsa.routes", Message: fmt.Sprintf("service %s has routes but no ports: they lead nothing to it", s.Name)})
		}
		if s.Limits.Queue > 0 && s.Balance.MaxConns == 0 && !slices.ContainsFunc(s.Servers, func(server Server) bool { return server.MaxConns > 0 }) {
			warnings = append(warnings, Warning{Where: where + ".x-bulsa.limits.queue", Message: fmt.Sprintf("limits.queue of service %s has no effect: no worker has max_conns", s.Name)})
		}
		if s.Engine == EngineExternal && len(s.Ports) == 0 {
			warnings = append(warnings, Warning{Where: where, Message: fmt.Sprintf("service %s has servers but no ports: nothing is balanced", s.Name)})
		}
	}
	return warnings
}
