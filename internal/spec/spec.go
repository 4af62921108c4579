// Package spec holds what the user asked for: a Project of Services, with
// defaults filled in, validated and comparable by digest. It is pure: reading
// files and the environment happens in compose, cli and daemon.
package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// Project is everything one bulsa process runs.
type Project struct {
	Name     string    `json:"name"`     // Compose's project name: [a-z0-9][a-z0-9_-]*
	Dir      string    `json:"dir"`      // absolute folder that relative paths start from
	Files    []string  `json:"files"`    // configuration files, in order; empty for `bulsa run`
	Services []Service `json:"services"` // in start order: a service stands after all it depends on

	// Places tells where in the files a value stands: file:line by path
	// (services.app.ports.0), for those that only the start finds wrong.
	Places map[string]string `json:"places,omitempty"`
}

// Place is file:line of the value at a path, or of the nearest one around it;
// empty when p came from no file.
func (p Project) Place(path string) string {
	for at := path; at != ""; {
		if place := p.Places[at]; place != "" {
			return place
		}
		at = at[:max(0, strings.LastIndexByte(at, '.'))]
	}
	return ""
}

// Placed says where in the file a service is wrong, or, where there is no file,
// which service. The problem's Where is a key of the service.
func (p Project) Placed(service string, err error) error {
	key, what := "", err.Error()
	if problem, ok := errors.AsType[*Problem](err); ok {
		key, what = problem.Where, problem.What
	}
	return &Problem{Where: p.Place("services." + service + "." + key), What: "service " + service + ": " + what}
}

// Engine names what runs a service's workers.
type Engine string

const (
	EngineProcess  Engine = "process"  // operating-system processes
	EngineExternal Engine = "external" // servers that somebody else runs
	EngineDocker   Engine = "docker"   // containers of a Docker Engine
)

// Service is one named set of equal workers.
type Service struct {
	Name      string       `json:"name"`
	Engine    Engine       `json:"engine"`
	Command   Command      `json:"command"`
	Replicas  int          `json:"replicas"` // workers wanted, at least 0
	Ports     []Port       `json:"ports,omitempty"`
	Pool      string       `json:"pool,omitempty"` // another service, whose main ports its workers serve together with that one's; Ports are those then
	Health    Health       `json:"health"`
	Restart   Restart      `json:"restart"`
	Stop      Stop         `json:"stop"`
	Balance   Balance      `json:"balance"`
	Forward   Forward      `json:"forward"`
	Limits    Limits       `json:"limits"`
	TLS       TLS          `json:"tls,omitzero"`
	Routes    []Route      `json:"routes,omitempty"` // which requests of its ports are the service's; none: all that no other service takes
	AccessLog AccessLog    `json:"access_log"`
	Update    Update       `json:"update"`
	Logs      Logs         `json:"logs"`
	NodeMode  NodeMode     `json:"node_mode"`
	Relay     []string     `json:"relay,omitempty"` // packages whose primary bulsa is; none: all that it knows; RelayOff: none
	EventLoop EventLoop    `json:"event_loop"`
	DependsOn []Dependency `json:"depends_on,omitempty"`
	Servers   []Server     `json:"servers,omitempty"`   // EngineExternal only
	Container *Container   `json:"container,omitempty"` // EngineDocker only

	// ClientAddress is where a Node application finds who its client is.
	ClientAddress ClientAddress `json:"client_address,omitempty"`
}

// Command is what a worker executes and in which surroundings.
type Command struct {
	Args []string `json:"args"`           // entrypoint and command, already split; Args[0] is looked up in the worker's PATH. Of a container: the command alone, nil: the image's
	Dir  string   `json:"dir"`            // absolute working directory; of a container: inside it, empty: the image's
	Env  []string `json:"env"`            // KEY=VALUE, sorted by key; the whole environment: bulsa's own, inherited, with the service's on top (PORT and BULSA_* are added at the start). A container inherits nothing
	User string   `json:"user,omitempty"` // user[:group], names or numbers; empty: bulsa's own
	Init bool     `json:"init,omitempty"` // accepted for Compose; bulsa always reaps

	StdinOpen bool `json:"stdin_open,omitempty"` // standard input never ends, and nothing comes; else it is at its end from the beginning
}

// Port publishes a service on the balancer.
type Port struct {
	Host      string `json:"host,omitempty"` // address to bind; empty: all, IPv4 and IPv6
	Published int    `json:"published"`      // the port clients use; 0: any free one
	Target    int    `json:"target"`         // the port the application believes it listens on; 0: the first one it asks for

	// Protocol is what its clients speak, as it is given for this port or the service.
	Protocol Protocol `json:"protocol,omitempty"`
}

