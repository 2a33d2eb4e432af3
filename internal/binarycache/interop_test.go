package binarycache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/blobtest"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"
	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/google/go-cmp/cmp"
)

// sample has shared references, two paths with equal contents, a large file,
// an executable, an empty directory and a self-reference.
const sample = `let
	base = sh "base-1.0" "echo base > $out";
	twin1 = sh "twin-a" "echo same > $out";
	twin2 = sh "twin-b" "echo same > $out";
	large = sh "large" "i=0; while [ $i -lt 20000 ]; do echo line $i of a large file; i=$((i+1)); done > $out";
	tool = sh "tool-2.1" "mkdir -p $out/bin $out/empty; printf '#!/bin/sh\necho ${base}\n' > $out/bin/tool; chmod +x $out/bin/tool; echo $out > $out/self";
	in sh "top" "mkdir $out; ln -s ${tool} $out/tool; ln -s ${twin1} $out/a; ln -s ${twin2} $out/b; ln -s ${large} $out/large"`

type fixture struct {
	env   *nixtest.Env
	store *nixstore.Store
	top   nix.StorePath
	key   nix.SecretKey
	dir   string
	cache blob.Store
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	env := nixtest.New(t)
	f := &fixture{env: env, top: nix.StorePath(env.Build(t, sample)), dir: t.TempDir()}
	var err error
	if f.store, err = nixstore.Open(env.Root); err != nil {
		t.Fatal(err)
	}
	if f.key, err = nix.GenerateKey("test-1"); err != nil {
		t.Fatal(err)
	}
	if f.cache, err = dir.New(f.dir); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) push(ctx context.Context, s blob.Store, o SinkOptions) (cache.Result, error) {
	if !o.Unsigned && o.Keys == nil {
		o.Keys = []nix.SecretKey{f.key}
	}
	o.Name = "test"
	sink, err := OpenSink(ctx, s, o)
	if err != nil {
		return cache.Result{}, err
	}
	defer func() { _ = sink.Release(ctx) }()
	return cache.Copy(ctx, sink, f.store, []nix.StorePath{f.top}, cache.Options{})
}

