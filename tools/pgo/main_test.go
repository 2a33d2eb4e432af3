package main

import (
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// take takes a profile of this process at work.
func take(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		t.Fatal(err)
	}
	n := 0
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		n += spin()
	}
	t.Log(n)
	pprof.StopCPUProfile()
}

//go:noinline
func spin() (n int) {
	for i := range 1 << 20 {
		n += i * i
	}
	return n
}

func TestProfilesBecomeOne(t *testing.T) {
	dir := t.TempDir()
	var names []string
	for _, name := range []string{"a.pprof", "b.pprof", "killed.pprof"} {
		names = append(names, filepath.Join(dir, name))
	}
	take(t, names[0])
	take(t, names[1])
	if err := os.WriteFile(names[2], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "default.pgo")
	if err := run(append([]string{"-o", out}, names...)); err != nil {
		t.Fatal(err)
	}
	var total [3]int64
	for i, name := range []string{names[0], names[1], out} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := profile.Parse(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Sample {
			total[i] += s.Value[0]
		}
		if i < 2 {
			continue
		}
		if text := p.String(); strings.Contains(text, dir) {
			t.Errorf("it names the machine's files:\n%s", text)
		}
		found := false
		for _, f := range p.Function {
			found = found || strings.HasSuffix(f.Name, ".spin")
			if strings.Contains(f.Filename, "/") {
				t.Errorf("it names the file %s", f.Filename)
			}
		}
		if !found {
			t.Error("it does not know the function that was busy")
		}
		for _, m := range p.Mapping {
			if m.File != "pcache" {
				t.Errorf("it names the program %s", m.File)
			}
		}
	}
	if total[2] != total[0]+total[1] || total[2] == 0 {
		t.Errorf("%d and %d samples became %d", total[0], total[1], total[2])
	}
	if err := run([]string{"-o", out, names[2]}); err == nil {
		t.Error("nothing to merge is no error")
	}
}