// Health is Docker's health check, and bulsa's cheap checks beside it.
type Health struct {
	Test          []string      `json:"test,omitempty"`     // {"CMD", arg...} or {"CMD-SHELL", line}; empty: no command check
	Disabled      bool          `json:"disabled,omitempty"` // test: NONE, or disable: true
	HTTP          string        `json:"http,omitempty"`     // probe.http: path (and query) that must answer 200..399
	TCP           bool          `json:"tcp,omitempty"`      // probe.tcp: a connection must open
	Loop          bool          `json:"loop,omitempty"`     // probe.loop: the event loop must turn
	Interval      time.Duration `json:"interval"`           // 30s; from the end of a check to the start of the next
	Timeout       time.Duration `json:"timeout"`            // 30s
	Retries       int           `json:"retries"`            // 3 failures in a row: unhealthy
	StartPeriod   time.Duration `json:"start_period"`       // 0s; failures inside it do not count until the first success
	StartInterval time.Duration `json:"start_interval"`     // 5s; interval inside start_period
	Passes        int           `json:"passes"`             // 1; successes in a row that make an unhealthy worker healthy
	Replace       bool          `json:"replace"`            // on_unhealthy: restart (default) or none
}

// Enabled reports whether workers of the service are checked at all.
func (h Health) Enabled() bool {
	return !h.Disabled && (len(h.Test) > 0 || h.HTTP != "" || h.TCP || h.Loop)
}

// Verdict is how long it takes until the checks can have found a new worker unhealthy: its
// start period, and as many failures in a row as that needs. 0 without checks.
func (h Health) Verdict() time.Duration {
	if !h.Enabled() {
		return 0
	}
	return h.StartPeriod + time.Duration(h.Retries)*(h.Interval+h.Timeout)
}

// RestartCondition says which deaths are followed by a new start.
type RestartCondition string

const (
	RestartAlways    RestartCondition = "any"        // default; Compose's always and unless-stopped
	RestartOnFailure RestartCondition = "on-failure" // a non-zero exit status or a signal
	RestartNever     RestartCondition = "none"       // Compose's restart: "no"
	RestartServing   RestartCondition = "serving"    // the file does not say: what serves comes back, what ends by itself has done its work
)

// Restart is how a dead worker comes back.
type Restart struct {
	Condition   RestartCondition `json:"condition"`
	Delay       time.Duration    `json:"delay"`        // 100ms; before the first restart, doubled for each further one
	MaxDelay    time.Duration    `json:"max_delay"`    // 30s; the doubling stops here
	ResetAfter  time.Duration    `json:"reset_after"`  // 10s of health brings the delay back to Delay
	Jitter      float64          `json:"jitter"`       // 0.1: each delay varies by up to this share of itself
	Budget      int              `json:"budget"`       // 13 deaths within Window: failed
	Window      time.Duration    `json:"window"`       // 10m, sliding
	FailedRetry time.Duration    `json:"failed_retry"` // 60s; a failed worker is tried again this often
	MaxAttempts int              `json:"max_attempts"` // 0: no limit; Compose's max_attempts: restarts within Window, then failed for good
}

// Stop is how a worker is asked to end.
type Stop struct {
	Signal string        `json:"signal"` // SIGTERM
	Grace  time.Duration `json:"grace"`  // 10s from Signal to SIGKILL
	Drain  time.Duration `json:"drain"`  // 30s at most for requests in flight before Signal
}

// Balance is how requests are spread over the workers.
type Balance struct {
	Policy      string        `json:"policy"`           // round_robin | least_conn | ip_hash | least_latency
	Weight      int           `json:"weight"`           // 1; a worker's share beside those of other services in a pool. A server has its own
	MaxFails    int           `json:"max_fails"`        // 3 failures within FailTimeout take a worker out; 0: never
	FailTimeout time.Duration `json:"fail_timeout"`     // 10s: window for MaxFails, and the time out of rotation
	MaxConns    int           `json:"max_conns"`        // requests at a time for one worker; 0: no limit
	SlowStart   time.Duration `json:"slow_start"`       // 0s; a new worker's share grows from little to whole over this time
	Sticky      string        `json:"sticky,omitempty"` // name of the cookie that keeps a client on its worker
}

