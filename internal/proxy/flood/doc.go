// Package flood finds clients of HTTP/2 that make a server work for nothing, and the
// addresses they come back from.
package flood
