// Package stats counts what clients saw and workers did. Nothing is decided by it.
package stats
