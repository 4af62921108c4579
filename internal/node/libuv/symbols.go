package libuv

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"io"
	"maps"
	"slices"
)

const (
	chunk       = 64 << 10
	symbolSize  = 24       // of an Elf64_Sym, elf(5)
	maxSymbols  = 8 << 20  // a binary with more is none of Node's
	maxStrings  = 1 << 30  // bytes of names
	maxOffsets  = 1 << 16  // places where one of the names ends a string
	maxNoteSize = 64 << 10 // bytes of notes, of which one is the build id
)

// Names of the symbols that are looked for.
const (
	symbolLoop    = "default_loop_struct"
	symbolQueue   = "wq"
	symbolIdle    = "idle_threads"
	symbolThreads = "nthreads"
	symbolNow     = "uv_now"
	symbolVersion = "uv_version"
	fileOfPool    = "threadpool.c"
)

// symbol is an entry of a symbol table.
type symbol struct{ value, size uint64 }

// findSymbols reads the symbol table as a stream: those of Node have 300,000
// entries and 20 MB of names, of which seven are wanted. First it looks where
// these names lie, then for the symbols that point there. Of variables that
// exist in several files, libuv's threadpool.c counts.
func findSymbols(f *elf.File) (map[string]symbol, error) {
	table := f.SectionByType(elf.SHT_SYMTAB)
	if table == nil || int(table.Link) >= len(f.Sections) {
		return nil, unknown("its program has no symbol table")
	}
	if table.Size/symbolSize > maxSymbols || f.Sections[table.Link].Size > maxStrings {
		return nil, unknown("its program's symbol table is too large")
	}
	names, err := findNames(f.Sections[table.Link].Open())
	if err != nil {
		return nil, err
	}
	found := map[string]symbol{}
	inPool := false
	err = readSymbols(table.Open(), func(name uint32, info byte, s symbol) {
		kind := elf.ST_TYPE(info)
		if kind == elf.STT_FILE {
			inPool = names[name] == fileOfPool
			return
		}
		switch wanted := names[name]; wanted {
		case symbolQueue, symbolIdle, symbolThreads:
			if inPool && kind == elf.STT_OBJECT {
				found[wanted] = s
			}
		case symbolLoop, symbolNow, symbolVersion:
			found[wanted] = s
		}
	})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{symbolLoop, symbolNow, symbolVersion} {
		if found[name].value == 0 {
			return nil, unknown("its program's symbol table does not have %s", name)
		}
	}
	return found, nil
}

// findNames returns the wanted names by their offset in a string table. Linkers
// let a name share the end of a longer one, so every place counts where one
// stands before a zero.
func findNames(r io.Reader) (map[uint32]string, error) {
	wanted := []string{symbolLoop, symbolQueue, symbolIdle, symbolThreads, symbolNow, symbolVersion, fileOfPool}
	longest := len(slices.MaxFunc(wanted, func(a, b string) int { return len(a) - len(b) })) + 1
	found := map[uint32]string{}
	buf := make([]byte, 0, chunk+longest)
	start := 0 // offset of buf[0]
	for {
		n, err := io.ReadFull(r, buf[len(buf):len(buf)+chunk])
		buf = buf[:len(buf)+n]
		for _, name := range wanted {
			ended := append([]byte(name), 0)
			for at := 0; ; at++ {
				i := bytes.Index(buf[at:], ended)
				if i < 0 {
					break
				}
				at += i
				found[uint32(start+at)] = name
			}
		}
		if err != nil || len(found) > maxOffsets {
			break
		}
		keep := min(longest-1, len(buf))
		start += len(buf) - keep
		buf = buf[:copy(buf, buf[len(buf)-keep:])]
	}
	for name := range maps.Values(found) {
		if name == symbolLoop && len(found) <= maxOffsets {
			return found, nil
		}
	}
	return nil, unknown("its program's symbol table does not name libuv's loop")
}

func readSymbols(r io.Reader, each func(name uint32, info byte, s symbol)) error {
	buf := make([]byte, chunk/symbolSize*symbolSize)
	for {
		n, err := io.ReadFull(r, buf)
		for b := buf[:n]; len(b) >= symbolSize; b = b[symbolSize:] {
			each(binary.LittleEndian.Uint32(b), b[4], symbol{
				value: binary.LittleEndian.Uint64(b[8:]), size: binary.LittleEndian.Uint64(b[16:]),
			})
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return unknown("its program cannot be read: %v", err)
		}
	}
}

// buildID is the build id of a program in hexadecimal, "" when it has none.
func buildID(f *elf.File) string {
	s := f.Section(".note.gnu.build-id")
	if s == nil || s.Size > maxNoteSize {
		return ""
	}
	// A note: sizes of the name and of the contents, a type, "GNU\0", the contents.
	note, err := s.Data()
	const head = 16
	if err != nil || len(note) < head || string(note[12:head]) != "GNU\x00" {
		return ""
	}
	size := binary.LittleEndian.Uint32(note[4:])
	if size == 0 || size > 64 || int(size) > len(note)-head {
		return ""
	}
	return hex.EncodeToString(note[head : head+size])
}

// code returns the first bytes of a function.
func code(f *elf.File, address uint64) ([]byte, error) {
	b := make([]byte, 32)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && address >= p.Vaddr && address-p.Vaddr < p.Filesz {
			n, err := p.ReadAt(b, int64(address-p.Vaddr))
			if n == 0 && err != nil {
				return nil, unknown("its program cannot be read: %v", err)
			}
			return b[:n], nil
		}
	}
	return nil, unknown("its program's symbol table does not fit the program")
}
