package substituter_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/s3test"
	"gitlab.com/pantheros/pantheros/internal/substituter"
)

// An upstream that lies in the middle of a NAR: the client never gets the whole
// of something wrong, nothing is kept, and when the upstream is good again so
// is the answer.
func TestLyingUpstream(t *testing.T) {
	for name, fault := range map[string]s3test.Fault{
		"a bit is another": {FlipBody: true},
		"truncated":        {Truncate: 700},
	} {
		for _, size := range []int{small, large} {
			o := newOrigin(t, binarycache.Default)
			n, file := o.add(t, "path", size)
			o.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
				if strings.HasPrefix(r.URL.Path, "/nar/") {
					return fault
				}
				return s3test.Fault{}
			})
			m := openMirror(t, t.TempDir(), 1<<30)
			f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: m})
			r := f.fetch(t, n.Path)
			if r.err == nil && r.status == 200 && bytes.Equal(r.body, file) && fault.Truncate > 0 {
				continue // read on in pieces, to its true end
			}
			if r.err == nil && r.status < 500 {
				t.Errorf("%s, %d bytes: status %d, %d bytes and no error", name, size, r.status, len(r.body))
			}
			f.settle(t, func() bool { return m.Usage().Incoming == 0 })
			if files := left(t, m.Root()); len(files) != 0 {
				t.Errorf("%s, %d bytes: kept %v", name, size, files)
			}
		}
	}
}

// If another cache has what one lost or spoiled, clients do not notice.
func TestAnotherCacheHelps(t *testing.T) {
	bad, good := newOrigin(t, binarycache.Default), newOrigin(t, binarycache.Default)
	n, file := bad.add(t, "path", small)
	good.add(t, "path", small)
	bad.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
		if strings.HasPrefix(r.URL.Path, "/nar/") {
			return s3test.Fault{FlipBody: true}
		}
		return s3test.Fault{}
	})
	m := openMirror(t, t.TempDir(), 1<<30)
	f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{bad.upstream(t), good.upstream(t)}, Mirror: m})
	f.want(t, n, file)
	if got := f.kinds(); !strings.Contains(got, "damaged") {
		t.Errorf("events: %s", got)
	}
}

// Errors of an upstream are errors to clients, at once after a while, and over
// when they are over. They are never absences.
func TestDeadUpstream(t *testing.T) {
	for name, fault := range map[string]s3test.Fault{
		"cuts connections": {Reset: true},
		"500":              {Status: 500},
		"rate limited":     {Status: 429, Header: map[string]string{"Retry-After": "1"}},
		"hangs":            {Hang: true},
		"forbidden":        {Status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, binarycache.Default)
			n, file := o.add(t, "path", small)
			o.proxy.Rule(func(int, *http.Request) s3test.Fault { return fault })
			f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: openMirror(t, t.TempDir(), 1<<30), Timeout: 1200 * time.Millisecond})
			var last time.Duration
			for range 6 {
				started := time.Now()
				_, r := f.narInfo(t, n.Path)
				last = time.Since(started)
				if r.status < 500 || r.err != nil {
					t.Fatalf("status %d, %v", r.status, r.err)
				}
			}
			if last > 500*time.Millisecond {
				t.Errorf("clients still wait %v for it", last)
			}
			if f.Ready() == nil {
				t.Error("it says that it is ready")
			}
			o.proxy.Rule(nil)
			f.settle(t, func() bool { _, r := f.narInfo(t, n.Path); return r.status == 200 })
			f.want(t, n, file)
		})
	}
}

// Narinfos that are wrong are errors; those that nobody vouches for are none
// of this cache's paths, as stock clients take it.
func TestBadNARInfos(t *testing.T) {
	o := newOrigin(t, binarycache.Default)
	n, _ := o.add(t, "path", small)
	other, _ := o.add(t, "other", small)
	file := filepath.Join(o.dir, n.Path.HashPart()+".narinfo")
	right, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := os.ReadFile(filepath.Join(o.dir, other.Path.HashPart()+".narinfo"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"no narinfo":    {"hello", 502},
		"empty":         {"", 502},
		"of another":    {string(elsewhere), 502},
		"oversized":     {string(right) + strings.Repeat("X: y\n", 300_000), 502},
		"absolute URL":  {strings.Replace(string(right), "URL: nar/", "URL: http://elsewhere/nar/", 1), 502},
		"URL goes up":   {strings.Replace(string(right), "URL: nar/", "URL: ../../etc/", 1), 502},
		"unsigned":      {string(right[:strings.Index(string(right), "Sig: ")]), 404},
		"another size":  {strings.Replace(string(right), "NarSize: 1", "NarSize: 2", 1), 404},
		"control bytes": {strings.Replace(string(right), "Deriver", "\x00Deriver", 1) + "X: \x01\n", 502},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: openMirror(t, t.TempDir(), 1<<30)})
		if _, r := f.narInfo(t, n.Path); r.status != c.want {
			t.Errorf("%s: status %d, want %d: %s", name, r.status, c.want, r.body)
		}
	}
}

