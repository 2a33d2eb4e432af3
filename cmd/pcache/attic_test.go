package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// What is pushed a stock client reads, with signatures required, and pcache
// pulls; the second push has nothing to send.
func TestAtticPushAndPull(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		big, paths, _, _ := bigStore(t)
		address, key := s.cache(t, big, "push")
		if s.fixed && strings.Contains(keysAt(t, s.endpoint), key) {
			t.Error("a cache without a path lists keys")
		}
		first := pushed(t, s.must(t, big, append([]string{"push", "--json", "--root", "fleet", address}, paths...)...))
		if first.Sent.Paths != len(paths) || first.Status != report.Passed || len(first.Roots) != 1 || first.Roots[0].Name != "fleet" {
			t.Errorf("first push: %+v", first.Sent)
		}
		if s.fixed && !strings.Contains(keysAt(t, s.endpoint), key) {
			t.Error("the first push brought no list of keys, or the server remembers that there was none")
		}
		second := pushed(t, s.must(t, big, append([]string{"push", "--json", address}, paths...)...))
		if second.Sent.Paths != 0 || second.Skipped["present"].Paths != len(paths) {
			t.Errorf("second push: %+v, %+v", second.Sent, second.Skipped)
		}
		checked := pushed(t, s.must(t, big, append([]string{"push", "--json", "--verify", address}, paths...)...))
		if checked.Sent.Paths != 0 {
			t.Errorf("verifying push: %+v", checked.Sent)
		}

		other := nixtest.Another(t)
		s.must(t, other, "pull", "--public-key", key, address, paths[0], paths[1])
		other.Run(t, "nix-store", "--verify", "--check-contents")

		stock := nixtest.Another(t)
		netrc := filepath.Join(t.TempDir(), "netrc")
		if err := os.WriteFile(netrc, []byte("machine 127.0.0.1 password "+s.token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		stock.Run(t, "nix", append([]string{"copy", "--option", "netrc-file", netrc, "--option", "trusted-public-keys", key, "--from", strings.TrimPrefix(address, "attic+")}, paths...)...)
		stock.Run(t, "nix-store", "--verify", "--check-contents")

		// A closure: references go up first, and are there whenever a path is.
		path := env.Build(t, hello)
		if p := pushed(t, s.must(t, env, "push", "--json", address, path)); p.Sent.Paths != 2 {
			t.Errorf("a closure: %+v", p.Sent)
		}
		nixtest.Another(t).Run(t, "nix", "copy", "--option", "netrc-file", netrc, "--option", "trusted-public-keys", key, "--from", strings.TrimPrefix(address, "attic+"), path)
		// What looks at a cache, and what brings it near, knows Attic as well.
		if out := s.must(t, env, "info", address, path); !strings.Contains(out, path) {
			t.Errorf("info:\n%s", out)
		}
		if out := s.must(t, env, "ls", address, path+"/bin"); !strings.Contains(out, "hello") {
			t.Errorf("ls: %s", out)
		}
		if out := s.must(t, env, "cat", address, path+"/bin/hello"); !strings.HasPrefix(out, "#!/bin/sh") {
			t.Errorf("cat: %s", out)
		}
		near := filepath.Join(t.TempDir(), "near")
		s.must(t, env, "warm", "--to", near, address, path) // the server says its key
		nixtest.Another(t).Run(t, "nix", "copy", "--option", "trusted-public-keys", key, "--from", "file://"+near, path)
		s.through(t, env, address, key, path)
		s.used(t, env, address, key)
		if _, errs, code := s.run(t, nixtest.Another(t), "pull", "--public-key", "other-1:"+strings.SplitN(key, ":", 2)[1], address, path); code != exitDamaged {
			t.Errorf("another key: %d %s", code, errs)
		}
	})
}

// through reads a path by way of a pcache serve before the cache: its key is the
// server's, and whoever reads needs no token.
func (s *atticServer) through(t *testing.T, env *nixtest.Env, address, key, path string) {
	t.Helper()
	cmd := env.Command("pcache", "serve", "--listen", "127.0.0.1:0", "--local", filepath.Join(t.TempDir(), "local"), address)
	cmd.Env = append(cmd.Env, tokenVariable+"="+s.token, "XDG_CONFIG_HOME="+filepath.Join(env.Root, "../config"))
	at := "http://" + listening(t, cmd)
	if keys := keysAt(t, at); !strings.Contains(keys, key) {
		t.Errorf("the keys of a server before the cache: %s", keys)
	}
	nixtest.Another(t).Run(t, "nix", "copy", "--option", "trusted-public-keys", key, "--from", at, path)
}

