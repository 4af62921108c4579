package accesslog

import (
	"strconv"
	"sync/atomic"
	"unicode/utf8"
)

// Log says how a service's answers are logged. It keeps nothing waiting:
// lines that its file cannot take in time are lost, and counted.
type Log struct {
	File     *File
	Combined bool    // the format that nginx and Apache call combined; else a JSON object on each line
	Sample   float64 // share of the answers that are logged, above 0 to 1

	seen atomic.Uint64
}

// Write logs an answer, if the sample takes it.
func (l *Log) Write(service string, a *Account) {
	if !l.due() {
		return
	}
	var usual [2 << 10]byte // on the stack; a longer line costs an allocation
	b := usual[:0]
	if l.Combined {
		b = appendCombined(b, a)
	} else {
		b = appendJSON(b, service, a)
	}
	l.File.put(b)
}

// due spreads the sample evenly.
func (l *Log) due() bool {
	if l.Sample >= 1 {
		return true
	}
	n := float64(l.seen.Add(1))
	return uint64(n*l.Sample) != uint64((n-1)*l.Sample)
}

// appendJSON writes one line; durations are seconds.
func appendJSON(b []byte, service string, a *Account) []byte {
	b = append(b, `{"time":"`...)
	b = a.Began.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, `","service":`...)
	b = appendQuotedJSON(b, bytesOf(service))
	b = append(b, `,"client":"`...)
	if a.Client.IsValid() {
		b = a.Client.AppendTo(b)
	}
	b = append(b, `","method":`...)
	b = appendQuotedJSON(b, a.Method)
	b = append(b, `,"target":`...)
	b = appendQuotedJSON(b, a.Target)
	b = append(b, `,"protocol":`...)
	b = appendQuotedJSON(b, bytesOf(a.Proto))
	b = append(b, `,"host":`...)
	b = appendQuotedJSON(b, a.Host)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, a.Sent, 10)
	b = append(b, `,"duration":`...)
	b = strconv.AppendFloat(b, a.Took.Seconds(), 'f', 6, 64)
	b = append(b, `,"worker":`...)
	b = appendQuotedJSON(b, bytesOf(a.Worker))
	b = append(b, `,"attempts":`...)
	b = strconv.AppendInt(b, int64(a.Attempts), 10)
	b = append(b, `,"referer":`...)
	b = appendQuotedJSON(b, a.Referer)
	b = append(b, `,"user_agent":`...)
	b = appendQuotedJSON(b, a.Agent)
	return append(b, "}\n"...)
}

// appendCombined writes one line as nginx's format of that name:
// client - - [time] "request" status bytes "referer" "user agent".
func appendCombined(b []byte, a *Account) []byte {
	if a.Client.IsValid() {
		b = a.Client.AppendTo(b)
	} else {
		b = append(b, "unix:"...)
	}
	b = append(b, " - - ["...)
	b = a.Began.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	if len(a.Method) == 0 {
		b = append(b, '-')
	} else {
		b = appendPlain(b, a.Method)
		b = append(b, ' ')
		b = appendPlain(b, a.Target)
		b = append(b, ' ')
		b = append(b, a.Proto...)
	}
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, a.Sent, 10)
	b = append(b, ` "`...)
	b = appendPlainOrDash(b, a.Referer)
	b = append(b, `" "`...)
	b = appendPlainOrDash(b, a.Agent)
	return append(b, "\"\n"...)
}

const hexDigits = "0123456789ABCDEF"

// appendQuotedJSON is RFC 8259, section 7. What is not UTF-8 becomes U+FFFD.
func appendQuotedJSON(b, text []byte) []byte {
	b = append(b, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRune(text[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		i++
	}
	return append(b, '"')
}

// appendPlain escapes as nginx does: what could end the field or the line, or is
// not ASCII, becomes \xXX.
func appendPlain(b, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			continue
		}
		b = append(b, c)
	}
	return b
}

func appendPlainOrDash(b, text []byte) []byte {
	if len(text) == 0 {
		return append(b, '-')
	}
	return appendPlain(b, text)
}
