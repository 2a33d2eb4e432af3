// Package e2e tests the command as its users meet it: with every version of
// Nix, across bad networks, against servers that lie, and killed.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/google/go-cmp/cmp"
)

// program is the pcache that was built for these tests.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "pcache-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "pcache")
		args := []string{"build", "-o", program}
		if raceEnabled {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "gitlab.com/pantheros/pantheros/cmd/pcache")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build pcache: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// The command's documented exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitNoPath  = 3
	exitRefused = 4
	exitDamaged = 5
)

// ended is a command that has ended.
type ended struct {
	code        int
	out, stderr string
	took        time.Duration
	usage       syscall.Rusage
}

// patience is what no command of these tests may take, longest what the present
// test gives it.
const patience = 3 * time.Minute

var longest = patience

// pcache runs the command with a Nix's environment, or with the test's own.
func pcache(t testing.TB, env *nixtest.Env, args ...string) ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = os.Environ()
	if env != nil {
		cmd.Env = append(cmd.Env, env.Vars...)
	}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	started := time.Now()
	err := cmd.Run()
	e := ended{out: out.String(), stderr: stderr.String(), took: time.Since(started)}
	if cmd.ProcessState != nil {
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			e.usage = *usage
		}
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("pcache %s: not done after %v\n%s", strings.Join(args, " "), longest, e.stderr)
	case errors.As(err, &exit):
		e.code = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	if strings.Contains(e.stderr, "DATA RACE") {
		t.Errorf("pcache %s:\n%s", strings.Join(args, " "), e.stderr)
	}
	return e
}

// mustPcache is pcache that must succeed.
func mustPcache(t testing.TB, env *nixtest.Env, args ...string) ended {
	t.Helper()
	e := pcache(t, env, args...)
	if e.code != exitOK {
		t.Fatalf("pcache %s: exit code %d\n%s", strings.Join(args, " "), e.code, e.stderr)
	}
	return e
}

// oneLine fails if an error is not one line that says what is wanted.
func (e ended) oneLine(t testing.TB, want string) {
	t.Helper()
	if !strings.HasPrefix(e.stderr, "pcache: ") || strings.Count(e.stderr, "\n") != 1 || !strings.Contains(e.stderr, want) {
		t.Errorf("standard error %q, want one line with %q", e.stderr, want)
	}
}

// keyPair is a signing key in a file.
type keyPair struct {
	file   string
	public string
	key    nix.PublicKey
}

func newKey(t testing.TB, name string) keyPair {
	t.Helper()
	secret, err := nix.GenerateKey(name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(secret.Marshal()), 0o600); err != nil {
		t.Fatal(err)
	}
	return keyPair{file: file, public: secret.Public().String(), key: secret.Public()}
}

// sample has shared references, two paths with equal contents, a path that
// refers to itself, an executable, an empty directory, a name that a NAR
// writer may stumble over, and a file that compresses badly.
const sample = `let
	base = sh "base-1.0" "echo base > $out";
	twin1 = sh "twin-a" "echo same > $out";
	twin2 = sh "twin-b" "echo same > $out";
	odd = sh "odd+name_1.0" "mkdir $out; echo x > $out/..x; echo y > \"$out/a b\"; ln -s ../nowhere $out/dangling; ln -s ..x $out/link";
	large = sh "large" "i=0; while [ $i -lt 6000 ]; do echo line $i of a large file; i=$((i+1)); done > $out";
	noise = sh "noise" "i=0; while [ $i -lt 40 ]; do echo $i | sha512sum; i=$((i+1)); done > seed; i=0; while [ $i -lt 6 ]; do gzip -c seed; cat seed; cat seed seed > s2; mv s2 seed; i=$((i+1)); done > $out";
	tool = sh "tool-2.1" "mkdir -p $out/bin $out/empty; printf '#!/bin/sh\necho ${base}\n' > $out/bin/tool; chmod +x $out/bin/tool; echo $out > $out/self";
	in sh "top" "mkdir $out; ln -s ${tool} $out/tool; ln -s ${twin1} $out/a; ln -s ${twin2} $out/b; ln -s ${large} $out/large; ln -s ${odd} $out/odd; ln -s ${noise} $out/noise"`

// sameClosure compares what two stores say of paths and all that they refer to,
// in whatever form their versions of Nix say it, and has the second one check
// its files.
func sameClosure(t testing.TB, want, got *nixtest.Env, paths ...string) {
	t.Helper()
	plain := func(e *nixtest.Env) map[string]nixtest.PathInfo {
		infos := e.Closure(t, paths...)
		for p, info := range infos {
			hash, err := nix.ParseHash(info.NARHash)
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			info.NARHash, info.Signatures = hash.String(), nil
			infos[p] = info
		}
		return infos
	}
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		t.Errorf("what arrived differs: %s", diff)
	}
	got.Run(t, "nix-store", "--verify", "--check-contents")
}

// absent fails if a store has a path.
func absent(t testing.TB, e *nixtest.Env, path string) {
	t.Helper()
	if out, err := e.Try("nix-store", "--check-validity", path); err == nil {
		t.Errorf("%s is valid in the store: %s", path, out)
	}
	if _, err := os.Lstat(e.Root + path); err == nil {
		t.Errorf("%s is left in the store", path)
	}
}
