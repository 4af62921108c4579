// Package accesslog writes a line for each answer, and keeps no request waiting for
// the file.
package accesslog
