package binarycache

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/google/go-cmp/cmp"
)

const symbols = `let id = "0123456789abcdef0123456789abcdef01234567"; in
	sh "symbols" ''
		mkdir -p $out/lib/debug/.build-id/ab $out/lib/debug/.build-id/cd $out/lib/debug/.build-id/zz
		echo one > $out/lib/debug/.build-id/ab/cdef0123456789abcdef0123456789abcdef01.debug
		echo two > $out/lib/debug/.build-id/cd/ef0123456789abcdef0123456789abcdef0123.debug
		echo no > $out/lib/debug/.build-id/cd/short.debug
		echo no > $out/lib/debug/.build-id/zz/ef0123456789abcdef0123456789abcdef0123.debug
		ln -s ../ab/cdef0123456789abcdef0123456789abcdef01.debug $out/lib/debug/.build-id/cd/000123456789abcdef0123456789abcdef0123.debug
	''`

// Listings and the index of debug symbols are what Nix writes with
// write-nar-listing and index-debug-info.
func TestExtrasEqualNix(t *testing.T) {
	f := newFixture(t)
	for _, path := range []nix.StorePath{f.top, nix.StorePath(f.env.Build(t, symbols))} {
		patterns := []string{"*.ls"}
		if path != f.top {
			patterns = append(patterns, "debuginfo/*")
		}
		f.top = path
		if _, err := f.push(t.Context(), f.cache, SinkOptions{Extras: Extras{Listings: true, DebugInfo: true}, Level: None}); err != nil {
			t.Fatal(err)
		}
		theirs := t.TempDir()
		f.env.Run(t, "nix", "copy", "--to", "file://"+theirs+"?write-nar-listing=true&index-debug-info=true&compression=none", string(path))
		for _, pattern := range patterns {
			if diff := cmp.Diff(files(t, theirs, pattern), files(t, f.dir, pattern)); diff != "" {
				t.Errorf("%s of %s differ (-Nix's +ours):\n%s", pattern, path, diff)
			}
		}
		if err := os.RemoveAll(f.dir); err != nil {
			t.Fatal(err)
		}
	}
}

// files are the contents of the files that match, by name. A NAR's name, which
// is made differently, is left out.
func files(t *testing.T, dir, pattern string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s in %s", pattern, dir)
	}
	contents := make(map[string]string)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		text := string(data)
		if archive, ok := v["archive"].(string); ok {
			if !strings.HasPrefix(archive, "../nar/") || !strings.HasSuffix(archive, ".nar") {
				t.Errorf("%s: archive %s", name, archive)
			}
			if _, err := os.Stat(filepath.Join(dir, "debuginfo", archive)); err != nil {
				t.Error(err)
			}
			text = strings.Replace(text, archive, "ARCHIVE", 1)
		}
		rel, _ := filepath.Rel(dir, name)
		// Nix 2.26 leaves ".debug" in the name; cache.nixos.org does not.
		contents[strings.TrimSuffix(rel, ".debug")] = text
	}
	return contents
}

