package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	// blocks is how many bytes of files one reader holds, of all workers together.
	blocks        = 1 << 20
	smallestBlock = 4 << 10
	largestBlock  = 64 << 10
	// longestKept bounds what is held of a line: longer than any that is kept here, it is none.
	longestKept = 2 * maxLine
)

// past is what is kept of some workers' lines, in order of time. It reads a block of each
// worker when it needs one, so that its size is that of the blocks, not of the files.
type past struct {
	sources []*source // those that have a next line
	latest  map[string]time.Time
}

// openPast is at the last n lines of each of the workers, at all of them when n is
// negative. docker compose logs counts by the container, too: a busy worker hides no other.
func openPast(files map[string]*rotation, names []string, n int) (*past, error) {
	p := &past{latest: map[string]time.Time{}}
	for _, worker := range names {
		s := &source{worker: worker, files: files[worker]}
		lines, err := s.begin(n)
		if err != nil {
			return nil, fmt.Errorf("cannot read the log of %s: %w", worker, err)
		}
		if n >= 0 {
			s.skip = max(lines-n, 0)
		}
		if lines > 0 {
			p.sources = append(p.sources, s)
		}
	}
	for _, s := range p.sources {
		s.block = min(max(blocks/len(p.sources), smallestBlock), largestBlock)
	}
	rest := p.sources[:0]
	for _, s := range p.sources {
		if p.advance(s) {
			rest = append(rest, s)
		}
	}
	p.sources = rest
	return p, nil
}

// next is the oldest line that was not taken yet; false at the end.
func (p *past) next() (Line, bool) {
	if len(p.sources) == 0 {
		return Line{}, false
	}
	oldest := 0
	for i, s := range p.sources {
		if s.line.At.Before(p.sources[oldest].line.At) {
			oldest = i
		}
	}
	s := p.sources[oldest]
	line := s.line
	p.taken(line)
	if !p.advance(s) {
		p.sources = append(p.sources[:oldest], p.sources[oldest+1:]...)
	}
	return line, true
}

// taken notes how far a worker's lines were read.
func (p *past) taken(line Line) {
	if line.At.After(p.latest[line.Worker]) {
		p.latest[line.Worker] = line.At
	}
}

// advance reads the next wanted line of a source; what is no line counts as one that was skipped.
func (p *past) advance(s *source) bool {
	for {
		ok, more := s.next()
		if !more || ok && s.skip == 0 {
			return ok
		}
		if ok {
			p.taken(s.line)
		}
		s.skip = max(s.skip-1, 0)
	}
}

// send sends all lines until ctx ends; false then.
func (p *past) send(ctx context.Context, out chan<- Line) bool {
	for {
		line, ok := p.next()
		if !ok {
			return true
		}
		select {
		case out <- line:
		case <-ctx.Done():
			return false
		}
	}
}

// source is the lines of one worker, oldest first. Between two reads it holds no file
// open: neither descriptors nor the space of files that rotation has removed meanwhile.
type source struct {
	worker string
	files  *rotation
	skip   int    // lines that are older than the wanted ones
	spans  []span // yet to be read, oldest first
	block  int
	buf    []byte // read, and not yet cut into lines
	space  []byte // where buf lies
	line   Line
}

// span is a part of one file, which is known by how it begins: stamps only grow, so
// that no two files of a worker begin with the same one.
type span struct {
	begins  string
	number  int // of the file when it was last seen; rotation makes it larger
	at, end int64
}

// begin finds where the last n lines begin, and returns how many there are.
func (s *source) begin(n int) (lines int, err error) {
	for number := 0; n < 0 || lines < n; number++ {
		f, err := s.files.openNumber(number)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return 0, err
		}
		wanted := n - lines
		if n < 0 {
			wanted = -1
		}
		part, found, err := lastLines(f, wanted)
		f.Close()
		if err != nil {
			return 0, err
		}
		if found > 0 {
			part.number = number
			s.spans = append([]span{part}, s.spans...)
			lines += found
		}
	}
	return lines, nil
}

// next cuts the next line off. ok: it is in s.line; more: there may be another.
func (s *source) next() (ok, more bool) {
	for {
		if i := bytes.IndexByte(s.buf, '\n'); i >= 0 {
			s.line, ok = parse(s.worker, s.buf[:i])
			s.buf = s.buf[i+1:]
			return ok, true
		}
		if len(s.spans) == 0 {
			return false, false
		}
		if err := s.fill(); err != nil {
			s.line = Line{At: s.line.At.Add(time.Nanosecond), Worker: s.worker, Stream: Bulsa, Text: err.Error()}
			s.buf, s.spans = nil, s.spans[1:]
			return true, true
		}
	}
}

var errRotated = errors.New("lines not shown: their file was removed before this reader came to it")

// fill reads the next block behind what is there.
func (s *source) fill() error {
	part := &s.spans[0]
	if part.at >= part.end {
		s.spans, s.buf = s.spans[1:], nil
		return nil
	}
	f, err := s.files.find(part)
	if errors.Is(err, fs.ErrNotExist) {
		return errRotated
	}
	if err != nil {
		return fmt.Errorf("lines not shown: %w", err)
	}
	defer f.Close()
	if len(s.buf) > longestKept {
		s.buf = s.buf[:0] // the rest of it will be no line either
	}
	wanted := len(s.buf) + int(min(int64(s.block), part.end-part.at))
	if wanted > len(s.space) {
		s.space = make([]byte, wanted)
	}
	kept := copy(s.space, s.buf)
	n, err := f.ReadAt(s.space[kept:wanted], part.at)
	if n == 0 {
		return fmt.Errorf("lines not shown: %w", err)
	}
	part.at += int64(n)
	s.buf = s.space[:kept+n]
	return nil
}

// openNumber opens the file of that number for reading, 0 being the current one.
func (r *rotation) openNumber(number int) (*os.File, error) {
	if r.path == "" {
		return nil, fs.ErrNotExist
	}
	r.names.Lock()
	defer r.names.Unlock()
	return os.Open(r.name(number))
}

// find opens the file that a span is of, whatever its number is by now.
func (r *rotation) find(part *span) (*os.File, error) {
	r.names.Lock()
	defer r.names.Unlock()
	for number := part.number; ; number++ {
		f, err := os.Open(r.name(number))
		if err != nil {
			return nil, err
		}
		if beginning(f) == part.begins {
			part.number = number
			return f, nil
		}
		f.Close()
	}
}

// beginning is what a file is known by: the stamp of its first line.
func beginning(f *os.File) string {
	b := make([]byte, stampLength)
	n, _ := f.ReadAt(b, 0)
	return string(b[:n])
}

// lastLines finds the last n whole lines of f, from its end; all when n is negative. A
// line that is being written is not there yet.
func lastLines(f *os.File, n int) (part span, lines int, err error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return span{}, 0, err
	}
	part.begins = beginning(f)
	block := make([]byte, largestBlock)
	ended := false
	for end := info.Size(); end > 0; {
		at := max(end-largestBlock, 0)
		b := block[:end-at]
		if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
			return span{}, 0, err
		}
		for i := bytes.LastIndexByte(b, '\n'); i >= 0; i = bytes.LastIndexByte(b[:i], '\n') {
			switch {
			case !ended:
				ended, part.end = true, at+int64(i)+1
			case lines == n:
				part.at = at + int64(i) + 1
				return part, lines, nil
			}
			lines++
		}
		end = at
	}
	return part, lines, nil
}
