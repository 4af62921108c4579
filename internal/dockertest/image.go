package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/client"
)

// Build builds an image from a Dockerfile and the files beside it, by path.
func (d *Daemon) Build(name, dockerfile string, files map[string][]byte) error {
	context := &bytes.Buffer{}
	w := tar.NewWriter(context)
	add(w, "Dockerfile", []byte(dockerfile), 0o644)
	for path, content := range files {
		add(w, path, content, 0o755)
	}
	if err := w.Close(); err != nil {
		return err
	}
	return d.build(name, context)
}

func (d *Daemon) build(name string, content io.Reader) error {
	c, err := d.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.ImageBuild(context.Background(), content, client.ImageBuildOptions{Tags: []string{name}, Remove: true, ForceRemove: true})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && bytes.Contains(text, []byte(`"errorDetail"`)) {
		err = fmt.Errorf("cannot build %s: %s", name, text)
	}
	return err
}

// Base is what an image is made of, instead of a registry's base image: programs
// of this machine with the libraries that they need, and whole folders.
type Base struct {
	Programs []string // names on the path, or absolute
	Folders  []string // absolute, copied as they are
	Data     string   // absolute, of the user 1000: a volume at this place is that user's
}

// ImportBase makes an image of this machine's programs.
func (d *Daemon) ImportBase(name string, programs ...string) error {
	return d.Import(name, Base{Programs: programs})
}

// Import makes an image of this machine's files.
func (d *Daemon) Import(name string, b Base) error {
	c, err := d.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	read, write := io.Pipe()
	defer read.Close()
	go func() { write.CloseWithError(b.write(write)) }()
	answer, err := c.ImageImport(context.Background(), client.ImageImportSource{Source: read, SourceName: "-"}, name,
		client.ImageImportOptions{Changes: []string{"ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}})
	if err != nil {
		return err
	}
	defer answer.Close()
	text, err := io.ReadAll(answer)
	if err == nil && bytes.Contains(text, []byte(`"errorDetail"`)) {
		err = fmt.Errorf("cannot import %s: %s", name, text)
	}
	return err
}

// write writes the files of the image.
func (b Base) write(out io.Writer) error {
	var files, links []string
	for _, program := range b.Programs {
		path, err := exec.LookPath(program)
		if err != nil {
			return fmt.Errorf("the base image needs %s: %w", program, err)
		}
		needed, err := libraries(path)
		if err != nil {
			return err
		}
		files = append(append(files, path), needed...)
		links = append(links, path)
	}
	slices.Sort(files)
	w := tar.NewWriter(out)
	add(w, "etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/:/bin/sh\n"), 0o644)
	for _, file := range slices.Compact(files) {
		content, err := os.ReadFile(file) // follows links
		if err != nil {
			return err
		}
		add(w, strings.TrimPrefix(file, "/"), content, 0o755)
	}
	for _, path := range links {
		if path != "/bin/"+filepath.Base(path) { // scripts and checks ask for /bin/sh
			_ = w.WriteHeader(&tar.Header{Name: "bin/" + filepath.Base(path), Linkname: path, Mode: 0o777, Typeflag: tar.TypeSymlink})
		}
	}
	add(w, "tmp/.keep", nil, 0o644)
	if b.Data != "" {
		_ = w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(b.Data, "/") + "/", Mode: 0o700, Uid: 1000, Gid: 1000, Typeflag: tar.TypeDir})
	}
	for _, folder := range b.Folders {
		if err := addFolder(w, folder); err != nil {
			return err
		}
	}
	return w.Close()
}

// addFolder adds the regular files of a folder; links are followed.
func addFolder(w *tar.Writer, folder string) error {
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return nil // a link that leads nowhere, or a folder
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		add(w, strings.TrimPrefix(path, "/"), content, int64(info.Mode().Perm()))
		return nil
	})
}

// libraries are the shared libraries and the loader that a program needs; a
// static one needs none.
func libraries(path string) ([]string, error) {
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return nil, nil // not a dynamic executable
	}
	var files []string
	for line := range strings.Lines(string(out)) {
		for _, word := range strings.Fields(line) {
			if filepath.IsAbs(word) {
				files = append(files, word)
			}
		}
	}
	return files, nil
}

func add(w *tar.Writer, name string, content []byte, mode int64) {
	// Errors show at Close.
	_ = w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg})
	_, _ = w.Write(content)
}
