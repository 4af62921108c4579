//go:build !linux

package libuv

import (
	"errors"

	"bulsa/internal/eventloop"
)

// Reader reads the main loop of one process.
type Reader struct{}

// Open is for Linux: no other system lets one process read another so cheaply.
func (c *Catalog) Open(int) (*Reader, error) {
	return nil, unknown("this system does not allow it")
}

// Look never succeeds.
func (*Reader) Look() (eventloop.Reading, error) {
	return eventloop.Reading{}, errors.ErrUnsupported
}
