// Package retry holds the rules of a request's tries: which endpoint it asks, how long
// it waits for one, in line or held, whether it is asked again after an attempt without
// an answer, what that costs, and what is remembered of requests that end workers. It
// decides and does nothing: who carries a request, on an event loop or a goroutine,
// tells its Try what came of an attempt and does what is decided.
package retry
