package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// builder is another machine to Nix: a store of its own, and a nix-daemon that
// Nix starts itself since the machine's name is localhost, and speaks to as it
// would over ssh.
type builder struct {
	dir string
	// address is the machine's, name what of it is shown.
	address, name string
}

func newBuilder(t *testing.T, c *checkout) *builder {
	t.Helper()
	b := &builder{dir: t.TempDir(), name: "ssh-ng://localhost"}
	t.Cleanup(func() { unlock(b.dir) })
	// Unlike one on another machine it inherits the environment, with the builders
	// in it: it would ask itself to build.
	program := fmt.Sprintf(`#!/bin/sh
echo started >>%[1]s/log
unset NIX_REMOTE NIX_SSHOPTS
export NIX_CONFIG='build-hook =
builders =
substituters =
build-users-group =
sandbox = true
sandbox-paths = /bin/sh=%[2]s/busybox'
exec %[2]s/nix-daemon "$@"
`, b.dir, c.nix)
	if err := os.WriteFile(filepath.Join(b.dir, "daemon"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	b.address = fmt.Sprintf("%s?remote-program=%[2]s/daemon&remote-store=%[2]s/root", b.name, b.dir)
	return b
}

// made reports which store paths the builder has, by their names.
func (b *builder) made(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.dir, "root/nix/store"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if _, name, ok := strings.Cut(e.Name(), "-"); ok && e.IsDir() {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// Another machine builds: its outputs come here and are pushed, its logs are in
// the report, and each build counts once although two Nix tell of it.
func TestBuilders(t *testing.T) {
	c := newFleet(t)
	b := newBuilder(t, c)
	c.configure(t, "beta", `{ script = "echo compiling; echo 'cc: bad input' >&2; exit 3"; }`)
	machines := filepath.Join(t.TempDir(), "machines")
	if err := os.WriteFile(machines, []byte("# ours\n"+b.address+" x86_64-linux,aarch64-linux - 4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := c.panther(t, "build-all", "--builders", "@"+machines).want(t, 1)
	contains(t, r.stderr, " built ("+"1 on "+b.name+")")
	contains(t, b.made(t), "common-1.0", "nixos-system-alpha", "nixos-system-gamma")

	rep := c.report(t)
	if got, want := statuses(rep), "alpha passed beta failed gamma passed"; got != want {
		t.Fatalf("%s, want %s\n%s", got, want, r.stderr)
	}
	built := 0
	for _, name := range []string{"alpha", "gamma"} {
		if w := hostOf(t, rep, name).Work; w != nil {
			built += w.Built
		}
	}
	if built < 2 || built > 3 { // what they share is beta's, if that came first
		t.Errorf("%d derivations built, want two toplevels and what they share at most", built)
	}
	for _, a := range rep.Activities {
		if a.Kind == "build" && !strings.HasPrefix(a.From, b.name) {
			t.Errorf("%s was built on %q", a.Path, a.From)
		}
	}
	if w := hostOf(t, rep, "alpha").Work; w.FetchedBytes != 0 {
		t.Errorf("%d bytes count as fetched: they are a builder's outputs", w.FetchedBytes)
	}
	f := hostOf(t, rep, "beta").Failure
	if got := strings.Join(f.LogTail, "|"); got != "compiling|cc: bad input" {
		t.Errorf("beta's log is %q", got)
	}
	if !strings.Contains(f.Message, "failed with exit code 3") || strings.Contains(f.Message, "log lines") {
		t.Errorf("message %q, want the builder's own exit code, without its log", f.Message)
	}
	if !strings.Contains(f.Command, "--builders @"+machines) {
		t.Errorf("the command to see it again is %q", f.Command)
	}

	// What it built is what this machine would have built.
	contains(t, newFleet(t).panther(t, "build", "alpha").want(t, 0).stdout, hostOf(t, rep, "alpha").Toplevel)
	second := c.panther(t, "build-all", "--builders", "@"+machines).want(t, 1)
	contains(t, second.stderr, "alpha: build: passed", "nothing to build")
	nixtest.Another(t).Run(t, "sh", "-c", copyLine(t, second.stdout))
}

// A machine that cannot be reached is named, with why, and the host is built here.
func TestBuildersUnreachable(t *testing.T) {
	c := newFleet(t)
	gone := "ssh-ng://localhost?remote-program=/nonexistent"
	r := c.panther(t, "build", "alpha", "--builders", gone+" x86_64-linux - 4").want(t, 0)
	contains(t, r.stdout, "1 of 1 passed")
	contains(t, r.stderr, "alpha: build: cannot build on 'ssh-ng://localhost': ", "/nonexistent",
		"2 built, not on ssh-ng://localhost, which could not")
}

func TestBuildersUsage(t *testing.T) {
	c := newFleet(t)
	for value, want := range map[string]string{
		" ; ":                        "no machine is named",
		"ssh://a\nsubstitute = 0":    "line break",
		"@nowhere/machines":          "nowhere/machines",
		"ssh-ng://localhost - key 1": `"key"; it has to be named by its absolute path`,
		"ssh-ng://localhost - /nonexistent/key 1":  "no file /nonexistent/key",
		"ssh-ng://localhost ; /other - /no/such 1": "the key for /other",
	} {
		contains(t, c.panther(t, "build", "alpha", "--builders", value).want(t, 2).stderr, "--builders: ", want)
	}
}