// An absence is remembered briefly, and not beyond the path's coming.
func TestAbsence(t *testing.T) {
	o := newOrigin(t, binarycache.Default)
	f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: openMirror(t, t.TempDir(), 1<<30), NegativeTTL: time.Hour})
	info, _ := makeNAR(t, "late", small, o.seed+1)
	for range 3 {
		if _, r := f.narInfo(t, info.Path); r.status != 404 {
			t.Fatalf("status %d", r.status)
		}
	}
	if n := o.proxy.Count("GET /" + info.Path.HashPart()); n != 1 {
		t.Errorf("%d questions", n)
	}
	n, file := o.add(t, "late", small)
	f.Changed(n.Path)
	f.want(t, n, file)
}

// The bound holds, what was used last stays, and so does what a root names.
func TestEviction(t *testing.T) {
	o := newOrigin(t, binarycache.None)
	root := t.TempDir()
	const limit = 1 << 20
	m := openMirror(t, root, limit)
	f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: m})
	var all []nix.NARInfo
	for i := range 8 {
		n, file := o.add(t, "path", 250_000)
		f.want(t, n, file)
		f.settle(t, func() bool { return m.Usage().Incoming == 0 })
		if i == 0 {
			manifest := `{"version":1,"name":"pin","generation":"g","time":"2026-01-01T00:00:00Z","paths":["` + string(n.Path) + `"]}`
			if err := os.MkdirAll(root+"/roots/pin", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(root+"/roots/pin/g.json", []byte(manifest), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if u := m.Usage(); u.Used > limit {
			t.Errorf("%d bytes are kept, the limit is %d", u.Used, limit)
		}
		all = append(all, n)
	}
	for i, want := range map[int]bool{0: true, 1: false, 2: false, 6: true, 7: true} {
		if got := m.Has(all[i].Path.HashPart()); got != want {
			t.Errorf("path %d is kept: %v, want %v", i, got, want)
		}
	}
}

// Requests that mean no object are refused, and no upstream hears of them.
func TestAbuse(t *testing.T) {
	o := newOrigin(t, binarycache.Default)
	secret := filepath.Join(filepath.Dir(o.dir), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, u := range []substituter.Upstream{o.upstream(t), dirUpstream(t, o.dir)} {
		options := substituter.Options{Upstreams: []substituter.Upstream{u}}
		if u.Dir == "" {
			options.Mirror = openMirror(t, t.TempDir(), 1<<30)
		}
		f := newFront(t, options)
		for _, path := range []string{
			"/../secret", "/nar/../../secret", "/nar/%2e%2e/%2e%2e/secret", "/nar/..%2f..%2fsecret", "//etc/passwd",
			"/nar//x", "/nar/.incoming", "/.mirror", "/.lock", "/.incoming/x", "/nar/%00", "/nar/a%0ab", "/x.narinfo",
			"/" + strings.Repeat("e", 32) + ".narinfo", "/" + strings.Repeat("a", 2000), "/nar/" + strings.Repeat("a", 2000), "/roots/", "/roots/../x/newest", "/log/", "/log/a/b",
		} {
			if r := f.do(t, "GET", path); r.err == nil && r.status < 400 || strings.Contains(string(r.body), "secret") && r.status == 200 {
				t.Errorf("%s: status %d: %.80s", path, r.status, r.body)
			}
		}
		for _, method := range []string{"POST", "DELETE", "PUT", "PATCH", "TRACE"} {
			if r := f.do(t, method, "/nix-cache-info"); r.status != 405 {
				t.Errorf("%s: status %d, %v", method, r.status, r.err)
			}
		}
	}
}

// A thousand clients at once get what they want, of what is kept and of what
// is on its way.
func TestThousandClients(t *testing.T) {
	o := newOrigin(t, binarycache.Default)
	n, file := o.add(t, "path", 200_000)
	m := openMirror(t, t.TempDir(), 1<<30)
	f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: m})
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if r := f.fetch(t, n.Path); r.err != nil || r.status != 200 || len(r.body) != len(file) {
				t.Errorf("status %d, %d bytes, %v", r.status, len(r.body), r.err)
			}
		})
	}
	wg.Wait()
	if n := o.proxy.Count("GET /nar/"); n != 1 {
		t.Errorf("%d requests for the NAR", n)
	}
}
