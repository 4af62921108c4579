package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Protocol is what the clients of a published port speak.
type Protocol string

const (
	ProtocolAuto Protocol = ""     // found out: by the workers, the number, the first bytes
	ProtocolHTTP Protocol = "http" // requests are balanced
	ProtocolTCP  Protocol = "tcp"  // connections are, whatever they carry
)

// SendProxy is the version of the PROXY protocol by which workers are told who a
// connection comes from.
type SendProxy string

const (
	SendProxy1 SendProxy = "v1"
	SendProxy2 SendProxy = "v2"
)

// ParseProtocol reads what a user writes for a port.
func ParseProtocol(text string) (Protocol, error) {
	switch text {
	case "auto":
		return ProtocolAuto, nil
	case string(ProtocolHTTP), string(ProtocolTCP):
		return Protocol(text), nil
	}
	return "", fmt.Errorf("%q is not a protocol; use auto, http or tcp", text)
}

// ParseAppProtocol reads Compose's app_protocol, which is a hint in free words
// (docs.docker.com/reference/compose-file/services/#long-syntax-3): any that is not
// HTTP or made of it is TCP.
func ParseAppProtocol(text string) Protocol {
	switch strings.ToLower(text) {
	case "":
		return ProtocolAuto
	case "http", "http1", "http2", "h2c", "grpc", "ws", "websocket":
		return ProtocolHTTP
	}
	return ProtocolTCP
}

// Speaks is what the clients of the service's port i speak, as far as the
// configuration tells: what is given, what only HTTP has, a well-known number.
func (s Service) Speaks(i int) Protocol {
	p := s.Ports[i]
	switch {
	case p.Protocol != ProtocolAuto:
		return p.Protocol
	case s.TLS.Enabled() || len(s.Routes) > 0 || s.AccessLog.Format != "" || s.Balance.Sticky != "",
		s.Forward.Upstream == UpstreamH2C, s.Limits.Body > 0, s.Health.HTTP != "" && i == 0:
		return ProtocolHTTP
	case speaksNoHTTP(cmp.Or(p.Target, p.Published)):
		return ProtocolTCP
	}
	return ProtocolAuto
}

// speaksNoHTTP tells the numbers at which the servers of a protocol that is not HTTP
// listen (IANA's registry of service names, and the servers' own documentation).
func speaksNoHTTP(port int) bool {
	return slices.Contains([]int{
		21, 22, 23, 25, 53, 110, 119, 143, 389, 445, 465, 514, 587, 636, 853, 873, 990, 993, 995, // ftp ssh telnet smtp dns pop3 nntp imap ldap smb syslog rsync
		1433, 1521, 1883, 2181, 3306, 3389, 5222, 5269, 5432, 5671, 5672, 5900, // mssql oracle mqtt zookeeper mysql rdp xmpp postgresql amqp vnc
		6379, 6432, 6667, 6697, 7687, 8883, 9042, 9092, 9160, 11211, // redis pgbouncer irc bolt mqtts cassandra kafka memcached
		4222, 26257, 26379, 27017, 27018, 27019, 28015, 33060, // nats cockroachdb sentinel mongodb rethinkdb mysqlx
	}, port)
}

func (v *checker) protocols(s Service) {
	for i, p := range s.Ports {
		key := fmt.Sprintf("ports.%d", i)
		v.check(key, p.Protocol == ProtocolAuto || p.Protocol == ProtocolHTTP || p.Protocol == ProtocolTCP, fmt.Sprintf("%q is not a protocol", p.Protocol), "use auto, http or tcp")
		if p.Protocol != ProtocolTCP {
			continue
		}
		v.check(key, len(s.Routes) == 0, "x-bulsa.routes go by requests, and a port of protocol tcp has none", "remove routes, or set protocol: http")
		v.check(key, s.Forward.Upstream != UpstreamH2C, "upstream h2c is for requests, and a port of protocol tcp has none", "remove upstream, or set protocol: http")
	}
	v.oneOf("x-bulsa.send_proxy", string(s.Forward.SendProxy), "", string(SendProxy1), string(SendProxy2))
}
