// Package h1 reads and writes the heads and the chunks of HTTP/1.1 (RFC 9110,
// RFC 9112). It is pure: bytes in, bytes out.
//
// It is strict: what two parsers could read in two ways is a Fault, not a guess,
// and what is sent on is written from what was understood. It allocates nothing
// once a Request or an Answer has been used: values are spans of the caller's
// bytes, and output is appended to the caller's buffer.
//
// A connection's bytes go through it like this:
//
//	n, fault := request.Parse(buffered, limit) // n == 0 and no fault: read more
//	out = request.AppendTo(out, &h1.Forward{Origin: &origin})
//	data, n, fault := chunks.Next(buffered[n:]) // as often as there is something
//	n, fault := answer.Parse(buffered, &request, limit)
//	out = answer.AppendTo(out, &h1.Reply{Body: answer.BodyFor(&request)})
package h1
