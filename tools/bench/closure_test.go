package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/google/go-cmp/cmp"
)

// A generated closure is what Nix takes for a store, whole, and the same each
// time.
func TestGenerate(t *testing.T) {
	s := shape{Name: "small", Paths: 30, Tiny: 5, Median: 20e3, Spread: 1.5, File: 3000}
	n := nixVersion{name: "test", bin: nixtest.Bin(t)}
	var made []*closure
	for range 2 {
		dir := t.TempDir()
		c, err := generate(t.Context(), dir, s, n)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = removeTree(c.Dir) })
		for _, args := range [][]string{{"--verify", "--check-contents"}, {"--query", "--requisites", string(c.Root)}} {
			cmd := exec.Command(filepath.Join(n.bin, "nix-store"), append([]string{"--store", c.Dir}, args...)...)
			cmd.Env = n.environ(t.TempDir())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("nix-store %v: %v\n%s", args, err, out)
			}
		}
		again, err := generate(t.Context(), dir, s, n)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("what is there is not taken: %s", diff)
		}
		c.Dir = ""
		made = append(made, c)
	}
	if len(made[0].Paths) != 36 || made[0].Bytes < 500e3 {
		t.Errorf("%d paths, %d bytes", len(made[0].Paths), made[0].Bytes)
	}
	if diff := cmp.Diff(made[0], made[1]); diff != "" {
		t.Errorf("two runs differ: %s", diff)
	}
}

func TestVerdicts(t *testing.T) {
	m := measured{Programs: []runs{
		{Name: "a", Samples: []sample{{Wall: 2, RSS: 100 * mib}, {Wall: 4, RSS: 130 * mib}, {Wall: 3, RSS: 90 * mib}}},
		{Name: "b", Samples: []sample{{Wall: 6}}},
	}}
	for _, tt := range []struct {
		target target
		want   verdict
	}{
		{target{program: "a", peer: "b", value: "wall", atLeast: 2}, verdict{Target: "time of b, in that of a: at least 2", Got: 2, Text: "2.00", Met: true}},
		{target{program: "a", peer: "b", value: "wall", atLeast: 2.1}, verdict{Target: "time of b, in that of a: at least 2.1", Got: 2, Text: "2.00"}},
		{target{program: "a", value: "rss", atMost: 128 * mib}, verdict{Target: "peak memory of a: at most 128 MiB", Got: 130 * mib, Text: "130 MiB"}},
	} {
		if got, ok := tt.target.judge(m); !ok || got != tt.want {
			t.Errorf("%+v, want %+v", got, tt.want)
		}
	}
	if _, ok := (target{program: "a", peer: "absent", value: "wall"}).judge(m); ok {
		t.Error("a program that did not run is compared with")
	}
}
