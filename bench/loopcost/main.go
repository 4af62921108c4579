// Command loopcost measures what the watch over event loops costs: the same
// service under bulsas with event_loop.monitor on, off, and off once more (the
// control, which shows what chance alone makes of it). Processes differ from start
// to start, by where they lie in memory and what their compilers decide, and no
// number of rounds between the same processes removes that. So each block of
// rounds has processes of its own, and loads its sides in turn and back again.
//
//	go build -o bulsa ./cmd/bulsa && go run ./bench/loopcost
//
// -add FILE keeps the blocks, so that several short runs make one result.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"bulsa/bench/measure"
)

type options struct {
	bulsa       string
	blocks      int
	warm, span  time.Duration
	idle        time.Duration
	rate        int
	connections int
	pin         bool
	add         string
}

func main() {
	var o options
	flag.StringVar(&o.bulsa, "bulsa", "./bulsa", "the program under test")
	flag.IntVar(&o.blocks, "blocks", 20, "blocks of rounds, each with processes of its own")
	flag.DurationVar(&o.warm, "warm", time.Second, "load on each side before its first round")
	flag.DurationVar(&o.span, "span", time.Second, "length of a round; a block has two for each side")
	flag.DurationVar(&o.idle, "idle", 0, "in the first block, how long idle processes are watched")
	flag.IntVar(&o.rate, "rate", 0, "requests a second; 0: as many as they answer")
	flag.IntVar(&o.connections, "connections", 1, "of the load; with more, a worker answers several requests in one iteration at times, and chance makes more of it")
	flag.BoolVar(&o.pin, "pin", true, "give the workers the second processor and all else the first")
	flag.StringVar(&o.add, "add", "", "file with the blocks of earlier runs, which these are added to")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "loopcost:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	if o.bulsa, err = filepath.Abs(o.bulsa); err != nil {
		return err
	}
	blocks, err := earlier(o.add)
	if err != nil {
		return err
	}
	load := measure.LoadAverage()
	for i := range o.blocks {
		b, err := o.block(len(blocks), i == 0)
		if err != nil {
			return err
		}
		if blocks = append(blocks, b); o.add != "" {
			if err := keep(o.add, b); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%s. %s. Load average at the start %s.\n\n%s", time.Now().Format("2006-01-02"), measure.Machine(), load, report(blocks))
	return nil
}

// block is what one set of processes used, by side.
type block map[string]*used

// sides are in the order of an even block; the others have it reversed.
var sides = [...]string{"on", "off", "control"}

// block starts all sides anew, warms them up, and loads them in turn and back.
func (o options) block(number int, first bool) (block, error) {
	dir, err := os.MkdirTemp("", "loopcost")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	order := make([]*side, len(sides))
	for i := range order {
		order[i] = &side{options: o, name: sides[(i+number)%len(sides)]}
		if err := order[i].start(filepath.Join(dir, order[i].name)); err != nil {
			return nil, err
		}
		defer order[i].process.Stop()
	}
	time.Sleep(2 * time.Second) // the loops are found and confirmed
	if first && o.idle > 0 {
		if err := watchIdle(order, o.idle); err != nil {
			return nil, err
		}
	}
	b := block{}
	for _, s := range order {
		if _, err := s.load(o.warm); err != nil {
			return nil, err
		}
		b[s.name] = &used{}
	}
	for i := range 2 * len(order) {
		s := order[min(i, 2*len(order)-1-i)]
		u, err := s.load(o.span)
		if err != nil {
			return nil, err
		}
		b[s.name].add(u)
	}
	return b, nil
}

// earlier reads the blocks that were kept, one on each line.
func earlier(file string) (blocks []block, err error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var b block
		if err := d.Decode(&b); errors.Is(err, io.EOF) {
			return blocks, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		blocks = append(blocks, b)
	}
}

func keep(file string, b block) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	err = json.NewEncoder(f).Encode(b)
	return errors.Join(err, f.Close())
}