// keysAt is what a server answers for the list of its keys.
func keysAt(t *testing.T, endpoint string) string {
	t.Helper()
	answer, err := http.Get(endpoint + "/public-keys")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// used sets the cache for a user's Nix, and takes that back.
func (s *atticServer) used(t *testing.T, env *nixtest.Env, address, key string) {
	t.Helper()
	out := s.must(t, env, "use", address, "--write", "--json")
	var u useReport
	if err := json.Unmarshal([]byte(out), &u); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if u.Substituter != strings.TrimPrefix(address, "attic+") || !slices.Equal(u.PublicKeys, []string{key}) {
		t.Errorf("use: %s", out)
	}
	text, err := os.ReadFile(u.Settings)
	if err != nil || !strings.Contains(string(text), "extra-substituters = "+u.Substituter+"\n") {
		t.Errorf("the settings: %v\n%s", err, text)
	}
	s.must(t, env, "use", address, "--undo")
	if _, err := os.Stat(u.Settings); !os.IsNotExist(err) {
		t.Errorf("the settings are still there: %v", err)
	}
}

// A path whose bytes the server has lost is found by --verify. It is sent again
// where the server lets that help, and said where it does not.
func TestAtticLostObject(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		address, _ := s.cache(t, env, "lost")
		path := env.Build(t, hello)
		s.must(t, env, "push", address, path)
		var files []string
		if err := filepath.WalkDir(s.storage, func(file string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && (strings.HasSuffix(file, ".chunk") || strings.Contains(file, "/nar/")) {
				files = append(files, file)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(files) != 2 {
			t.Fatalf("%d files of NARs in the server's storage: %v", len(files), files)
		}
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		if p := pushed(t, s.must(t, env, "push", "--json", address, path)); p.Sent.Paths != 0 {
			t.Errorf("a push that trusts the server: %+v", p.Sent)
		}
		out, errs, code := s.run(t, env, "push", "--json", "--verify", address, path)
		if s.fixed {
			if p := pushed(t, out); code != 0 || p.Sent.Paths != 2 {
				t.Errorf("verified: %d %s %+v", code, errs, p.Sent)
			}
			return
		}
		if code != exitDamaged || !strings.Contains(errs, "the server has lost the bytes") {
			t.Errorf("verified: %d %s", code, errs)
		}
	})
}

// A path with so many references that its upload's info does not fit into a
// header.
func TestAtticManyReferences(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		address, key := s.cache(t, env, "many")
		path := env.Build(t, `let leaves = builtins.genList (n: sh "leaf-with-a-long-name-${toString n}" "echo ${toString n} > $out") 120; in sh "tree" "echo ${toString leaves} > $out"`)
		if p := pushed(t, s.must(t, env, "push", "--json", address, path)); p.Sent.Paths != 121 {
			t.Errorf("%+v", p.Sent)
		}
		other := nixtest.Another(t)
		s.must(t, other, "pull", "--public-key", key, address, path)
		other.Run(t, "nix-store", "--verify", "--check-contents")
	})
}

// The cache's own settings, with the API as the server has it.
func TestAtticCaches(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		refused := func(want string, args ...string) {
			t.Helper()
			if _, errs, code := s.run(t, env, args...); code != exitRefused || !strings.Contains(errs, want) {
				t.Errorf("pcache %v: %d %s, want %q", args, code, errs, want)
			}
		}
		if s.fixed {
			refused("CacheAlreadyExists", "cache", "create", s.address("main"))
			refused("the one cache that it was started with", "cache", "configure", "--public", s.address("main"))
			refused("the one cache that it was started with", "cache", "destroy", "--confirm", "main", s.address("main"))
			refused("NoSuchCache", "cache", "show", s.address("other"))
			return
		}
		refused("NoSuchCache", "cache", "show", s.address("none"))
		address := s.address("made")
		out := s.must(t, env, "cache", "create", "--priority", "30", address)
		for _, want := range []string{"readers      holders of a token", "priority     30", "upstreams    cache.nixos.org-1", "retention    as the server has it", "public key   made:"} {
			if !strings.Contains(out, want) {
				t.Errorf("created: no %q in\n%s", want, out)
			}
		}
		refused("CacheAlreadyExists", "cache", "create", address)
		out = s.must(t, env, "cache", "configure", "--public", "--retention", "30d", "--upstream-key-name", "", "--priority", "50", address)
		for _, want := range []string{"readers      anybody", "priority     50", "upstreams    none\n", "retention    720h0m0s"} {
			if !strings.Contains(out, want) {
				t.Errorf("configured: no %q in\n%s", want, out)
			}
		}
		if _, errs, code := s.run(t, env, "cache", "destroy", address); code != exitUsage || !strings.Contains(errs, "--confirm made") {
			t.Errorf("destroy without a word: %d %s", code, errs)
		}
		s.must(t, env, "cache", "destroy", "--confirm", "made", address)
		refused("NoSuchCache", "cache", "show", address)
	})
}
