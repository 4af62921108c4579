package h1

// Fault is what is wrong with a message; the zero Fault is none. After one the
// connection has to be closed: where the next message would begin is unknown.
type Fault uint8

// The faults of requests; those of fields and bodies are answers' too, for which
// a proxy says 502.
const (
	OK Fault = iota
	BadLineEnd
	BadRequestLine
	BadMethod
	BadTarget
	BadHost
	NotOneHost
	BadVersion
	OtherVersion
	Connect
	LongTarget
	LongHead
	ManyFields
	BadFieldName
	BadFieldValue
	ManyOptions
	BadLength
	LengthAndCoding
	BadCoding
	UnknownCoding
	UpgradeWithBody
	TwoContentTypes
	UnknownExpectation
	BadChunk
	LongChunkExtensions
	BadTrailer
	BadStatusLine
	BadUpgrade
)

// Status is the answer that a client deserves for f.
func (f Fault) Status() int {
	switch f {
	case OK:
		return 200
	case LongTarget:
		return 414
	case UnknownExpectation:
		return 417
	case LongHead, ManyFields:
		return 431
	case UnknownCoding, Connect:
		return 501
	case BadStatusLine, BadUpgrade:
		return 502
	case OtherVersion:
		return 505
	}
	return 400
}

// Error says what is wrong, as a part of a sentence.
func (f Fault) Error() string {
	switch f {
	case OK:
		return "no fault"
	case BadLineEnd:
		return "a line that does not end in CR LF"
	case BadRequestLine:
		return "a malformed request line"
	case BadMethod:
		return "a malformed method"
	case BadTarget:
		return "a malformed request target"
	case BadHost:
		return "a malformed Host"
	case NotOneHost:
		return "not exactly one Host"
	case BadVersion:
		return "a malformed HTTP version"
	case OtherVersion:
		return "only HTTP/1.1 and HTTP/1.0 are spoken here"
	case Connect:
		return "CONNECT is not supported"
	case LongTarget:
		return "the request target is too long"
	case LongHead:
		return "the head is too large"
	case ManyFields:
		return "more header fields than allowed"
	case BadFieldName:
		return "a malformed header field name"
	case BadFieldValue:
		return "a control character in a header field"
	case ManyOptions:
		return "more options in Connection than allowed"
	case BadLength:
		return "a malformed Content-Length"
	case LengthAndCoding:
		return "Content-Length together with Transfer-Encoding"
	case BadCoding:
		return "a Transfer-Encoding that is not allowed here"
	case UnknownCoding:
		return "only the transfer coding chunked is known"
	case UpgradeWithBody:
		return "Upgrade together with a body"
	case TwoContentTypes:
		return "two different Content-Types"
	case UnknownExpectation:
		return "an unknown expectation"
	case BadChunk:
		return "a malformed chunk"
	case LongChunkExtensions:
		return "more chunk extensions than allowed"
	case BadTrailer:
		return "a malformed or too large trailer section"
	case BadUpgrade:
		return "a switch to a protocol that nobody asked for"
	}
	return "a malformed status line"
}
