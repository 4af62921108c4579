// Package reply writes the answers that the proxy gives itself: local replies.
package reply
