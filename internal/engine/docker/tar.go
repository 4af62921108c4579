package docker

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"

	"bulsa/internal/spec"
)

// packFiles is a tar of files that are written into a container, from its root.
func packFiles(files []spec.File) (io.Reader, error) {
	out := &bytes.Buffer{}
	w := tar.NewWriter(out)
	for _, f := range files {
		header := tar.Header{
			Name: strings.TrimPrefix(f.Target, "/"), Mode: int64(f.Mode), Uid: f.UID, Gid: f.GID,
			Size: int64(len(f.Content)), Typeflag: tar.TypeReg,
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, f.Content); err != nil {
			return nil, err
		}
	}
	return out, w.Close()
}

// withFile copies a tar and adds one file to it.
func withFile(in io.ReadCloser, name string, content []byte) io.ReadCloser {
	out, to := io.Pipe()
	go func() {
		defer in.Close()
		to.CloseWithError(copyWith(to, in, name, content))
	}()
	return out
}

func copyWith(out io.Writer, in io.Reader, name string, content []byte) error {
	from, to := tar.NewReader(in), tar.NewWriter(out)
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := to.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
	}
	if err := to.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := to.Write(content); err != nil {
		return err
	}
	return to.Close()
}
