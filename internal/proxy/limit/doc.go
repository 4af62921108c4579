// Package limit counts and measures what is bounded: connections of an address, the
// rate of a client, lines of a log.
package limit
