package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

func TestBuildAll(t *testing.T) {
	c := newFleet(t)
	first := c.panther(t, "build-all").want(t, 0)
	contains(t, first.stdout,
		"3 of 3 passed", "OFFLINE INPUTS",
		"report  "+filepath.Join(c.dir, "out/report/report.html"),
		"cache   file://"+filepath.Join(c.dir, "out/cache"),
		"extra-trusted-public-keys = pantheros-local-1:",
	)
	contains(t, first.stderr, "alpha: build: passed", "push: passed")
	rep := c.report(t)
	if rep.Status != report.Passed || rep.Run.Inputs != "offline" || rep.Run.NixVersion == "" {
		t.Errorf("status %s, facts %+v", rep.Status, rep.Run)
	}
	if rep.Push == nil || rep.Push.Sent.Paths != 4 {
		t.Fatalf("push %+v, want three toplevels and what they share", rep.Push)
	}
	if len(rep.Paths) != 4 || hostOf(t, rep, "beta").Closure.Paths != 2 {
		t.Errorf("%d paths, beta's closure %+v", len(rep.Paths), hostOf(t, rep, "beta").Closure)
	}

	// The key is its owner's alone, and stays.
	keyFile := filepath.Join(c.dir, ".panther/cache-key")
	info, err := os.Stat(keyFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info, err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if text := first.stdout + first.stderr; strings.Contains(text, strings.TrimSpace(string(key))) {
		t.Error("the secret key was printed")
	}

	// A second run builds nothing, sends nothing and says so.
	second := c.panther(t, "build-all").want(t, 0)
	contains(t, second.stdout, "nothing to send")
	contains(t, second.stderr, "alpha: build: passed", "nothing to build")
	rep = c.report(t)
	if rep.Push.Sent.Paths != 0 || rep.Previous == nil {
		t.Errorf("second run sent %+v, previous %v", rep.Push.Sent, rep.Previous)
	}
	if changes := hostOf(t, rep, "gamma").Changes; changes == nil || !changes.SameToplevel {
		t.Errorf("changes %+v", changes)
	}
	if again, err := os.ReadFile(keyFile); err != nil || string(again) != string(key) {
		t.Errorf("the key changed: %v", err)
	}

	// A stock client reads the cache as the output says, signatures required.
	line := copyLine(t, second.stdout)
	env := nixtest.Another(t)
	env.Run(t, "sh", "-c", line)
	toplevel := line[strings.LastIndex(line, " ")+1:]
	if env.Run(t, "nix", "store", "cat", toplevel+"/name") != "alpha" {
		t.Errorf("%s is not alpha's toplevel", toplevel)
	}
	untrusting := nixtest.Another(t)
	if _, err := untrusting.Try("sh", "-c", regexp.MustCompile(`--option trusted-public-keys \S+`).ReplaceAllString(line, "")); err == nil {
		t.Error("a client without the key took the paths: they are not what it checks")
	}
}

// copyLine is the command that build-all prints to read its cache.
func copyLine(t *testing.T, stdout string) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^  nix copy --from .*$`).FindString(stdout)
	if line == "" {
		t.Fatalf("no nix copy line in\n%s", stdout)
	}
	return line
}

func TestBuildAllJSON(t *testing.T) {
	c := newFleet(t)
	r := c.panther(t, "build-all", "--json").want(t, 0)
	rep, err := report.Read(strings.NewReader(r.stdout))
	if err != nil || rep.Status != report.Passed {
		t.Errorf("%v in\n%s", err, r.stdout)
	}
	quiet := c.panther(t, "check", "--json", "--quiet").want(t, 0)
	if rep, err = report.Read(strings.NewReader(quiet.stdout)); err != nil || rep.Status != report.Passed {
		t.Errorf("%v in\n%s", err, quiet.stdout)
	}
	if quiet.stderr != "" {
		t.Errorf("--quiet printed %q", quiet.stderr)
	}
}

// One host does not evaluate, one does not build, the third is pushed.
func TestBuildAllFailures(t *testing.T) {
	c := newFleet(t)
	c.configure(t, "alpha", `throw "alpha has no disk"`)
	c.configure(t, "beta", `{ script = "echo compiling; echo 'cc: bad input' >&2; exit 3"; }`)
	r := c.panther(t, "build-all").want(t, 1)
	contains(t, r.stdout, "alpha", "evaluate failed", "alpha has no disk", "build failed", "1 of 3 passed")

	rep := c.report(t)
	if got, want := statuses(rep), "alpha failed beta failed gamma passed"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	alpha, beta := hostOf(t, rep, "alpha").Failure, hostOf(t, rep, "beta").Failure
	if alpha.Step != "evaluate" || alpha.Message != "alpha has no disk" {
		t.Errorf("alpha: %+v", alpha)
	}
	contains(t, strings.Join(alpha.LogTail, "\n"), "flake-src/hosts/alpha/configuration.nix", "alpha has no disk")
	if beta.Step != "build" || !strings.HasSuffix(beta.DrvPath, "-nixos-system-beta.drv") {
		t.Errorf("beta: %+v", beta)
	}
	if got := strings.Join(beta.LogTail, "|"); got != "compiling|cc: bad input" {
		t.Errorf("beta's log is %q", got)
	}
	if len(rep.Push.Roots) != 1 || rep.Push.Roots[0].Name != "gamma" || rep.Push.Status != report.Passed {
		t.Errorf("push %+v", rep.Push)
	}

	// The commands that the report gives show the same failures.
	for name, tt := range map[string]struct {
		command string
		want    []string
	}{
		"alpha": {alpha.Command, []string{"alpha has no disk"}},
		"beta":  {beta.Command, []string{"cc: bad input", "nixos-system-beta"}},
	} {
		cmd := exec.Command("sh", "-c", tt.command)
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		again := finish(t, cmd)
		if again.code == 0 {
			t.Errorf("%s: the command succeeds: %s", name, tt.command)
		}
		contains(t, again.stderr, tt.want...)
	}
}

// A derivation that several hosts need and that does not build fails each of
// them, by name, although they build at the same time.
func TestBuildSharedFailure(t *testing.T) {
	c := newFleet(t)
	for _, h := range []string{"alpha", "gamma"} {
		c.configure(t, h, `{ common = "echo trying; sleep 0.5; echo no luck; exit 1"; }`)
	}
	c.panther(t, "build-all", "--jobs", "3").want(t, 1)
	rep := c.report(t)
	if got, want := statuses(rep), "alpha failed beta passed gamma failed"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	alpha, gamma := hostOf(t, rep, "alpha").Failure, hostOf(t, rep, "gamma").Failure
	if alpha.DrvPath != gamma.DrvPath || !strings.HasSuffix(alpha.DrvPath, "-common-1.0.drv") {
		t.Errorf("alpha's failure is %s, gamma's %s", alpha.DrvPath, gamma.DrvPath)
	}
	for _, f := range []*report.Failure{alpha, gamma} {
		contains(t, strings.Join(f.LogTail, "\n"), "trying", "no luck")
	}
}

// A host that fails a check is built, for the verdict, and not published.
func TestBuildAllWithheld(t *testing.T) {
	c := newFleet(t)
	c.configure(t, "beta", `{ problems = [ { check = "security"; message = "root may log in"; } ]; }`)
	r := c.panther(t, "build-all").want(t, 1)
	contains(t, r.stdout, "root may log in", "2 of 3 passed")
	rep := c.report(t)
	if len(rep.Push.Roots) != 2 || hostOf(t, rep, "beta").Toplevel == "" {
		t.Errorf("roots %+v, beta %+v", rep.Push.Roots, hostOf(t, rep, "beta"))
	}
	if _, err := os.Stat(filepath.Join(c.dir, "out/cache/roots/beta")); err == nil {
		t.Error("beta was published")
	}
	contains(t, c.panther(t, "check", "beta").want(t, 1).stdout, "root may log in")
	c.panther(t, "check", "alpha").want(t, 0)
}

func TestCheckFindsSyntaxErrorAndDrift(t *testing.T) {
	c := newFleet(t)
	unused := filepath.Join(c.dir, "flake-src/lib/unused.nix")
	if err := os.WriteFile(unused, []byte("{ a = ; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := c.panther(t, "check").want(t, 1)
	contains(t, r.stdout, "check syntax failed", "3 of 3 passed")
	if err := os.Remove(unused); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(c.dir, "flake-src/flake.nix"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("# mine\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	contains(t, c.panther(t, "check").want(t, 3).stdout, "check drift failed", "3 of 3 passed")
	contains(t, c.panther(t, "build-all").want(t, 0).stderr, "drift: passed", "written: flake.nix")
	c.panther(t, "check").want(t, 0)
}

func TestBuildOneHost(t *testing.T) {
	c := newFleet(t)
	c.configure(t, "alpha", `throw "not wanted"`)
	r := c.panther(t, "build", "beta").want(t, 0)
	contains(t, r.stdout, "1 of 1 passed")
	if _, err := os.Stat(filepath.Join(c.dir, "out")); err == nil {
		t.Error("build wrote to out")
	}
}

// Without a network auto falls back to the stand-ins within seconds and says
// so; with one it would not.
func TestAutoInputs(t *testing.T) {
	c := newFleet(t)
	edit(t, filepath.Join(c.dir, "flake-src/hosts.toml"), `github:NixOS/nixpkgs/nixos-${release}`, "tarball+http://127.0.0.1:9/nixpkgs.tar.gz")
	c.panther(t, "generate").want(t, 0)
	began := time.Now()
	cmd := c.command(t.Context(), "check", "--inputs", "auto")
	r := finish(t, cmd).want(t, 0)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	contains(t, r.stderr, "inputs: trying whether nixpkgs can be fetched")
	contains(t, r.stdout, "OFFLINE INPUTS", "cannot be fetched here", "127.0.0.1")

	// An address that can be had: the fleet's own stand-in, as the real input.
	edit(t, filepath.Join(c.dir, "flake-src/hosts.toml"), "tarball+http://127.0.0.1:9/nixpkgs.tar.gz",
		"path:"+filepath.Join(c.dir, "flake-src/tests/stand-in/nixpkgs"))
	r = finish(t, c.command(t.Context(), "build-all", "--inputs", "auto")).want(t, 0)
	if strings.Contains(r.stdout, "OFFLINE") {
		t.Errorf("inputs that can be had were replaced:\n%s", r.stdout)
	}
	if rep := c.report(t); rep.Run.Inputs != "real" || !strings.Contains(rep.Run.InputsNote, "flake.lock") {
		t.Errorf("facts %+v", rep.Run)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "flake-src/flake.lock")); err != nil {
		t.Error(err)
	}
	finish(t, c.command(t.Context(), "check", "--inputs", "real")).want(t, 0)
}

func edit(t *testing.T, file, old, new string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not contain %s", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), old, new)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Two runs at once share a store, a key and a cache, and both are right.
func TestBuildAllTwiceAtOnce(t *testing.T) {
	c := newFleet(t)
	var wg sync.WaitGroup
	results := make([]result, 2)
	for i := range results {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := c.command(ctx, "build-all", "--jobs", "3", "--report", filepath.Join(c.dir, "report", string(rune('a'+i))))
		wg.Go(func() { results[i] = finish(t, cmd) })
	}
	wg.Wait()
	for _, r := range results {
		r.want(t, 0)
	}
	contains(t, c.panther(t, "build-all").want(t, 0).stdout, "nothing to send")
}

// A key that pcache refuses fails the push alone, and the report says why.
func TestBuildAllBadKey(t *testing.T) {
	c := newFleet(t)
	key := filepath.Join(c.dir, "key")
	if err := os.WriteFile(key, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := c.panther(t, "build-all", "--secret-key-file", key).want(t, 1)
	contains(t, r.stdout, "push failed", key)
	rep := c.report(t)
	if f := hostOf(t, rep, "alpha").Failure; f == nil || f.Step != "push" || f.Message == "" {
		t.Errorf("failure %+v", f)
	}
	if got := hostOf(t, rep, "alpha").Toplevel; got == "" {
		t.Error("alpha was not built")
	}
}

func TestHostsJSON(t *testing.T) {
	var list listed
	if err := json.Unmarshal([]byte(newFleet(t).panther(t, "--json", "hosts").want(t, 0).stdout), &list); err != nil {
		t.Fatal(err)
	}
	if list.Fleet != "testfleet" || len(list.Hosts) != 3 || list.Hosts[1].Name != "beta" {
		t.Errorf("%+v", list)
	}
}

// A folder whose name means something in a URL or a shell is still one folder,
// for panther, for pcache and for Nix.
func TestBuildAllOddFolder(t *testing.T) {
	c := newFleet(t)
	out := filepath.Join(c.dir, "my out #1")
	r := c.panther(t, "build-all", "--out", out).want(t, 0)
	if _, err := os.Stat(filepath.Join(out, "cache", "nix-cache-info")); err != nil {
		t.Errorf("the cache is somewhere else: %v", err)
	}
	nixtest.Another(t).Run(t, "sh", "-c", copyLine(t, r.stdout))
}