// Forward is how one request travels through the proxy.
type Forward struct {
	HeaderTimeout  time.Duration `json:"header_timeout"`            // 10s for a client's whole request head
	IdleTimeout    time.Duration `json:"idle_timeout"`              // 75s for an idle keep-alive client
	ConnectTimeout time.Duration `json:"connect_timeout"`           // 5s to open a connection to a worker
	AnswerTimeout  time.Duration `json:"answer_timeout"`            // from the sent request to the head of the answer; 0: LateAnswer, and longer while the worker's event loop is seen to turn
	WriteTimeout   time.Duration `json:"write_timeout"`             // for a client that reads nothing of its answer; 0: IdleTimeout
	WebSockets     time.Duration `json:"web_sockets"`               // 5s from the begin of a worker's drain to the close of its last WebSocket
	RetryTimeout   time.Duration `json:"retry_timeout"`             // 60s from the request to the last moment at which it is sent again
	Hold           time.Duration `json:"hold"`                      // 10s a request waits while no worker is ready
	Sessions       bool          `json:"sessions"`                  // true: requests of engine.io stay with the worker that has issued the session in their query
	Recall         bool          `json:"recall,omitempty"`          // a request that a blocked worker has not read is given to another
	Upstream       Upstream      `json:"upstream"`                  // http1; how workers are spoken to
	TrustedProxies []string      `json:"trusted_proxies,omitempty"` // CIDRs whose X-Forwarded-*, Forwarded and PROXY header are believed
	ProxyProtocol  bool          `json:"proxy_protocol"`            // connections begin with a PROXY header
	SendProxy      SendProxy     `json:"send_proxy,omitempty"`      // TCP connections to workers begin with a PROXY header; empty: they do not
}

// Limits are what clients may take. 0: no limit.
type Limits struct {
	Body                  int64         `json:"body"`                    // bytes of a request's body
	Header                int           `json:"header"`                  // 16384 bytes of a request's head
	Connections           int           `json:"connections"`             // of clients at a time
	ConnectionsPerAddress int           `json:"connections_per_address"` // of one client address, IPv6: /64, at a time
	MinRate               int64         `json:"min_rate"`                // bytes per second that a client sends of a body, or reads of an answer
	Queue                 int           `json:"queue"`                   // requests that wait while every worker has max_conns
	QueueTimeout          time.Duration `json:"queue_timeout"`           // how long they wait; 0: Hold
}

// Route is a part of the requests of a service's ports.
type Route struct {
	Host        string `json:"host,omitempty"`         // lower case; "*.example.com": any name below; empty: every host
	Path        string `json:"path"`                   // a prefix of whole segments; "/": every path
	StripPrefix bool   `json:"strip_prefix,omitempty"` // workers get the path without Path
}

func (r Route) String() string { return r.Host + r.Path }

// StdoutLog is the AccessLog.File that means standard output.
const StdoutLog = "stdout"

// AccessLog is a line for every answered request.
type AccessLog struct {
	Format string  `json:"format,omitempty"` // json | combined; empty: none is kept
	File   string  `json:"file,omitempty"`   // absolute path, or StdoutLog
	Sample float64 `json:"sample,omitempty"` // share of the requests that are logged, above 0 to 1
}

// Upstream is x-bulsa.upstream: the protocol that workers speak.
type Upstream string

const (
	UpstreamHTTP1 Upstream = "http1"
	UpstreamH2C   Upstream = "h2c" // HTTP/2 without TLS, by prior knowledge, as gRPC servers do
)

// TLS is how the published ports of a service speak TLS. Without certificates and
// domains they do not.
type TLS struct {
	Certificates []Certificate `json:"certificates,omitempty"`
	Domains      []string      `json:"domains,omitempty"`     // certificates for these are obtained by ACME
	Email        string        `json:"email,omitempty"`       // for the ACME account
	CA           string        `json:"ca,omitempty"`          // URL of the ACME server's directory; empty: Let's Encrypt's
	PlainPorts   []int         `json:"plain_ports,omitempty"` // published ports that speak no TLS; 80 never does
	NoRedirect   bool          `json:"no_redirect,omitempty"` // those serve instead of sending clients to TLS
	HSTS         string        `json:"hsts,omitempty"`        // value of Strict-Transport-Security; empty: none
	MinVersion   string        `json:"min_version,omitempty"` // 1.2 (default) or 1.3
	HTTP3        bool          `json:"http3,omitempty"`
}

// Certificate is a pair of PEM files, with absolute paths.
type Certificate struct {
	Cert string `json:"cert"` // the certificate, then its chain
	Key  string `json:"key"`
}

// Enabled reports whether the service speaks TLS at all.
func (t TLS) Enabled() bool { return len(t.Certificates)+len(t.Domains) > 0 }

// Plain reports whether a published port speaks no TLS.
func (t TLS) Plain(published int) bool {
	return !t.Enabled() || published == 80 || slices.Contains(t.PlainPorts, published)
}

// UpdateOrder is update_config.order: which of two comes first when a worker
// takes the place of another.
type UpdateOrder string