func (f *fixture) mustPush(t *testing.T) cache.Result {
	t.Helper()
	r, err := f.push(t.Context(), f.cache, SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stockCopy has a stock Nix copy the closure into an empty store, signatures
// required, and compares what arrived.
func (f *fixture) stockCopy(t *testing.T) {
	t.Helper()
	other := nixtest.Another(t)
	other.Run(t, "nix", "copy", "--from", "file://"+f.dir, string(f.top), "--option", "trusted-public-keys", f.key.Public().String())
	want, got := f.env.Closure(t, string(f.top)), other.Closure(t, string(f.top))
	for path, info := range want {
		info.Signatures = got[path].Signatures // the source's are unsigned
		want[path] = info
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what a stock client got differs: %s", diff)
	}
	other.Run(t, "nix-store", "--verify", "--check-contents")
}

func TestStockNixReads(t *testing.T) {
	for _, level := range Levels {
		t.Run(string(level), func(t *testing.T) {
			f := newFixture(t)
			if _, err := f.push(t.Context(), f.cache, SinkOptions{Level: level}); err != nil {
				t.Fatal(err)
			}
			f.stockCopy(t)
		})
	}
}

// A substituter is asked in another way than `nix copy --from`.
func TestStockNixSubstitutes(t *testing.T) {
	f := newFixture(t)
	f.mustPush(t)
	other := nixtest.Another(t)
	other.Run(t, "nix-store", "--realise", string(f.top), "--option", "substituters", "file://"+f.dir, "--option", "trusted-public-keys", f.key.Public().String())
	other.Run(t, "nix-store", "--verify", "--check-contents")

	// With another key trusted, nothing may come.
	stranger, err := nix.GenerateKey("test-1")
	if err != nil {
		t.Fatal(err)
	}
	third := nixtest.Another(t)
	if out, err := third.Try("nix", "copy", "--from", "file://"+f.dir, string(f.top), "--option", "trusted-public-keys", stranger.Public().String()); err == nil {
		t.Errorf("a client that trusts another key took it: %s", out)
	}
}

func pullInto(ctx context.Context, t *testing.T, from blob.Reader, trusted []nix.PublicKey, p nix.StorePath) (*nixtest.Env, error) {
	t.Helper()
	other := nixtest.Another(t)
	store, err := nixstore.Open(other.Root)
	if err != nil {
		t.Fatal(err)
	}
	sink := store.Sink(len(trusted) > 0)
	defer sink.Close()
	source, err := OpenSource(ctx, from, SourceOptions{Name: "test", Trusted: trusted})
	if err != nil {
		return other, err
	}
	_, err = cache.Copy(ctx, sink, source, []nix.StorePath{p}, cache.Options{})
	return other, err
}

// What Nix itself wrote must be readable, in every compression it has.
func TestReadsWhatNixWrote(t *testing.T) {
	f := newFixture(t)
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(f.key.Marshal()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, compression := range []string{"none", "xz", "zstd", "bzip2", "gzip"} {
		t.Run(compression, func(t *testing.T) {
			d := t.TempDir()
			f.env.Run(t, "nix", "copy", "--to", fmt.Sprintf("file://%s?compression=%s&secret-key=%s", d, compression, keyFile), string(f.top))
			written, err := dir.New(d)
			if err != nil {
				t.Fatal(err)
			}
			other, err := pullInto(t.Context(), t, written, []nix.PublicKey{f.key.Public()}, f.top)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(other.Closure(t, string(f.top))), len(f.env.Closure(t, string(f.top))); got != want {
				t.Errorf("%d of %d paths", got, want)
			}
			other.Run(t, "nix-store", "--verify", "--check-contents")

			// And a push into it finds everything there.
			r, err := f.push(t.Context(), written, SinkOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range r.Outcomes {
				if o.Action != cache.Skipped {
					t.Errorf("%s: %s", o.Info.Path, o.Action)
				}
			}
		})
	}
}

func TestTwinsShareTheirNAR(t *testing.T) {
	f := newFixture(t)
	r := f.mustPush(t)
	shared := 0
	for _, o := range r.Outcomes {
		if o.Reason == cache.SameNAR {
			shared++
		}
	}
	if shared != 1 {
		t.Errorf("%d paths shared a NAR, want 1 of the twins", shared)
	}
	n := 0
	for _, err := range f.cache.List(t.Context(), "nar/") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != len(r.Outcomes)-1 {
		t.Errorf("%d NARs for %d paths", n, len(r.Outcomes))
	}
}

func snapshot(t *testing.T, s blob.Store) map[string]string {
	t.Helper()
	objects := map[string]string{}
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := blob.ReadAll(t.Context(), s, info.Key, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		objects[info.Key] = string(data)
	}
	return objects
}

func TestPushIsDeterministic(t *testing.T) {
	f := newFixture(t)
	f.mustPush(t)
	other, err := dir.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.push(t.Context(), other, SinkOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(snapshot(t, f.cache), snapshot(t, other)); diff != "" {
		t.Errorf("two pushes of the same closure differ: %s", diff)
	}
}

// checkClosures fails if a visible path lacks a reference or its NAR.
func checkClosures(t *testing.T, s blob.Store) (visible int) {
	t.Helper()
	objects := snapshot(t, s)
	listings := false // this cache has them
	for key := range objects {
		listings = listings || strings.HasSuffix(key, ".ls")
	}
	for key, text := range objects {
		if !strings.HasSuffix(key, ".narinfo") {
			continue
		}
		visible++
		n, err := nix.ParseNARInfo(nix.DefaultStoreDir, []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if int64(len(objects[n.URL])) != n.FileSize || n.FileSize == 0 {
			t.Errorf("%s is visible, its NAR has %d of %d bytes", n.Path, len(objects[n.URL]), n.FileSize)
		}
		if objects[listingKey(n.Path)] == "" && listings {
			t.Errorf("%s is visible, its listing is not", n.Path)
		}
		for _, r := range n.References {
			if _, ok := objects[narInfoKey(r)]; !ok {
				t.Errorf("%s is visible, and %s, which it refers to, is not", n.Path, r)
			}
		}
	}
	return visible
}

// A push that is cut off at any call leaves whole closures only, and the next
// push finishes it.
func TestPushSurvivesFaultsAtEveryCall(t *testing.T) {
	f := newFixture(t)
	all := SinkOptions{Extras: Extras{Listings: true, DebugInfo: true}}
	probe := &blobtest.Faulty{Store: f.cache, N: 1 << 30}
	if _, err := f.push(t.Context(), probe, all); err != nil {
		t.Fatal(err)
	}
	calls := probe.Calls()
	for n := range calls {
		d := t.TempDir()
		store, err := dir.New(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.push(t.Context(), &blobtest.Faulty{Store: store, N: n}, all); err == nil {
			t.Fatalf("a push that was cut off at call %d of %d reports success", n, calls)
		}
		before := checkClosures(t, store)
		r, err := f.push(t.Context(), store, all)
		if err != nil {
			t.Fatalf("after a fault at call %d: %v", n, err)
		}
		if got := checkClosures(t, store); got != len(r.Outcomes) {
			t.Fatalf("after a fault at call %d: %d of %d visible", n, got, len(r.Outcomes))
		}
		skipped := 0
		for _, o := range r.Outcomes {
			if o.Action == cache.Skipped {
				skipped++
			}
		}
		if skipped > before {
			t.Errorf("after a fault at call %d: %d skipped, only %d were visible", n, skipped, before)
		}
	}
	t.Logf("%d calls, a fault at each", calls)
}

func TestCorruptLocalPathIsNotPublished(t *testing.T) {
	f := newFixture(t)
	closure, err := f.store.Closure(t.Context(), f.top)
	if err != nil {
		t.Fatal(err)
	}
	var victim nix.PathInfo
	for _, p := range closure {
		if p.Path.Name() == "base-1.0" {
			victim = p
		}
	}
	file := f.env.Root + string(victim.Path)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("evil\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = f.push(t.Context(), f.cache, SinkOptions{})
	var corrupt *nixstore.CorruptError
	if !errors.As(err, &corrupt) || corrupt.Path != victim.Path {
		t.Fatalf("%v", err)
	}
	checkClosures(t, f.cache)
	if _, err := f.cache.Stat(t.Context(), narInfoKey(victim.Path)); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("the corrupt path is visible: %v", err)
	}
	if _, err := f.cache.Stat(t.Context(), Default.narKey(victim.NARHash)); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("its NAR is there: %v", err)
	}
}

func TestSinkRefuses(t *testing.T) {
	f := newFixture(t)
	f.mustPush(t)
	before := snapshot(t, f.cache)
	other, _ := nix.GenerateKey("other-1")
	impostor, _ := nix.GenerateKey("test-1")
	for name, tt := range map[string]struct {
		o    SinkOptions
		want string
	}{
		"no key":                {SinkOptions{Unsigned: true}, "its paths are signed (test-1)"},
		"another key":           {SinkOptions{Keys: []nix.SecretKey{other}}, "the given key is other-1"},
		"a key of the name":     {SinkOptions{Keys: []nix.SecretKey{impostor}}, "another one of that name"},
		"another store":         {SinkOptions{StoreDir: "/gnu/store"}, "it holds paths of the store /nix/store, and these are of /gnu/store"},
		"a right and wrong key": {SinkOptions{Keys: []nix.SecretKey{f.key, other}}, "other-1"},
	} {
		_, err := f.push(t.Context(), f.cache, tt.o)
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty, _ := dir.New(t.TempDir())
	if _, err := OpenSink(t.Context(), empty, SinkOptions{Name: "new"}); err == nil || !strings.Contains(err.Error(), "--unsigned") {
		t.Errorf("unsigned without saying so: %v", err)
	}
	if diff := cmp.Diff(before, snapshot(t, f.cache)); diff != "" {
		t.Errorf("a refused push wrote: %s", diff)
	}
	for key, text := range map[string]string{cacheInfoKey: "StoreDir: relative\n", publicKeysKey: "garbage\n"} {
		s, _ := dir.New(t.TempDir())
		if err := s.Put(t.Context(), key, strings.NewReader(text), int64(len(text))); err != nil {
			t.Fatal(err)
		}
		var refused *RefusedError
		if _, err := f.push(t.Context(), s, SinkOptions{}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("damaged %s: %v", key, err)
		}
	}
}

// Paths that are there without a good signature, or as garbage, are healed.
func TestBadNARInfosAreReplaced(t *testing.T) {
	f := newFixture(t)
	if _, err := f.push(t.Context(), f.cache, SinkOptions{Unsigned: true}); err != nil {
		t.Fatal(err)
	}
	r := f.mustPush(t) // now signed
	for _, o := range r.Outcomes {
		if o.Action != cache.Sent || o.Reason != cache.SameNAR {
			t.Errorf("%s: %s %s", o.Info.Path, o.Action, o.Reason)
		}
	}
	f.stockCopy(t)
	top := narInfoKey(f.top)
	good := snapshot(t, f.cache)[top]
	for name, bad := range map[string]string{
		"garbage":       "\x00\x01",
		"empty":         "",
		"other path":    strings.ReplaceAll(good, "-top", "-tip"),
		"other hash":    strings.Replace(good, "NarSize: ", "NarSize: 1", 1),
		"no signature":  good[:strings.Index(good, "Sig: ")],
		"too long":      good + strings.Repeat("X: y\n", nix.MaxNARInfoSize/5),
		"other's claim": strings.Replace(good, "Sig: test-1:", "Sig: test-1:AAAA", 1),
	} {
		if err := f.cache.Put(t.Context(), top, strings.NewReader(bad), int64(len(bad))); err != nil {
			t.Fatal(err)
		}
		f.mustPush(t)
		if got := snapshot(t, f.cache)[top]; got != good {
			t.Errorf("%s was not replaced:\n%s", name, got)
		}
	}
}

// After a power cut a file system may keep an object's name and lose its bytes.
func TestEmptyNARIsReplaced(t *testing.T) {
	f := newFixture(t)
	f.mustPush(t)
	for info, err := range f.cache.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(info.Key, "nar/"):
			if err := f.cache.Put(t.Context(), info.Key, strings.NewReader(""), 0); err != nil {
				t.Fatal(err)
			}
		case strings.HasSuffix(info.Key, ".narinfo"):
			if err := f.cache.Delete(t.Context(), info.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.mustPush(t)
	f.stockCopy(t)
}

func TestDamagedCacheIsNoticed(t *testing.T) {
	f := newFixture(t)
	f.mustPush(t)
	trusted := []nix.PublicKey{f.key.Public()}
	closure, _ := f.store.Closure(t.Context(), f.top)
	var large nix.PathInfo
	for _, p := range closure {
		if p.Path.Name() == "large" {
			large = p
		}
	}
	infoKey, narKey := narInfoKey(large.Path), Default.narKey(large.NARHash)
	objects := snapshot(t, f.cache)
	goodInfo, goodNAR := objects[infoKey], objects[narKey]
	otherNAR := objects[Default.narKey(closure[0].NARHash)]
	flip := func(s string, at int) string {
		b := []byte(s)
		b[at] ^= 0x10
		return string(b)
	}
	for name, damage := range map[string]struct {
		key, text string
		want      error
	}{
		"NAR truncated":       {narKey, goodNAR[:len(goodNAR)/2], ErrDamaged},
		"NAR empty":           {narKey, "", ErrDamaged},
		"NAR bit flip":        {narKey, flip(goodNAR, len(goodNAR)/2), ErrDamaged},
		"NAR of another path": {narKey, otherNAR, ErrDamaged},
		"trailing bytes":      {narKey, goodNAR + "garbage", ErrDamaged},
		"info garbage":        {infoKey, "garbage", ErrDamaged},
		"info of another":     {infoKey, objects[narInfoKey(closure[0].Path)], ErrDamaged},
		"size changed":        {infoKey, strings.Replace(goodInfo, "NarSize: ", "NarSize: 1", 1), ErrUntrusted},
		"signature changed":   {infoKey, flip(goodInfo, strings.Index(goodInfo, "Sig: test-1:")+20), ErrUntrusted},
		"URL elsewhere":       {infoKey, strings.Replace(goodInfo, "URL: nar/", "URL: ../../etc/", 1), nil},
		"URL absolute":        {infoKey, strings.Replace(goodInfo, "URL: nar/", "URL: http://127.0.0.1/", 1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			write := func(key, text string) {
				if err := f.cache.Put(t.Context(), key, strings.NewReader(text), int64(len(text))); err != nil {
					t.Fatal(err)
				}
			}
			write(damage.key, damage.text)
			defer func() { write(infoKey, goodInfo); write(narKey, goodNAR) }()
			other, err := pullInto(t.Context(), t, f.cache, trusted, f.top)
			if err == nil || damage.want != nil && !errors.Is(err, damage.want) {
				t.Errorf("pull: %v", err)
			}
			if _, err := other.Try("nix", "path-info", string(large.Path)); err == nil {
				t.Error("the damaged path is valid in the store")
			}
		})
	}
	t.Run("reference deleted", func(t *testing.T) {
		if err := f.cache.Delete(t.Context(), infoKey); err != nil {
			t.Fatal(err)
		}
		if _, err := pullInto(t.Context(), t, f.cache, trusted, f.top); !errors.Is(err, ErrDamaged) {
			t.Errorf("pull: %v", err)
		}
	})
}

// A NAR that decompresses to far more than its narinfo says must stop there.
func TestDecompressionBomb(t *testing.T) {
	f := newFixture(t)
	f.mustPush(t)
	closure, _ := f.store.Closure(t.Context(), f.top)
	p := closure[0]
	bomb := newCompressor(Fastest, io.LimitReader(zeros{}, 1<<30), false, newPlaces(), nil)
	if err := f.cache.Put(t.Context(), Default.narKey(p.NARHash), bomb, -1); err != nil {
		t.Fatal(err)
	}
	source, err := OpenSource(t.Context(), f.cache, SourceOptions{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Closure(t.Context(), f.top); err != nil {
		t.Fatal(err)
	}
	r, err := source.OpenNAR(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if !errors.Is(err, ErrDamaged) || n > p.NARSize {
		t.Errorf("%d bytes of %d, %v", n, p.NARSize, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRoots(t *testing.T) {
	f := newFixture(t)
	sink, err := OpenSink(t.Context(), f.cache, SinkOptions{Name: "test", Keys: []nix.SecretKey{f.key}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	var last Root
	for i := range 3 {
		if last, err = sink.PutRoot(t.Context(), Root{Name: "yoga", Paths: []nix.StorePath{f.top}, Commit: fmt.Sprint(i)}, now.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := NewestRoot(t.Context(), f.cache, "test", nix.DefaultStoreDir, "yoga")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(last, got); diff != "" || got.Commit != "2" || !strings.HasPrefix(got.Generation, "20260102T050405.678Z-") {
		t.Errorf("%+v\n%s", got, diff)
	}
	var refused *RefusedError
	if _, err := NewestRoot(t.Context(), f.cache, "test", nix.DefaultStoreDir, "other"); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"", "..", "a/b", "-x", ".hidden", "a b", strings.Repeat("n", 65)} {
		if _, err := sink.PutRoot(t.Context(), Root{Name: name, Paths: []nix.StorePath{f.top}}, now); err == nil {
			t.Errorf("root %q was written", name)
		}
	}
}

func FuzzParseRoot(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"yoga","paths":["/nix/store/7rjqb838snvvxcmpvck1smfxhkwzqal5-hello-2.12.1"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRoot(nix.DefaultStoreDir, data)
		if err == nil && (CheckRootName(r.Name) != nil || len(r.Paths) == 0) {
			t.Fatalf("accepted %+v", r)
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	f.Add(Info{StoreDir: "/nix/store", WantMassQuery: true, Priority: 30}.Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := ParseInfo(data)
		if err != nil || bytes.ContainsAny(data, "\r\x00") {
			return
		}
		if again, err := ParseInfo(info.Marshal()); err != nil || again != info {
			t.Fatalf("%+v became %+v, %v", info, again, err)
		}
	})
}
