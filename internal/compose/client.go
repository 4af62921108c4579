package compose

import (
	"fmt"

	"bulsa/internal/spec"
)

func clientAddress(s *spec.Service) key {
	return key{set: text(func(t string) error {
		switch t {
		case "socket":
			s.ClientAddress = spec.ClientSocket
		case "header":
			s.ClientAddress = spec.ClientHeader
		default:
			return fmt.Errorf("%q is not known; use socket or header", t)
		}
		return nil
	}), get: func() any {
		if s.ClientAddress == spec.ClientSocket {
			return nil
		}
		return string(s.ClientAddress)
	}}
}
