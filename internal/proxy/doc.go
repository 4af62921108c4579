// Package proxy is the data path: it accepts clients, picks an endpoint,
// forwards, retries, upgrades and counts. A table goes in, counters come out.
package proxy
