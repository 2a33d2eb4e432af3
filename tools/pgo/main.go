// Command pgo merges profiles of pcache's processor time into one that Go's
// compiler optimises it by (https://go.dev/doc/pgo), without what the compiler
// does not need and what would tell of the machine that they were taken on.
//
//	go run ./tools/pgo -o tools/pgo/pcache.pgo PROFILE...
//
// `make profile` takes the profiles and runs it; `make build` compiles pcache by
// the result. It is not cmd/pcache/default.pgo, since every test that builds
// pcache would then compile all that it uses once more.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/pprof/profile"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "pgo:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	f := flag.NewFlagSet("pgo", flag.ContinueOnError)
	out := f.String("o", "", "the file to write")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *out == "" || f.NArg() == 0 {
		return errors.New("name a file to write (-o) and profiles to read")
	}
	var all []*profile.Profile
	for _, name := range f.Args() {
		p, err := read(name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if p != nil {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return errors.New("the profiles are empty")
	}
	merged, err := profile.Merge(all)
	if err != nil {
		return err
	}
	return write(*out, merged)
}

// read returns nothing for a profile of a process that was killed.
func read(name string) (*profile.Profile, error) {
	if info, err := os.Stat(name); err != nil || info.Size() == 0 {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, err
	}
	return strip(p), nil
}

// deepest is how much of a stack is kept, from where time was spent: calls far
// above are never hot for what they do themselves.
const deepest = 12

// strip takes away what is of one process or machine, and what is far above, so
// that stacks that are the same to the compiler become one when profiles are
// merged. Functions keep their names and lines, by which it finds calls; of
// their files it needs nothing.
func strip(p *profile.Profile) *profile.Profile {
	p.TimeNanos, p.DurationNanos, p.Comments, p.DocURL = 0, 0, nil, ""
	for _, m := range p.Mapping {
		m.File, m.BuildID, m.KernelRelocationSymbol = "pcache", "", ""
		m.Start, m.Limit, m.Offset = 0, 0, 0
	}
	for _, l := range p.Location {
		l.Address = 0
	}
	for _, f := range p.Function {
		f.Filename = filepath.Base(f.Filename)
	}
	for _, s := range p.Sample {
		s.Label, s.NumLabel, s.NumUnit = nil, nil, nil
		s.Location = s.Location[:min(len(s.Location), deepest)]
	}
	return p
}

func write(name string, p *profile.Profile) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".pgo-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it is gone if all went well
	if err = p.Write(tmp); err == nil {
		err = tmp.Chmod(0o644)
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
