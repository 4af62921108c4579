package logs

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

// stampLength is that of "2026-01-02T15:04:05.123456789Z".
const stampLength = 30

// remarkLetter marks bulsa's own lines.
const remarkLetter = 'b'

var newline = []byte{'\n'}

// clock stamps the lines of one worker so that no two are equal, which makes
// a stamp the name of a line.
type clock struct{ latest time.Time }

func (c *clock) tick(now time.Time) time.Time {
	now = now.UTC().Round(0)
	if !now.After(c.latest) {
		now = c.latest.Add(time.Nanosecond)
	}
	c.latest = now
	return now
}

// appendLine appends one line in the form of the files.
func appendLine(b []byte, at time.Time, letter byte, text []byte) []byte {
	b = at.AppendFormat(b, "2006-01-02T15:04:05.000000000Z")
	b = append(b, ' ', letter, ' ')
	b = append(b, text...)
	return append(b, '\n')
}

// letter is the file's word for a stream.
func letter(stream string, partial bool) byte {
	l := byte('o')
	if stream == Stderr {
		l = 'e'
	}
	if partial {
		l -= 'a' - 'A'
	}
	return l
}

// parse reads one line of a file, without its end; false for what is none, as
// the half line that a power cut leaves.
func parse(worker string, b []byte) (Line, bool) {
	if len(b) < stampLength+3 || b[stampLength] != ' ' || b[stampLength+2] != ' ' {
		return Line{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(b[:stampLength]))
	if err != nil {
		return Line{}, false
	}
	l := Line{At: at, Worker: worker, Text: clean(b[stampLength+3:])}
	switch b[stampLength+1] {
	case 'o', 'O':
		l.Stream = Stdout
	case 'e', 'E':
		l.Stream = Stderr
	case remarkLetter:
		l.Stream = Bulsa
	default:
		return Line{}, false
	}
	l.Partial = b[stampLength+1] < 'a'
	return l, true
}

// clean makes text that can be shown out of what a worker wrote.
func clean(b []byte) string {
	b = bytes.TrimSuffix(b, []byte{'\r'})
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return string(b)
	}
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
}
