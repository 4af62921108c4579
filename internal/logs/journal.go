package logs

import (
	"bufio"
	"bytes"
	"errors"
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
	_, err := j.files.write(append(bytes.Clone(line), '\n'), j.limits)
	return err
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
