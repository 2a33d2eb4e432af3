// Package nixtest gives tests a real Nix, of one version or of several, with a
// store of their own.
package nixtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binVariable names the folder of the Nix to test with.
const binVariable = "PANTHEROS_NIX_BIN"

// Bin is the folder with the commands of the Nix to test with: that of
// $PANTHEROS_NIX_BIN, or the one that `make nix` prepares in the repository.
// Without a Nix the test fails: it has nothing to say.
func Bin(t testing.TB) string {
	t.Helper()
	dir := os.Getenv(binVariable)
	if dir == "" {
		dir = filepath.Join(Repository(t), ".panther/nix/trixie/bin")
	}
	if _, err := os.Stat(filepath.Join(dir, "nix")); err != nil {
		t.Fatalf("no Nix to test with in %s: run `make nix`, or set %s", dir, binVariable)
	}
	return dir
}

// Repository is the folder of go.mod.
func Repository(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == "/" {
			t.Fatal("no go.mod above the test")
		}
	}
}

// Env is a Nix with an empty chroot store.
type Env struct {
	Root string   // of the chroot store: its files are in Root/nix/store
	Vars []string // environment of its commands, and of programs that use the store
	bin  string
}

// New makes an Env that is removed with the test. It also sets the process's
// environment to Vars, for code under test that starts Nix by itself, so the
// test must not be parallel.
func New(t testing.TB) *Env {
	t.Helper()
	e := Another(t)
	for _, v := range e.Vars {
		key, value, _ := strings.Cut(v, "=")
		t.Setenv(key, value)
	}
	return e
}

// Another is New without touching the process's environment.
func Another(t testing.TB) *Env {
	t.Helper()
	return newEnv(t, Bin(t))
}

func newEnv(t testing.TB, bin string) *Env {
	t.Helper()
	dir := t.TempDir()
	// Store paths are read-only directories, which only root can remove.
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", dir).Run() })
	config := []string{
		"experimental-features = nix-command flakes",
		"sandbox = true",
		"sandbox-paths = /bin/sh=" + bin + "/busybox",
		"build-users-group =",
		"build-hook =",
		"builders =",
		"substituters =",
		"require-sigs = true",
		"trusted-public-keys =",
	}
	return &Env{
		Root: dir + "/root",
		bin:  bin,
		Vars: []string{
			"PATH=" + bin + ":" + os.Getenv("PATH"),
			"HOME=" + dir + "/home",
			"XDG_CACHE_HOME=" + dir + "/home/cache",
			"NIX_CONF_DIR=" + dir + "/conf",
			"NIX_CONFIG=" + strings.Join(config, "\n"),
			"NIX_REMOTE=" + dir + "/root",
		},
	}
}

// Configure adds lines to the Env's nix.conf; of two for one setting the later
// counts.
func (e *Env) Configure(lines ...string) {
	for i, v := range e.Vars {
		if strings.HasPrefix(v, "NIX_CONFIG=") {
			e.Vars[i] = v + "\n" + strings.Join(lines, "\n")
		}
	}
}

// Command prepares a command with the Env's environment.
func (e *Env) Command(name string, args ...string) *exec.Cmd {
	path := filepath.Join(e.bin, name)
	if _, err := os.Stat(path); err != nil {
		path = name
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), e.Vars...)
	return cmd
}

// Try runs a command and returns its standard output, and its standard error
// in the error.
func (e *Env) Try(name string, args ...string) (string, error) {
	cmd := e.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// Run is Try that must succeed. It returns the output without white space
// around it.
func (e *Env) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := e.Try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// Build builds a Nix expression, which may use sh NAME SCRIPT: a derivation
// whose script runs in busybox's shell. It returns the output path.
func (e *Env) Build(t testing.TB, expr string) string {
	t.Helper()
	const prelude = `let sh = name: script: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-euc" script ]; }; in `
	return e.Run(t, "nix-build", "--no-out-link", "--expr", prelude+expr) // `nix build --print-out-paths` is Nix 2.9's
}

// AddTree adds a file tree to the store, as it is, and returns its path.
func (e *Env) AddTree(t testing.TB, dir string) string {
	t.Helper()
	return e.Run(t, "nix-store", "--add", dir)
}

// PathInfo is what Nix says of a path.
type PathInfo struct {
	NARHash    string   `json:"narHash"`
	NARSize    int64    `json:"narSize"`
	References []string `json:"references"`
	Signatures []string `json:"signatures"`
}

// Closure asks Nix for the infos of the paths' closures.
func (e *Env) Closure(t testing.TB, paths ...string) map[string]PathInfo {
	t.Helper()
	text := []byte(e.Run(t, "nix", append([]string{"path-info", "--recursive", "--json"}, paths...)...))
	infos := make(map[string]PathInfo)
	if text[0] != '[' {
		if err := json.Unmarshal(text, &infos); err != nil {
			t.Fatal(err)
		}
		return infos
	}
	var list []struct { // before Nix 2.19
		Path string `json:"path"`
		PathInfo
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		infos[p.Path] = p.PathInfo
	}
	return infos
}
