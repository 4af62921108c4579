package spec

// ClientAddress is where a Node application finds who its client is.
type ClientAddress string

const (
	ClientSocket ClientAddress = ""       // req.socket shows the client; headers do as well
	ClientHeader ClientAddress = "header" // req.socket is bulsa's, on loopback; only headers show the client
)
