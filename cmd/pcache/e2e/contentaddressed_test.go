package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nix"
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

		// Another key takes over, and signs realisations too. (In a cache of its
		// own: nix copy has put the derivations into the other, unsigned.)
		next, second := newKey(t, "e2e-2"), t.TempDir()
		mustPcache(t, env, "push", "--secret-key-file", key.file, "file://"+second, top)
		mustPcache(t, env, "sign", "--all", "--secret-key-file", next.file, "file://"+second)
		mustPcache(t, env, "sign", "--all", "--remove", "e2e-1", "file://"+second)
		for _, pattern := range []string{"/realisations/*", "/build-trace-v2/*/*.doi", "/*.narinfo"} {
			files, err := filepath.Glob(second + pattern)
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %v, %v", pattern, files, err)
			}
			for _, f := range files {
				if data, err := os.ReadFile(f); err != nil || !strings.Contains(string(data), "e2e-2") || strings.Contains(string(data), "e2e-1") {
					t.Errorf("%s: %s %v", f, data, err)
				}
			}
		}
		rotated := floatingEnv()
		rotated.Run(t, "nix", "copy", "--from", "file://"+second, "--file", expr, "mid", "--option", "trusted-public-keys", next.public)
		sameClosure(t, env, rotated, mid)
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

// Content-addressed paths that nobody signed are pulled where signatures are
// wanted, since their names say what is in them. A claim to be one is checked:
// the name against the address, and the address against the contents.
func TestUnsignedContentAddresses(t *testing.T) {
	env := nixtest.Another(t)
	const flat = `let flat = more: derivation ({ name = "flat"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-euc" "echo -n hi > $out" ]; } // more);
		in `
	fixed := env.Build(t, flat+`flat { outputHashMode = "flat"; outputHashAlgo = "sha512"; outputHash = builtins.hashString "sha512" "hi"; }`)
	ordinary := env.Build(t, `sh "ordinary" "echo ordinary > $out"`)
	text := env.Run(t, "nix-instantiate", "--eval", "--json", "--read-write-mode", "--expr", `"${builtins.toFile "text" "hello"}"`)
	text = strings.Trim(text, `"`)
	tree := env.AddTree(t, "interop_test.go")
	key := newKey(t, "e2e-1")
	dir := t.TempDir()
	mustPcache(t, env, "push", "--unsigned", "file://"+dir, fixed, ordinary, text, tree)
	pull := func(paths ...string) ended {
		return pcache(t, nixtest.Another(t), append([]string{"pull", "--public-key", key.public, "file://" + dir}, paths...)...)
	}
	if e := pull(fixed, text, tree); e.code != exitOK {
		t.Errorf("content-addressed paths: exit code %d: %s", e.code, e.stderr)
	}
	refused := func(what, path, want string) {
		t.Helper()
		e := pull(path)
		if e.code != exitDamaged {
			t.Errorf("%s: exit code %d: %s", what, e.code, e.stderr)
		}
		e.oneLine(t, want)
	}
	refused("an ordinary path", ordinary, "no signature of a trusted key")

	narInfo := func(path string) string { return filepath.Join(dir, nix.StorePath(path).HashPart()+".narinfo") }
	read := func(path string) nix.NARInfo {
		n, err := nix.ParseNARInfo(nix.DefaultStoreDir, mustRead(t, narInfo(path)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	write := func(n nix.NARInfo) {
		if err := os.WriteFile(narInfo(string(n.Path)), n.Marshal(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// It is right about its contents, and not about its name.
	n := read(ordinary)
	n.CA = "fixed:r:" + n.NARHash.String()
	write(n)
	refused("an ordinary path that claims to be content-addressed", ordinary, "another path's")

	// It is right about its name, and not about its contents.
	for _, path := range []string{fixed, text, tree} {
		forged, whole := read(path), read(path)
		other := read(ordinary)
		forged.URL, forged.NARHash, forged.NARSize, forged.FileHash, forged.FileSize = other.URL, other.NARHash, other.NARSize, other.FileHash, other.FileSize
		write(forged)
		refused("other contents at a content address", path, "contents")
		write(whole)
	}
}
