package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// floating are content-addressed derivations: one that refers to another and to
// itself, one with two outputs, and an ordinary one that needs them.
const floating = `rec {
	sh = more: name: script: derivation ({ inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-euc" script ]; } // more);
	ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
	base = sh ca "base" "echo base > $out";
	mid = sh ca "mid" "echo ${base} $out > $out";
	two = sh (ca // { outputs = [ "out" "dev" ]; }) "two" "echo ${mid} > $out; echo dev $out > $dev";
	top = sh {} "top" "echo ${two} ${two.dev} > $out";
}`

// The outputs of content-addressed derivations are found in a cache by clients
// that know only the derivations, which may build nothing, and their
// realisations are accepted only from a trusted key.
func TestContentAddressedDerivations(t *testing.T) {
	expr := filepath.Join(t.TempDir(), "floating.nix")
	if err := os.WriteFile(expr, []byte(floating), 0o644); err != nil {
		t.Fatal(err)
	}
	key, stranger := newKey(t, "e2e-1"), newKey(t, "e2e-1")
	nixtest.EachVersion(t, func(t *testing.T, v nixtest.Version) {
		floatingEnv := func() *nixtest.Env {
			e := v.Env(t)
			e.Configure("experimental-features = nix-command flakes ca-derivations")
			return e
		}
		env := floatingEnv()
		top := env.Run(t, "nix-build", "--no-out-link", expr, "-A", "top")
		mid := env.Run(t, "nix-build", "--no-out-link", expr, "-A", "mid")
		dir := t.TempDir()
		mustPcache(t, env, "push", "--secret-key-file", key.file, "file://"+dir, top)

		client := floatingEnv()
		web := webServer(t, dir)
		got := client.Run(t, "nix-build", "--no-out-link", expr, "-A", "top", "--max-jobs", "0",
			"--option", "substituters", web, "--option", "trusted-public-keys", key.public)
		if got != top {
			t.Errorf("the client got %s, want %s", got, top)
		}
		sameClosure(t, env, client, top)

		other := floatingEnv()
		other.Run(t, "nix", "copy", "--from", "file://"+dir, "--file", expr, "mid", "--option", "trusted-public-keys", key.public)
		sameClosure(t, env, other, mid)
		suspicious := floatingEnv()
		if out, err := suspicious.Try("nix", "copy", "--from", "file://"+dir, "--file", expr, "mid", "--option", "trusted-public-keys", stranger.public); err == nil || !strings.Contains(err.Error(), "signature") {
			t.Errorf("a client that trusts another key took realisations: %s%v", out, err)
		}

		// One that was not known when its path was pushed comes with the next push.
		lost, err := filepath.Glob(dir + "/realisations/*")
		if err != nil || len(lost) == 0 {
			t.Fatalf("realisations: %v, %v", lost, err)
		}
		trace, err := filepath.Glob(dir + "/build-trace-v2/*/*.doi")
		if err != nil || len(trace) != 4 {
			t.Fatalf("build trace: %v, %v; want one object for each content-addressed output", trace, err)
		}
		for _, f := range append(lost, trace...) {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		mustPcache(t, env, "push", "--secret-key-file", key.file, "--verify", "file://"+dir, top)
		for _, f := range append(lost, trace...) {
			if _, err := os.Stat(f); err != nil {
				t.Error(err)
			}
		}
	})
}

// Stores without content-addressed derivations get none of their objects.
func TestNoRealisations(t *testing.T) {
	env := nixtest.Another(t)
	key := newKey(t, "e2e-1")
	dir := t.TempDir()
	mustPcache(t, env, "push", "--secret-key-file", key.file, "file://"+dir, env.Build(t, sample))
	for _, name := range []string{"realisations", "build-trace-v2"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}
