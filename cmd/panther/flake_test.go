package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// onStandIns runs a command of Nix with the flake's inputs replaced by the
// stand-ins, in a checkout of its own; FLAKE in an argument is the flake.
func onStandIns(t *testing.T, args ...string) result {
	t.Helper()
	c := newCheckout(t, "../../flake-src")
	flake := filepath.Join(c.dir, "flake-src")
	inputs, err := os.ReadDir(filepath.Join(flake, "tests/stand-in"))
	if err != nil {
		t.Fatal(err)
	}
	var overrides []string
	for _, input := range inputs {
		overrides = append(overrides, "--override-input", input.Name(), "path:"+filepath.Join(flake, "tests/stand-in", input.Name()))
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "FLAKE", "path:"+flake)
	}
	return c.panther(t, append(args, append(overrides, "--no-write-lock-file")...)...)
}

// TestFlakeUnits builds the suites of flake-src/tests on the stand-ins: a case
// that is not as expected fails its suite's evaluation with both values.
func TestFlakeUnits(t *testing.T) {
	args := []string{"nix", "build", "--no-link"}
	for _, kind := range []string{"unit", "integration", "validation"} {
		suites, err := filepath.Glob(filepath.Join("../../flake-src/tests", kind, "*.nix"))
		if err != nil || len(suites) == 0 {
			t.Fatalf("no suites of the kind %s: %v", kind, err)
		}
		for _, suite := range suites {
			args = append(args, "FLAKE#legacyPackages.x86_64-linux.tests."+kind+"-"+strings.TrimSuffix(filepath.Base(suite), ".nix"))
		}
	}
	if r := onStandIns(t, args...); r.code != 0 {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}

// TestFlakeDocuments compares the documents that are written from the flake
// with what it says now.
func TestFlakeDocuments(t *testing.T) {
	for document, target := range map[string]string{"brief": "brief-doc", "cis": "cis", "hosts": "hosts-doc"} {
		t.Run(document, func(t *testing.T) {
			r := onStandIns(t, "nix", "eval", "--raw", "FLAKE#legacyPackages.x86_64-linux."+document)
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s", r.code, r.stderr)
			}
			want, err := os.ReadFile("../../docs/" + document + ".md")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), r.stdout); diff != "" {
				t.Errorf("docs/%s.md is not up to date, run make %s (-committed +flake):\n%s", document, target, diff)
			}
		})
	}
}