// Nix lists and reads files by such a listing, where it has one. Of a cache it
// fetches none; it keeps its own, the root of what a cache has, in the folder
// of its setting local-nar-cache.
func TestStockNixUsesListing(t *testing.T) {
	f := newFixture(t)
	if _, err := f.push(t.Context(), f.cache, SinkOptions{Extras: Extras{Listings: true}, Level: None}); err != nil {
		t.Fatal(err)
	}
	tool := ""
	for key := range snapshot(t, f.cache) {
		if strings.HasSuffix(key, ".narinfo") {
			data, err := blob.ReadAll(t.Context(), f.cache, key, nix.MaxNARInfoSize)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := nix.ParseNARInfo(nix.DefaultStoreDir, data); err != nil {
				t.Fatal(err)
			} else if info.Path.Name() == "tool-2.1" {
				tool = string(info.Path)
				// The listing is ours, the archive under the name that Nix wants.
				local := t.TempDir()
				for from, to := range map[string]string{listingKey(info.Path): listingKey(info.Path), info.URL: info.Path.HashPart() + ".nar"} {
					data, err := os.ReadFile(filepath.Join(f.dir, from))
					if err != nil {
						t.Fatal(err)
					}
					if strings.HasSuffix(to, ".ls") {
						data = bytes.TrimSuffix(bytes.TrimPrefix(data, []byte(`{"root":`)), []byte(`,"version":1}`))
					}
					if err := os.WriteFile(filepath.Join(local, to), data, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.RemoveAll(filepath.Join(f.dir, "nar")); err != nil {
					t.Fatal(err)
				}
				address := "file://" + f.dir + "?local-nar-cache=" + local
				listed := f.env.Run(t, "nix", "store", "ls", "-l", "-R", "--store", address, tool)
				if !strings.Contains(listed, "bin/tool") || !strings.Contains(listed, "empty") {
					t.Errorf("nix store ls:\n%s", listed)
				}
				if got := f.env.Run(t, "nix", "store", "cat", "--store", address, tool+"/self"); got != tool {
					t.Errorf("nix store cat: %q", got)
				}
			}
		}
	}
	if tool == "" {
		t.Fatal("the sample has no tool")
	}
}

// A path whose NAR is in the cache already gets its extras all the same, and
// does not count as sent by that.
func TestExtrasOfPresentNARs(t *testing.T) {
	f := newFixture(t)
	o := SinkOptions{Extras: Extras{Listings: true}}
	if _, err := f.push(t.Context(), f.cache, o); err != nil {
		t.Fatal(err)
	}
	whole := snapshot(t, f.cache)
	for key := range whole {
		if strings.HasSuffix(key, ".narinfo") || strings.HasSuffix(key, ".ls") {
			if err := f.cache.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	result, err := f.push(t.Context(), f.cache, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range result.Outcomes {
		if o.Action != cache.Sent || o.Reason != cache.SameNAR || o.FileSize != 0 {
			t.Errorf("%s: %s, %q, %d bytes", o.Info.Path, o.Action, o.Reason, o.FileSize)
		}
	}
	if diff := cmp.Diff(whole, snapshot(t, f.cache)); diff != "" {
		t.Error(diff)
	}
}

func TestStockNixReadsLog(t *testing.T) {
	f := newFixture(t)
	f.top = nix.StorePath(f.env.Build(t, `sh "noisy" "echo a line of the log; echo another >&2; echo > $out"`))
	for name, settings := range map[string][]string{"compressed": nil, "plain": {"compress-build-log = false"}} {
		f.env.Configure(settings...)
		f.top = nix.StorePath(f.env.Build(t, `sh "noisy-`+name+`" "echo a line of the log; echo another >&2; echo > $out"`))
		infos, err := f.store.Closure(t.Context(), f.top)
		if err != nil {
			t.Fatal(err)
		}
		drv := infos[0].Deriver
		if drv == "" || !f.store.HasLog(drv) {
			t.Fatalf("%s: no log of %q", name, drv)
		}
		cacheDir := t.TempDir()
		to, err := dir.New(cacheDir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.push(t.Context(), to, SinkOptions{}); err != nil {
			t.Fatal(err)
		}
		sink, err := OpenSink(t.Context(), to, SinkOptions{Name: "test", Keys: []nix.SecretKey{f.key}})
		if err != nil {
			t.Fatal(err)
		}
		open := func() (io.ReadCloser, error) { return f.store.OpenLog(drv) }
		if stored, err := sink.PutLog(t.Context(), drv, open); !stored || err != nil {
			t.Fatalf("%v, %v", stored, err)
		}
		if stored, err := sink.PutLog(t.Context(), drv, func() (io.ReadCloser, error) { panic("it is there") }); stored || err != nil {
			t.Errorf("again: %v, %v", stored, err)
		}
		// Another machine, which has built nothing.
		other := nixtest.Another(t)
		for _, installable := range []string{string(drv), string(f.top)} {
			got := other.Run(t, "nix", "log", "--store", "file://"+cacheDir, installable)
			if !strings.Contains(got, "a line of the log") || !strings.Contains(got, "another") {
				t.Errorf("nix log %s: %q", installable, got)
			}
		}
		if out, err := other.Try("nix", "log", "--store", "file://"+t.TempDir(), string(drv)); err == nil {
			t.Errorf("the log came from elsewhere: %s", out)
		}
	}
}

// A source whose archive is none is noticed when it is looked into, whatever
// its hash is.
func TestExtrasRefuseWhatIsNoNAR(t *testing.T) {
	f := newFixture(t)
	sink, err := OpenSink(t.Context(), f.cache, SinkOptions{Name: "test", Keys: []nix.SecretKey{f.key}, Extras: Extras{Listings: true}})
	if err != nil {
		t.Fatal(err)
	}
	infos, err := f.store.Closure(t.Context(), f.top)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]io.Reader{
		"text":         strings.NewReader("<html>404</html>"),
		"nothing":      bytes.NewReader(nil),
		"only reading": io.MultiReader(strings.NewReader("<html>"), strings.NewReader("404</html>")),
	} {
		if _, err := sink.PutNAR(t.Context(), infos[0], r); err == nil || !strings.Contains(err.Error(), "not a valid NAR") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for key := range snapshot(t, f.cache) {
		if strings.HasPrefix(key, "nar/") || strings.HasSuffix(key, ".ls") {
			t.Errorf("%s was left", key)
		}
	}
}
