package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFlakeUnits builds the suites of flake-src/tests/unit on the stand-ins: a
// case that is not as expected fails its suite's evaluation with both values.
func TestFlakeUnits(t *testing.T) {
	c := newCheckout(t, "../../flake-src")
	flake := filepath.Join(c.dir, "flake-src")
	args := []string{"nix", "build", "--no-link", "--no-write-lock-file"}
	inputs, err := os.ReadDir(filepath.Join(flake, "tests/stand-in"))
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range inputs {
		args = append(args, "--override-input", input.Name(), "path:"+filepath.Join(flake, "tests/stand-in", input.Name()))
	}
	suites, err := filepath.Glob(filepath.Join(flake, "tests/unit/*.nix"))
	if err != nil || len(suites) == 0 {
		t.Fatalf("no suites: %v", err)
	}
	for _, suite := range suites {
		name := strings.TrimSuffix(filepath.Base(suite), ".nix")
		args = append(args, "path:"+flake+"#legacyPackages.x86_64-linux.tests.unit-"+name)
	}
	r := c.panther(t, args...)
	if r.code != 0 {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}