const (
	StartFirst UpdateOrder = "start-first" // default; the new one is ready before the old one goes
	StopFirst  UpdateOrder = "stop-first"  // default of a service that keeps data: never two at a time
)

// StartFirst reports whether a successor runs beside its predecessor for a
// moment. Two servers on one folder destroy it, so that a service which keeps
// data replaces its workers one after another unless the file says otherwise.
func (s Service) StartFirst() bool {
	if s.Update.Order != "" {
		return s.Update.Order == StartFirst
	}
	return !s.KeepsData()
}

// Update is how a changed service replaces its workers.
type Update struct {
	Parallelism int           `json:"parallelism"`     // 1 worker at a time; 0: all at once
	Delay       time.Duration `json:"delay"`           // 0s between two batches
	Order       UpdateOrder   `json:"order,omitempty"` // empty: Service.StartFirst decides
}

// Logs caps what is kept of a worker's output.
type Logs struct {
	MaxSize  int64 `json:"max_size"`  // 10 MiB a file
	MaxFiles int   `json:"max_files"` // 5, the current one included
}

// NodeMode is x-bulsa.node: how a Node application's listen() is served.
type NodeMode string

const (
	NodeAuto    NodeMode = "auto"    // proxyfd where the worker speaks Node's cluster protocol, else the next that works
	NodeProxyFD NodeMode = "proxyfd" // one socketpair end per upstream connection, HTTP balanced per request
	NodeRR      NodeMode = "rr"      // whole client connections are handed over
	NodeShared  NodeMode = "shared"  // workers accept from one shared socket
	NodeListen  NodeMode = "listen"  // a preload turns listen() into a unix socket of the worker's own
	NodePort    NodeMode = "port"    // the application binds $PORT itself
	NodeOff     NodeMode = "off"     // not treated as Node at all
)

// EventLoop is how the event loops of Node workers are watched.
type EventLoop struct {
	Monitor        bool           `json:"monitor"`         // true; false: they are neither read nor asked
	UnhealthyAfter *time.Duration `json:"unhealthy_after"` // a loop that is silent for so long makes its worker unhealthy; 0: never; nil: 5s for a service with ports, else never
}

// silentTooLong is the default of UnhealthyAfter.
const silentTooLong = 5 * time.Second

// LoopLimit is how long a loop of the service may be silent; 0: for ever. A service
// without ports may compute as long as it likes.
func (s Service) LoopLimit() time.Duration {
	switch {
	case !s.EventLoop.Monitor:
		return 0
	case s.EventLoop.UnhealthyAfter != nil:
		return *s.EventLoop.UnhealthyAfter
	case len(s.Ports) > 0:
		return silentTooLong
	}
	return 0
}

// ThreadPool is the size of libuv's thread pool that fits a number of CPUs:
// libuv's own, and more where more can run at the same time.
func ThreadPool(cpus int) int { return min(max(4, cpus), 1024) }

// Dependency delays a service's start.
type Dependency struct {
	Service   string `json:"service"`
	Condition string `json:"condition"` // service_started | service_healthy | service_completed_successfully
	Restart   bool   `json:"restart,omitempty"`
	Required  bool   `json:"required"`
}

// Server is one address of an external service, in nginx's words.
type Server struct {
	Address     string        `json:"address"` // host:port, or unix:/path
	Weight      int           `json:"weight"`  // 1
	MaxFails    int           `json:"max_fails"`
	FailTimeout time.Duration `json:"fail_timeout"`
	MaxConns    int           `json:"max_conns"` // 0: no limit
	Backup      bool          `json:"backup"`
	Down        bool          `json:"down"`
}

// Release is an immutable, numbered Service. A change of the file makes a new
// one; going back starts an older one.
type Release struct {
	Number  int     `json:"number"` // from 1
	Digest  string  `json:"digest"` // of Service without Replicas
	Service Service `json:"service"`
}

// Digest identifies what a worker runs: two services with the same digest
// need no restart. The number of replicas is not part of it, nor is what the
// proxy and the balancer alone go by.
func (s Service) Digest() string {
	s.Replicas, s.Forward, s.Limits, s.Routes, s.AccessLog, s.TLS, s.Balance = 0, Forward{}, Limits{}, nil, AccessLog{}, TLS{}, Balance{}
	if s.Container != nil {
		c := *s.Container
		c.RenewVolumes = false
		s.Container = &c
	}
	s.Ports = slices.Clone(s.Ports)
	for i := range s.Ports {
		s.Ports[i].Protocol = ProtocolAuto
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a Service holds nothing that JSON cannot say
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Warning is a field that was understood and has no effect, or contradicts another.
type Warning struct {
	Where   string `json:"where"` // file:line, or the flag
	Message string `json:"message"`
}
