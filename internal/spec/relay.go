package spec

// RelayOff in Service.Relay: what workers tell their primary is read by nobody.
const RelayOff = "off"

// Relays are the packages for which bulsa is the primary that they expect in
// Node's cluster.
func Relays() []string {
	return []string{"log4js", "prom-client", "rate-limiter-flexible", "socket.io-cluster"}
}
