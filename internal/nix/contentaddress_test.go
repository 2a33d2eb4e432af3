package nix_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// What real Nix gives a content address is one, of every method and hash, with
// references and without; and nothing else passes for it.
func TestContentAddressed(t *testing.T) {
	env := nixtest.New(t)
	env.Configure("experimental-features = nix-command ca-derivations")
	for _, v := range env.Vars {
		if key, value, _ := strings.Cut(v, "="); key == "NIX_CONFIG" {
			t.Setenv(key, value)
		}
	}
	const expr = `let
		sh = name: script: more: derivation ({ inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-euc" script ]; } // more);
		flat = algo: sh "flat-${algo}" "echo -n hi > $out" { outputHashMode = "flat"; outputHashAlgo = algo; outputHash = builtins.hashString algo "hi"; };
		floating = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
		base = sh "base" "echo base > $out" floating;
		mid = sh "mid" "echo ${base} > $out" floating;
		self = sh "self" "echo ${base} $out > $out" floating;
		text = builtins.toFile "text" "hello";
		more = builtins.toFile "more" "see ${text}";
		in sh "top" "echo ${mid} ${self} ${toString (map flat [ "md5" "sha1" "sha256" "sha512" ])} ${text} ${more} > $out" {}`
	file := filepath.Join(t.TempDir(), "a.nix")
	if err := os.WriteFile(file, []byte(expr), 0o644); err != nil {
		t.Fatal(err)
	}
	top := nix.StorePath(env.Run(t, "nix-build", "--no-out-link", file))
	tree := t.TempDir()
	if err := os.WriteFile(tree+"/x", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	source := nix.StorePath(env.AddTree(t, tree))
	store, err := nixstore.Open("")
	if err != nil {
		t.Fatal(err)
	}
	closure, err := store.Closure(t.Context(), top, source)
	if err != nil {
		t.Fatal(err)
	}
	addressed := 0
	for _, p := range closure {
		if p.Path == top {
			p.CA = closure[0].CA
		}
		_, err := p.ContentAddressed()
		if p.Path == top {
			if err == nil {
				t.Errorf("%s passes for content-addressed", p.Path)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s, %s: %v", p.Path, p.CA, err)
			continue
		}
		addressed++
		forged := p
		forged.Path = nix.StorePath(strings.Replace(string(p.Path), p.Path.Name(), "other", 1))
		if _, err := forged.ContentAddressed(); err == nil {
			t.Errorf("%s with another name passes", p.Path)
		}
		forged = p
		forged.References = append([]nix.StorePath{top}, p.References...)
		if _, err := forged.ContentAddressed(); err == nil {
			t.Errorf("%s with another reference passes", p.Path)
		}
	}
	if addressed != len(closure)-1 || addressed < 9 {
		t.Errorf("%d of %d paths were content-addressed", addressed, len(closure))
	}
}

func FuzzParseContentAddress(f *testing.F) {
	for _, s := range []string{
		"fixed:r:sha256:14g8k1a20az7v02q44vhdfijgbgmk162sgl6kinzsmqnnynzrbxy", "text:sha256:" + strings.Repeat("0", 52),
		"fixed:sha1:" + strings.Repeat("a", 40), "fixed:md5:", "fixed:git:sha1:x", "text:r:sha256:x", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := nix.ParseContentAddress(s)
		if err == nil && len(c.Hash) != c.NewHash().Size() {
			t.Errorf("%q: %d bytes of hash", s, len(c.Hash))
		}
		p := nix.PathInfo{Path: "/nix/store/14g8k1a20az7v02q44vhdfijgbgmk162-x", CA: s}
		if _, err := p.ContentAddressed(); err == nil {
			t.Errorf("%q is the address of a path that was made up", s)
		}
	})
}
