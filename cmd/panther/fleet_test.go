package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// checkout is a copy of a fleet in a folder of its own, and how panther runs
// in it: the real programs, the real Nix, a store of its own.
type checkout struct {
	dir string
	nix string
}

func newCheckout(t *testing.T, flake string) *checkout {
	t.Helper()
	c := &checkout{dir: t.TempDir(), nix: nixtest.Bin(t)}
	t.Cleanup(func() { unlock(c.dir) })
	if err := os.CopyFS(filepath.Join(c.dir, "flake-src"), os.DirFS(flake)); err != nil {
		t.Fatal(err)
	}
	return c
}

// newFleet is a checkout of testdata/fleet.
func newFleet(t *testing.T) *checkout {
	t.Helper()
	return newCheckout(t, "testdata/fleet/flake-src")
}

// configure replaces a host's configuration.nix.
func (c *checkout) configure(t *testing.T, host, nix string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "flake-src/hosts", host, "configuration.nix"), []byte(nix), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command prepares panther with offline inputs and a clean environment. Hosts
// are taken one by one: small ones would mostly wait for each other's locks.
func (c *checkout) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "panther"), append([]string{"--nix", c.nix, "--inputs", "offline", "--jobs", "1"}, args...)...)
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=" + programs + ":/usr/bin:/bin", "HOME=" + filepath.Join(c.dir, "home")}
	return cmd
}

// result is how a run of panther ended.
type result struct {
	code           int
	stdout, stderr string
}

func (c *checkout) panther(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	return finish(t, c.command(ctx, args...))
}

// finish runs a command to its end.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	failed := new(exec.ExitError)
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want fails the test unless panther ended with a code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("panther ended with code %d, want %d\n%s\n%s", r.code, code, r.stdout, r.stderr)
	}
	return r
}

// report reads the report that build-all wrote, which must be valid.
func (c *checkout) report(t *testing.T) *report.Report {
	t.Helper()
	rep, err := report.ReadFile(filepath.Join(c.dir, "out/report/report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "out/report/report.md")); err != nil {
		t.Error(err)
	}
	return rep
}

func hostOf(t *testing.T, rep *report.Report, name string) report.Host {
	t.Helper()
	for _, h := range rep.Hosts {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("the report has no host %s", name)
	return report.Host{}
}

// statuses is the outcome of each host, "alpha passed beta failed".
func statuses(rep *report.Report) string {
	var words []string
	for _, h := range rep.Hosts {
		words = append(words, h.Name, string(h.Status))
	}
	return strings.Join(words, " ")
}

func contains(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}
