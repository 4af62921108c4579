// Package admin serves a running project: the API on its control socket, and
// on loopback the status page, /metrics, /healthz and the API for reading. What
// changes anything over TCP needs the project's token.
package admin
