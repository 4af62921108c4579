package logs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"sync"
)

// suffix of a worker's current file; older ones add .1, .2, ...
const suffix = ".log"

// rotation is the files of one worker. It is written here rather than taken from
// a library because it must keep whole lines on a disk that fills up, be capped
// in bytes, and leave no goroutine behind (lumberjack counts in megabytes and
// never ends the one it starts for each file).
type rotation struct {
	path string // "" for a worker whose name is no file name

	file *os.File // owned by the one who writes
	size int64

	names sync.Mutex // held while files are renamed, and while readers open them all
}

var errName = errors.New("the worker's name is not usable as a file name")

func newRotation(path string) *rotation { return &rotation{path: path} }

// write appends as many of the lines as the current file may hold, at least
// one, and returns how many bytes of whole lines were taken.
func (r *rotation) write(lines []byte, l Limits) (int, error) {
	if err := r.open(); err != nil {
		return 0, err
	}
	part := fitting(lines, l.MaxSize-r.size)
	if len(part) == 0 && r.size > 0 {
		if err := r.rotate(l.MaxFiles); err != nil {
			return 0, err
		}
		part = fitting(lines, l.MaxSize)
	}
	if len(part) == 0 {
		part = lines[:bytes.IndexByte(lines, '\n')+1]
	}
	n, err := r.file.Write(part)
	if err != nil {
		n = r.undo(part[:n])
	}
	r.size += int64(n)
	return n, err
}

// fitting returns the longest run of whole lines within room bytes.
func fitting(lines []byte, room int64) []byte {
	if room <= 0 {
		return nil
	}
	if int64(len(lines)) > room {
		lines = lines[:room]
	}
	return lines[:bytes.LastIndexByte(lines, '\n')+1]
}

// undo takes the half line back that a full disk left, and closes the file, so
// that the next write begins anew. It returns the bytes of whole lines that stay.
func (r *rotation) undo(written []byte) int {
	whole := bytes.LastIndexByte(written, '\n') + 1
	r.file.Truncate(r.size + int64(whole)) // if this fails too, open ends the half line
	r.close()
	return whole
}

// open opens the current file where it is not open yet.
func (r *rotation) open() error {
	if r.file != nil {
		return nil
	}
	if r.path == "" {
		return errName
	}
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	r.file, r.size = f, info.Size()
	return r.endHalfLine()
}

// endHalfLine separates what comes from a line that was cut off by a crash.
func (r *rotation) endHalfLine() error {
	last := []byte{'\n'}
	if r.size > 0 {
		r.file.ReadAt(last, r.size-1) // unreadable: nothing to repair
	}
	if last[0] == '\n' {
		return nil
	}
	n, err := r.file.Write(newline)
	r.size += int64(n)
	if err != nil {
		r.close()
	}
	return err
}

// rotate makes the current file the newest of the old ones and starts another.
func (r *rotation) rotate(keep int) error {
	r.names.Lock()
	defer r.names.Unlock()
	r.close()
	for i := keep - 1; ; i++ { // also those that a smaller limit leaves over
		if err := os.Remove(r.name(i)); err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			break
		}
	}
	for i := keep - 2; i >= 0; i-- {
		if err := os.Rename(r.name(i), r.name(i+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return r.open()
}

// name is that of the i-th file, the current one being 0.
func (r *rotation) name(i int) string {
	if i == 0 {
		return r.path
	}
	return r.path + "." + strconv.Itoa(i)
}

func (r *rotation) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// existing lists the files that there are, newest first.
func (r *rotation) existing() []string {
	if r.path == "" {
		return nil
	}
	r.names.Lock()
	defer r.names.Unlock()
	var names []string
	for i := 0; ; i++ {
		if _, err := os.Lstat(r.name(i)); err != nil {
			return names
		}
		names = append(names, r.name(i))
	}
}
