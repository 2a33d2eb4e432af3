package flake_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// nixBin is the folder of the Nix commands that tests run: PANTHEROS_NIX_BIN,
// else the one that `make nix` prepares.
func nixBin(t testing.TB) string {
	t.Helper()
	bin := os.Getenv("PANTHEROS_NIX_BIN")
	if bin == "" {
		bin = filepath.Join(moduleRoot(t), ".panther", "nix", "trixie", "bin")
	}
	if _, err := os.Stat(filepath.Join(bin, "nix-instantiate")); err != nil {
		t.Fatalf("this test needs Nix: run `make nix`, or set PANTHEROS_NIX_BIN to a folder with nix-instantiate (%v)", err)
	}
	return bin
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = parent
	}
}

// nix runs a Nix command that needs no store and returns its output.
func nix(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(filepath.Join(nixBin(t), name), args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(),
		"NIX_CONFIG=experimental-features = nix-command flakes\nstore = dummy://\nsubstituters =\n")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.Bytes())
	}
	return stdout.Bytes()
}

// evaluate decodes the value of a Nix expression into v.
func evaluate(t testing.TB, expression string, v any) {
	t.Helper()
	out := nix(t, "nix-instantiate", "--eval", "--strict", "--json", "--expr", expression)
	if err := json.Unmarshal(out, v); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
}
