package libuv

import (
	"debug/elf"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
)

// Catalog knows the layouts of programs, by their build id, in memory and in a
// folder. Its methods may be called from any goroutine.
type Catalog struct {
	dir string

	mu    sync.Mutex
	known map[string]*entry
}

// entry is one program. Whoever comes while it is being read waits for it.
type entry struct {
	once   sync.Once
	layout layout
	err    error
}

// NewCatalog makes a catalog that keeps what it learns in dir; "": in memory
// alone. The folder is made when something is written.
func NewCatalog(dir string) *Catalog { return &Catalog{dir: dir, known: map[string]*entry{}} }

// formatVersion is part of a kept layout's name: another form is another file.
const formatVersion = "1"

func (c *Catalog) file(id string) string {
	return filepath.Join(c.dir, "libuv-"+formatVersion+"-"+id+".json")
}

// layoutOf returns the layout of the program at path, which takes a tenth of a
// second for a program that was never met before.
func (c *Catalog) layoutOf(path string) (layout, error) {
	f, err := elf.Open(path)
	if err != nil {
		return layout{}, unknown("its program cannot be read: %v", err)
	}
	defer f.Close()
	id := buildID(f)
	if id == "" {
		return newLayout(f)
	}
	c.mu.Lock()
	e := c.known[id]
	if e == nil {
		e = &entry{}
		c.known[id] = e
	}
	c.mu.Unlock()
	e.once.Do(func() {
		if e.layout, err = c.load(id); err == nil {
			return
		}
		if e.layout, e.err = newLayout(f); e.err == nil {
			c.keep(id, e.layout)
		}
	})
	return e.layout, e.err
}

func (c *Catalog) load(id string) (l layout, err error) {
	if c.dir == "" {
		return l, os.ErrNotExist
	}
	b, err := os.ReadFile(c.file(id))
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err == nil {
		err = l.check()
	}
	return l, err
}

// keep writes a layout down. It is a cache: what cannot be written is worked out
// again next time.
func (c *Catalog) keep(id string, l layout) {
	b, err := json.Marshal(l)
	if c.dir == "" || err != nil || os.MkdirAll(c.dir, 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(c.dir, ".libuv-*")
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), c.file(id))
	}
	if err != nil {
		os.Remove(f.Name())
	}
}
