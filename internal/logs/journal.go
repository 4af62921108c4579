package logs

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

// Journal is a file of lines that outlives who writes it, bounded as a worker's files are.
// One goroutine writes.
type Journal struct {
	files  *rotation
	limits Limits
}

// NewJournal is the journal at path; its file is made with its first line.
func NewJournal(path string, l Limits) *Journal {
	return &Journal{files: newRotation(path), limits: l.withDefaults()}
}

// Append adds a line, which holds no line end.
func (j *Journal) Append(line []byte) error {
	_, err := j.Write(append(bytes.Clone(line), '\n'))
	return err
}

// Write adds whole lines.
func (j *Journal) Write(lines []byte) (written int, err error) {
	for written < len(lines) {
		n, err := j.files.write(lines[written:], j.limits)
		if written += n; err != nil {
			return written, err
		}
		if n == 0 {
			return written, io.ErrShortWrite // half a line
		}
	}
	return written, nil
}

// Close closes the file.
func (j *Journal) Close() { j.files.close() }

// Lines calls each for every line that is kept, oldest first. A line longer than 64 KiB
// ends its file.
func (j *Journal) Lines(each func(line []byte)) error {
	names := j.files.existing()
	for i := len(names) - 1; i >= 0; i-- {
		f, err := os.Open(names[i])
		if errors.Is(err, fs.ErrNotExist) {
			continue // renamed meanwhile
		}
		if err != nil {
			return err
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			each(lines.Bytes())
		}
		f.Close()
	}
	return nil
}
