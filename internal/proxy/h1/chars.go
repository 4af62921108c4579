package h1

import (
	"encoding/binary"
	"math/bits"
)

const blank32 = "                                "

// folded holds at each token character (RFC 9110, section 5.6.2) its lower case,
// and elsewhere a space.
const folded = blank32 +
	" ! #$%&'  *+ -. 0123456789      " +
	" abcdefghijklmnopqrstuvwxyz   ^_" +
	"`abcdefghijklmnopqrstuvwxyz | ~ " +
	blank32 + blank32 + blank32 + blank32

func isTokenChar(c byte) bool { return folded[c] != ' ' }

func isToken(b []byte) bool {
	for _, c := range b {
		if !isTokenChar(c) {
			return false
		}
	}
	return len(b) > 0
}

// endOfToken is the index of the first byte at or after i that is no token
// character, or len(b).
func endOfToken(b []byte, i int) int {
	for i < len(b) && isTokenChar(b[i]) {
		i++
	}
	return i
}

// equalFold compares with a lower-case token.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if folded[c] != lower[i] {
			return false
		}
	}
	return true
}

// control is the index of the first control character but HTAB at or after i, or
// -1. It looks at eight bytes at a time: in (x-0x20…)&^x the high bit of a byte
// is set where it is below 0x20, and of the lowest such byte no borrow comes.
func control(b []byte, i int) int {
	const (
		ones   = 0x0101010101010101
		spaces = 0x20 * ones
		dels   = 0x7f * ones
		highs  = 0x80 * ones
	)
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		d := x ^ dels
		m := ((x-spaces)&^x | (d-ones)&^d) & highs
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if b[i] != '\t' {
			return i
		}
		i++
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' && c != '\t' || c == 0x7f {
			return i
		}
	}
	return -1
}

// trim removes optional white space (OWS) at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// hexDigit is below 0 for what is none.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// nextElement cuts the first element off a comma-separated list (RFC 9110,
// section 5.6.1).
func nextElement(list []byte) (element, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), nil
}
