package libuv

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// layout is where a program keeps what is read. Addresses are the program's
// own; where it is loaded comes on top unless it is Fixed.
type layout struct {
	Fixed   bool   // always loaded at its own addresses (ET_EXEC)
	Version uint32 // of libuv: 0x013401 is 1.52.1

	Loop    uint64 // uv_loop_t
	Queue   uint64 // the list of waiting tasks; 0: the pool cannot be read
	Threads uint64 // number of threads, unsigned int
	Idle    uint64 // of them those without a task, unsigned int

	Time   uint64 // offset of uv_loop_t.time
	Counts bool   // libuv counts iterations and events
}

// Offsets that all 64-bit versions since 1.38 share (include/uv.h, struct uv_loop_s).
const (
	offHandles  = 0x08 // unsigned int active_handles
	offRequests = 0x20 // union { void* unused; unsigned int count; } active_reqs
	offInternal = 0x28 // void* internal_fields
	backTimers  = 0x10 // before time: unsigned int timer_heap.nelts
	maxTime     = 0x400
)

// Offsets in internal_fields (src/uv-common.h, uv__loop_internal_fields_t). Since
// 1.45 the metrics of uv_metrics_info stand before the two times.
const (
	offCount    = 0x08
	offEvents   = 0x10
	offEntry    = 0x88
	offIdle     = 0x90
	oldOffEntry = 0x08
	oldOffIdle  = 0x10
	sizeFields  = 0x98
)

const (
	oldest  = 1<<16 | 38<<8 // internal_fields came with 1.38
	counted = 1<<16 | 45<<8
	newest  = 2 << 16
)

func newLayout(f *elf.File) (layout, error) {
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return layout{}, unknown("its program is not one of 64 bits, little-endian")
	}
	symbols, err := findSymbols(f)
	if err != nil {
		return layout{}, err
	}
	now, err := code(f, symbols[symbolNow].value)
	if err != nil {
		return layout{}, err
	}
	version, err := code(f, symbols[symbolVersion].value)
	if err != nil {
		return layout{}, err
	}
	l := layout{Fixed: f.Type == elf.ET_EXEC, Loop: symbols[symbolLoop].value}
	if l.Time = fieldRead(f.Machine, now); l.Time == 0 {
		return layout{}, unknown("its uv_now is of an unknown form")
	}
	l.Version = constant(f.Machine, version)
	l.Counts = l.Version >= counted
	pool := []symbol{symbols[symbolQueue], symbols[symbolThreads], symbols[symbolIdle]}
	if pool[0].size == 16 && pool[1].size == 4 && pool[2].size == 4 {
		l.Queue, l.Threads, l.Idle = pool[0].value, pool[1].value, pool[2].value
	}
	return l, l.check()
}

// check refuses a layout that cannot be right, whoever wrote it.
func (l layout) check() error {
	if l.Version < oldest || l.Version >= newest {
		return unknown("libuv %d.%d is none that is known", l.Version>>16, l.Version>>8&0xff)
	}
	if l.Loop == 0 || l.Loop%8 != 0 || l.Time <= offInternal || l.Time >= maxTime || l.Time%8 != 0 {
		return unknown("its layout makes no sense")
	}
	return nil
}

// fieldRead is the offset that a function of one load reads from its first
// argument; 0: the code is of another form.
func fieldRead(m elf.Machine, code []byte) uint64 {
	switch m {
	case elf.EM_X86_64:
		load := []byte{0x48, 0x8b, 0x87} // mov disp32(%rdi),%rax
		if i := bytes.Index(code, load); i >= 0 && i <= maxProlog && len(code) >= i+7 {
			return uint64(binary.LittleEndian.Uint32(code[i+3:]))
		}
	case elf.EM_AARCH64:
		for b := code; len(b) >= 4; b = b[4:] {
			if insn := binary.LittleEndian.Uint32(b); insn&0xffc003ff == 0xf9400000 { // ldr x0, [x0, #imm]
				return uint64(insn>>10&0xfff) * 8
			}
		}
	}
	return 0
}

// maxProlog is how much may stand before the one instruction that matters:
// endbr64, push %rbp, mov %rsp,%rbp.
const maxProlog = 8

// constant is the number that a function returns; 0: the code is of another form.
func constant(m elf.Machine, code []byte) uint32 {
	switch m {
	case elf.EM_X86_64:
		if i := bytes.IndexByte(code, 0xb8); i >= 0 && i <= maxProlog && len(code) >= i+5 { // mov imm32,%eax
			return binary.LittleEndian.Uint32(code[i+1:])
		}
	case elf.EM_AARCH64:
		var n uint32
		for b := code; len(b) >= 4; b = b[4:] {
			insn := binary.LittleEndian.Uint32(b)
			switch imm := insn >> 5 & 0xffff; {
			case insn&0xffe0001f == 0x52800000: // mov w0, #imm
				n = imm
			case insn&0xffe0001f == 0x72a00000: // movk w0, #imm, lsl 16
				return n | imm<<16
			}
		}
	}
	return 0
}
