package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// objects are what is in a cache.
type objects map[string][]byte

// find is the key of the first object with a prefix and a suffix, in which all
// of the words are.
func (o objects) find(t testing.TB, prefix, suffix string, words ...string) string {
	t.Helper()
next:
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if !strings.HasPrefix(key, prefix) || !strings.HasSuffix(key, suffix) {
			continue
		}
		for _, w := range words {
			if !bytes.Contains(o[key], []byte(w)) {
				continue next
			}
		}
		return key
	}
	t.Fatalf("no %s…%s with %q", prefix, suffix, words)
	return ""
}

// narinfo is the key of the narinfo of a name, and nar of its NAR.
func (o objects) narinfo(t testing.TB, name string) string {
	return o.find(t, "", ".narinfo", "-"+name+"\nURL: ")
}

func (o objects) nar(t testing.TB, name string) string {
	n := o.parsed(t, name)
	return n.URL
}

func (o objects) parsed(t testing.TB, name string) nix.NARInfo {
	t.Helper()
	n, err := nix.ParseNARInfo(storeDir, o[o.narinfo(t, name)])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const storeDir = nix.DefaultStoreDir

// flip changes one bit in the middle of an object.
func (o objects) flip(key string) {
	data := slices.Clone(o[key])
	data[len(data)/2] ^= 4
	o[key] = data
}

// replace puts new for old in an object.
func (o objects) replace(t testing.TB, key, old, new string) {
	t.Helper()
	if !bytes.Contains(o[key], []byte(old)) {
		t.Fatalf("%s has no %q", key, old)
	}
	o[key] = bytes.Replace(slices.Clone(o[key]), []byte(old), []byte(new), 1)
}

func (o objects) swap(a, b string) { o[a], o[b] = o[b], o[a] }

// damages are the ways to damage a cache: what to find, and what repair does
// about it with a store that has the paths.
var damages = []struct {
	name   string
	do     func(t testing.TB, o objects, other nix.SecretKey)
	finds  []string // kinds, some of which must be found; empty: no damage
	refuse bool     // it cannot be looked at as a cache
	remain string   // a kind that repair cannot mend
}{
	{name: "a bit of a NAR", finds: []string{"nar-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { o.flip(o.nar(t, "large")) }},
	{name: "a truncated NAR", finds: []string{"nar-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { k := o.nar(t, "noise"); o[k] = o[k][:len(o[k])*2/3] }},
	{name: "an empty NAR", finds: []string{"nar-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { o[o.nar(t, "base-1.0")] = nil }},
	{name: "a deleted NAR", finds: []string{"nar-missing"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { delete(o, o.nar(t, "tool-2.1")) }},
	{name: "a deleted NAR of two paths", finds: []string{"nar-missing"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { delete(o, o.nar(t, "twin-a")) }},
	{name: "bytes after a NAR", finds: []string{"nar-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			k := o.nar(t, "large")
			o[k] = append(slices.Clone(o[k]), "more"...)
		}},
	{name: "swapped NARs", finds: []string{"nar-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { o.swap(o.nar(t, "large"), o.nar(t, "noise")) }},
	{name: "a bit of a narinfo", finds: []string{"narinfo-damaged", "unsigned"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { o.flip(o.narinfo(t, "tool-2.1")) }},
	{name: "a narinfo with another hash", finds: []string{"unsigned"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			a, b := o.parsed(t, "large"), o.parsed(t, "noise")
			o.replace(t, o.narinfo(t, "large"), a.NARHash.String(), b.NARHash.String())
		}},
	{name: "a truncated narinfo", finds: []string{"narinfo-damaged", "unsigned"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			k := o.narinfo(t, "base-1.0")
			o[k] = o[k][:len(o[k])/2]
		}},
	{name: "an empty narinfo", finds: []string{"narinfo-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { o[o.narinfo(t, "top")] = nil }},
	{name: "a huge narinfo", finds: []string{"narinfo-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			o[o.narinfo(t, "large")] = bytes.Repeat([]byte("x"), nix.MaxNARInfoSize+1)
		}},
	{name: "a deleted narinfo", finds: []string{"reference-missing", "root-incomplete"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { delete(o, o.narinfo(t, "base-1.0")) }},
	{name: "a deleted root path", finds: []string{"root-incomplete"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { delete(o, o.narinfo(t, "top")) }},
	{name: "swapped narinfos", finds: []string{"narinfo-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { o.swap(o.narinfo(t, "large"), o.narinfo(t, "noise")) }},
	{name: "another key", finds: []string{"unsigned"},
		do: func(t testing.TB, o objects, other nix.SecretKey) {
			n := o.parsed(t, "tool-2.1")
			n.Signatures = nil
			n.PathInfo = n.Sign(other)
			o[o.narinfo(t, "tool-2.1")] = n.Marshal()
		}},
	{name: "no signature", finds: []string{"unsigned"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			n := o.parsed(t, "odd+name_1.0")
			n.Signatures = nil
			o[o.narinfo(t, "odd+name_1.0")] = n.Marshal()
		}},
	{name: "a wrong file size", finds: []string{"file-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			n := o.parsed(t, "large")
			o.replace(t, o.narinfo(t, "large"), fmt.Sprintf("FileSize: %d\n", n.FileSize), fmt.Sprintf("FileSize: %d\n", n.FileSize+1))
		}},
	{name: "a wrong file hash", finds: []string{"file-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			n := o.parsed(t, "noise")
			o.replace(t, o.narinfo(t, "noise"), "FileHash: "+n.FileHash.String(), "FileHash: "+n.NARHash.String())
		}},
	{name: "a NAR elsewhere", finds: []string{"nar-missing"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			o.replace(t, o.narinfo(t, "base-1.0"), "URL: nar/", "URL: https://elsewhere.example/nar/")
		}},
	{name: "another path's listing", finds: []string{"listing-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			o[o.listing(t, "tool-2.1")] = o[o.listing(t, "odd+name_1.0")]
		}},
	{name: "a bit of a listing", finds: []string{"listing-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) { o.flip(o.listing(t, "large")) }},
	{name: "a bad NAR that nothing names", finds: []string{"orphan-damaged"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			o["nar/"+strings.Repeat("0", 52)+".nar.zst"] = o[o.nar(t, "large")]
		}},
	{name: "everything of a path", finds: []string{"reference-missing", "root-incomplete"},
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			nar, info := o.nar(t, "noise"), o.narinfo(t, "noise")
			delete(o, nar)
			delete(o, info)
		}},
	{name: "every NAR", finds: []string{"nar-missing"},
		do: func(_ testing.TB, o objects, _ nix.SecretKey) {
			maps.DeleteFunc(o, func(key string, _ []byte) bool { return strings.HasPrefix(key, "nar/") })
		}},
	{name: "every narinfo", finds: []string{"root-incomplete"},
		do: func(_ testing.TB, o objects, _ nix.SecretKey) {
			maps.DeleteFunc(o, func(key string, _ []byte) bool { return strings.HasSuffix(key, ".narinfo") })
		}},
	{name: "a manifest", finds: []string{"root-damaged"}, remain: "root-damaged",
		do: func(t testing.TB, o objects, _ nix.SecretKey) { o[o.find(t, "roots/", ".json")] = []byte("{") }},
	{name: "a manifest under another name", finds: []string{"root-damaged"}, remain: "root-damaged",
		do: func(t testing.TB, o objects, _ nix.SecretKey) {
			o["roots/other/20260101T000000.000Z-00000000.json"] = o[o.find(t, "roots/", ".json")]
		}},
	{name: "nix-cache-info", refuse: true,
		do: func(_ testing.TB, o objects, _ nix.SecretKey) { delete(o, "nix-cache-info") }},
	{name: "the list of keys", refuse: true,
		do: func(_ testing.TB, o objects, _ nix.SecretKey) { o["public-keys"] = []byte("nonsense") }},
	{name: "foreign files",
		do: func(_ testing.TB, o objects, _ nix.SecretKey) {
			o["index.html"], o["nar/README"] = []byte("hello"), []byte("hello")
		}},
}

func (o objects) listing(t testing.TB, name string) string {
	return strings.TrimSuffix(o.narinfo(t, name), ".narinfo") + ".ls"
}

// store is a cache's storage.
type store struct {
	blob.Store
	address string
}

func (s store) read(t testing.TB) objects {
	t.Helper()
	all := make(objects)
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := blob.ReadAll(t.Context(), s, info.Key, 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = data
	}
	return all
}

func (s store) write(t testing.TB, all objects) {
	t.Helper()
	for key, data := range all {
		if err := s.Put(t.Context(), key, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
}

// verified is what the test wants of `verify --json`.
type verified struct {
	Status   string
	Damaged  int
	Findings []struct {
		Kind, Key, Path, Detail string
		Damage                  bool
	}
}

func verifyCache(t testing.TB, env *nixtest.Env, code int, args ...string) verified {
	t.Helper()
	e := pcache(t, env, append([]string{"verify", "--json"}, args...)...)
	if e.code != code {
		t.Fatalf("verify exited with %d, want %d:\n%s%s", e.code, code, e.out, e.stderr)
	}
	var v verified
	if err := json.Unmarshal([]byte(e.out), &v); err != nil {
		t.Fatalf("%v in %s", err, e.out)
	}
	return v
}

func (v verified) has(kinds ...string) bool {
	for _, f := range v.Findings {
		if slices.Contains(kinds, f.Kind) {
			return true
		}
	}
	return len(kinds) == 0
}

// TestDamage damages caches in every way, and has each found and mended: in a
// directory and in a bucket.
func TestDamage(t *testing.T) {
	env := nixtest.Another(t)
	top := env.Build(t, sample)
	key := newKey(t, "e2e-1")
	other, err := nix.GenerateKey("e2e-1")
	if err != nil {
		t.Fatal(err)
	}
	first := t.TempDir()
	mustPcache(t, env, "push", "--secret-key-file", key.file, "--root", "host", "--listings", "file://"+first, top)
	filled, err := dir.New(first)
	if err != nil {
		t.Fatal(err)
	}
	whole := store{filled, "file://" + first}.read(t)
	run := func(t *testing.T, newStore func(t *testing.T) store) {
		for _, d := range damages {
			t.Run(d.name, func(t *testing.T) {
				s := newStore(t)
				all := maps.Clone(whole)
				d.do(t, all, other)
				s.write(t, all)
				if d.refuse {
					e := pcache(t, env, "verify", s.address)
					if e.code != exitRefused {
						t.Errorf("exit code %d", e.code)
					}
					e.oneLine(t, s.address[:4])
					return
				}
				code := exitDamaged
				if len(d.finds) == 0 {
					code = exitOK
				}
				before := verifyCache(t, env, code, s.address)
				if !before.has(d.finds...) || (before.Damaged == 0) != (len(d.finds) == 0) {
					t.Errorf("found %+v, want %v", before.Findings, d.finds)
				}
				args := []string{"repair", s.address, "--from", "store", "--secret-key-file", key.file}
				if e := pcache(t, env, args...); e.code != code {
					t.Errorf("a dry run ended with %d: %s", e.code, e.stderr)
				}
				if again := verifyCache(t, env, code, s.address); again.Damaged != before.Damaged {
					t.Errorf("a dry run changed something: %+v", again.Findings)
				}
				if d.remain != "" {
					e := pcache(t, env, append(args, "--apply")...)
					if e.code != exitDamaged || !strings.Contains(e.out, "lost ") {
						t.Errorf("repair ended with %d:\n%s%s", e.code, e.out, e.stderr)
					}
					return
				}
				mustPcache(t, env, append(args, "--apply")...)
				if after := verifyCache(t, env, exitOK, s.address); after.Damaged != 0 {
					t.Errorf("left: %+v", after.Findings)
				}
				reader := nixtest.Another(t)
				mustPcache(t, reader, "pull", "--public-key", key.public, s.address, top)
				if strings.HasPrefix(s.address, "file:") {
					stock := nixtest.Another(t)
					stock.Run(t, "nix", "copy", "--option", "trusted-public-keys", key.public, "--from", s.address, top)
					sameClosure(t, env, stock, top)
				}
			})
		}
	}
	t.Run("directory", func(t *testing.T) {
		run(t, func(t *testing.T) store {
			path := t.TempDir()
			s, err := dir.New(path)
			if err != nil {
				t.Fatal(err)
			}
			return store{s, "file://" + path}
		})
	})
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		run(t, func(t *testing.T) store {
			address := server.Address(server.Bucket(t))
			config, _, err := s3.ParseAddress(address)
			if err != nil {
				t.Fatal(err)
			}
			s, err := s3.New(config)
			if err != nil {
				t.Fatal(err)
			}
			return store{s, address}
		})
	})
}

// What no store has is withdrawn with all that refers to it: clients find it
// absent, and a push makes the cache whole again. A damaged NAR does not stay to
// be found by that push.
func TestWithdrawal(t *testing.T) {
	env := nixtest.Another(t)
	top := env.Build(t, sample)
	key := newKey(t, "e2e-1")
	path := t.TempDir()
	address := "file://" + path
	mustPcache(t, env, "push", "--secret-key-file", key.file, "--root", "host", address, top)
	files, err := dir.New(path)
	if err != nil {
		t.Fatal(err)
	}
	s := store{files, address}
	all := s.read(t)
	all.flip(all.nar(t, "base-1.0"))
	s.write(t, all)

	// A source that has it damaged, too, does not help.
	copied := t.TempDir()
	bad, err := dir.New(copied)
	if err != nil {
		t.Fatal(err)
	}
	store{bad, ""}.write(t, all)
	e := pcache(t, env, "repair", address, "--from", "file://"+copied, "--apply")
	if e.code != exitDamaged {
		t.Errorf("exit code %d: %s%s", e.code, e.out, e.stderr)
	}
	left := s.read(t)
	for _, name := range []string{"base-1.0", "tool-2.1", "top"} {
		if _, there := left[all.narinfo(t, name)]; there {
			t.Errorf("%s is still there", name)
		}
	}
	if _, there := left[all.narinfo(t, "large")]; !there {
		t.Error("large was withdrawn, which refers to nothing lost")
	}
	if _, there := left[all.nar(t, "base-1.0")]; there {
		t.Error("the damaged NAR is still there, for a push to find")
	}
	absent(t, nixtest.Another(t), top)
	mustPcache(t, env, "push", "--secret-key-file", key.file, "--root", "host", address, top)
	verifyCache(t, env, exitOK, address)
}

// What is copied to another cache is whole there, with its roots, under its own
// signatures or under another key.
func TestCopies(t *testing.T) {
	env := nixtest.Another(t)
	top := env.Build(t, sample)
	key, other := newKey(t, "e2e-1"), newKey(t, "e2e-2")
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	bucket := server.Address(server.Bucket(t))
	mustPcache(t, env, "push", "--secret-key-file", key.file, "--root", "host", "--listings", bucket, top)
	out := t.TempDir()
	mustPcache(t, env, "copy", "--all", bucket, "file://"+out+"/plain")
	mustPcache(t, env, "copy", "--compression", "none", "--secret-key-file", other.file, bucket, "file://"+out+"/signed", "host")
	for name, public := range map[string]string{"plain": key.public, "signed": other.public} {
		address := "file://" + out + "/" + name
		verifyCache(t, env, exitOK, address)
		stock := nixtest.Another(t)
		stock.Run(t, "nix", "copy", "--option", "trusted-public-keys", public, "--from", address, top)
		sameClosure(t, env, stock, top)
		if e := mustPcache(t, env, "pull", "--dry-run", "--public-key", public, "--root", "host", "--store", t.TempDir(), address); e.code != exitOK {
			t.Errorf("the root of %s: %s", name, e.stderr)
		}
	}
	// A destination with another key takes nothing that is not signed with it.
	if e := pcache(t, env, "copy", bucket, "file://"+out+"/signed", "host"); e.code != exitOK {
		t.Errorf("what is there already: %d %s", e.code, e.stderr)
	}
	more := env.Build(t, `sh "more" "echo more > $out"`)
	mustPcache(t, env, "push", "--secret-key-file", key.file, bucket, more)
	if e := pcache(t, env, "copy", bucket, "file://"+out+"/signed", more); e.code == exitOK || !strings.Contains(e.stderr, "--secret-key-file") {
		t.Errorf("a path of another key: %d %s", e.code, e.stderr)
	}
}
