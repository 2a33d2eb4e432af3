package substituter_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/s3test"
	"gitlab.com/pantheros/pantheros/internal/substituter"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const small, large = 1000, 3 << 20

// What was read once is there when the upstream is gone, also for a server
// that was started anew.
func TestReadThrough(t *testing.T) {
	o := newOrigin(t, binarycache.Default)
	base, baseFile := o.add(t, "base", small)
	big, bigFile := o.add(t, "big", large, base.Path)
	root := t.TempDir()
	m := openMirror(t, root, 1<<30)
	f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: m})
	f.want(t, base, baseFile)
	f.want(t, big, bigFile)
	f.settle(t, func() bool { return m.Usage().Objects == 2 && m.Usage().Incoming == 0 })
	o.proxy.Rule(func(int, *http.Request) s3test.Fault { return s3test.Fault{Reset: true} })
	f.want(t, base, baseFile)
	f.want(t, big, bigFile)
	if n := o.proxy.Count("GET"); n != 0 {
		t.Errorf("%d requests to the upstream for what is kept: %v", n, o.proxy.Seen())
	}
	m.Close()
	again := openMirror(t, root, 1<<30)
	f = newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: again})
	f.want(t, base, baseFile)
	f.want(t, big, bigFile)
	if u := again.Usage(); u.Objects != 2 || u.Used != int64(len(baseFile)+len(bigFile)) {
		t.Errorf("after a restart: %+v", u)
	}
	// The directory is a cache: what was kept is whole for who reads it as one.
	for _, n := range []string{base.Path.HashPart(), big.Path.HashPart()} {
		if got, _ := filepath.Glob(root + "/" + n + ".narinfo"); len(got) != 1 {
			t.Errorf("%s.narinfo is not in %v", n, left(t, root))
		}
	}
}

// Many clients that want a NAR cost one request, and get its bytes as they
// come: long before the upstream has sent the last.
func TestCoalescing(t *testing.T) {
	o := newOrigin(t, binarycache.None)
	n, file := o.add(t, "big", large)
	gate := make(chan struct{})
	var once sync.Once
	slow := &slowly{next: o.web.Config.Handler, gate: gate, after: 2 << 20}
	o.web.Config.Handler = slow
	m := openMirror(t, t.TempDir(), 1<<30)
	f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: m})
	info, _ := f.narInfo(t, n.Path)
	const clients = 50
	var wg sync.WaitGroup
	early := make(chan int, clients)
	for range clients {
		wg.Go(func() {
			resp, err := f.client.Get(f.URL + "/" + info.URL)
			if err != nil {
				t.Error(err)
				early <- 0
				return
			}
			defer resp.Body.Close()
			first := make([]byte, 1<<20)
			got, err := io.ReadFull(resp.Body, first)
			if err != nil {
				t.Errorf("%d bytes, %v", got, err)
			}
			early <- got
			rest, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(append(first[:got], rest...), file) {
				t.Errorf("%d bytes of %d, %v", got+len(rest), len(file), err)
			}
		})
	}
	for range clients {
		select {
		case <-early:
		case <-time.After(20 * time.Second):
			t.Error("a client got nothing before the upstream was done")
			once.Do(func() { close(gate) })
		}
	}
	once.Do(func() { close(gate) })
	wg.Wait()
	if n := o.proxy.Count("GET /nar/"); n != 1 {
		t.Errorf("%d requests to the upstream", n)
	}
}

// slowly holds back the rest of a NAR until the gate opens.
type slowly struct {
	next  http.Handler
	gate  chan struct{}
	after int64
}

func (s *slowly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/nar/") {
		w = &slowWriter{ResponseWriter: w, s: s}
	}
	s.next.ServeHTTP(w, r)
}

type slowWriter struct {
	http.ResponseWriter
	s *slowly
	n int64
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.n += int64(len(p)); w.n > w.s.after {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		<-w.s.gate
	}
	return w.ResponseWriter.Write(p)
}

// Ranges and HEAD are the same of what is on its way and of what is kept.
func TestRanges(t *testing.T) {
	o := newOrigin(t, binarycache.None)
	size := 0
	check := func(t *testing.T, f *front, url string, file []byte) {
		for _, c := range []struct {
			header      string
			status      int
			first, last int
		}{
			{"", 200, 0, size - 1},
			{"bytes=0-", 206, 0, size - 1},
			{"bytes=0-0", 206, 0, 0},
			{"bytes=1000-1999", 206, 1000, 1999},
			{fmt.Sprintf("bytes=%d-", size-5), 206, size - 5, size - 1},
			{fmt.Sprintf("bytes=5-%d", size+100), 206, 5, size - 1},
			{"bytes=-7", 206, size - 7, size - 1},
			{fmt.Sprintf("bytes=-%d", size+7), 206, 0, size - 1},
			{fmt.Sprintf("bytes=%d-", size), 416, 0, -1},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				if method == "HEAD" && c.header != "" {
					continue
				}
				r := f.do(t, method, url, "Range", c.header)
				if r.status != c.status || r.err != nil {
					t.Errorf("%s %q: status %d, %v", method, c.header, r.status, r.err)
					continue
				}
				if c.status == 416 {
					continue
				}
				want := file[c.first : c.last+1]
				if got := r.header.Get("Content-Length"); got != fmt.Sprint(len(want)) {
					t.Errorf("%s %q: length %s, want %d", method, c.header, got, len(want))
				}
				if r.header.Get("Etag") == "" || r.header.Get("Accept-Ranges") != "bytes" || r.header.Get("Content-Type") != "application/x-nix-nar" {
					t.Errorf("%s %q: %v", method, c.header, r.header)
				}
				if want := fmt.Sprintf("bytes %d-%d/%d", c.first, c.last, size); c.status == 206 && r.header.Get("Content-Range") != want {
					t.Errorf("%q: range %q, want %q", c.header, r.header.Get("Content-Range"), want)
				}
				if method == "GET" && !bytes.Equal(r.body, want) {
					t.Errorf("%q: %d other bytes", c.header, len(r.body))
				}
			}
		}
	}
	for _, bytesOf := range []int{5000, large} {
		n, file := o.add(t, "ranged", bytesOf)
		size = len(file)
		t.Run(fmt.Sprint("kept ", bytesOf), func(t *testing.T) {
			m := openMirror(t, t.TempDir(), 1<<30)
			f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: m})
			f.want(t, n, file)
			info, _ := f.narInfo(t, n.Path)
			check(t, f, "/"+info.URL, file)
		})
		t.Run(fmt.Sprint("on its way ", bytesOf), func(t *testing.T) {
			// Each request begins with an empty mirror: none may keep it.
			m := openMirror(t, t.TempDir(), 1)
			f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: m})
			info, _ := f.narInfo(t, n.Path)
			check(t, f, "/"+info.URL, file)
			if files := left(t, m.Root()); len(files) != 0 {
				t.Errorf("kept without room: %v", files)
			}
		})
		for _, spec := range []string{"bytes=1000-1999", "bytes=-7"} {
			t.Run("first of all "+spec, func(t *testing.T) {
				m := openMirror(t, t.TempDir(), 1<<30)
				f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{o.upstream(t)}, Mirror: m})
				info, _ := f.narInfo(t, n.Path)
				want := file[1000:2000]
				if spec == "bytes=-7" {
					want = file[size-7:]
				}
				if r := f.do(t, "GET", "/"+info.URL, "Range", spec); r.status != 206 || !bytes.Equal(r.body, want) {
					t.Errorf("status %d, %d bytes, %v", r.status, len(r.body), r.err)
				}
				f.want(t, n, file)
			})
		}
	}
}

// A directory is served as it is, as nginx would.
func TestPlainDirectory(t *testing.T) {
	o := newOrigin(t, binarycache.Default)
	n, file := o.add(t, "base", small)
	f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{dirUpstream(t, o.dir)}})
	got, r := f.narInfo(t, n.Path)
	if got.URL != n.URL || r.header.Get("Content-Type") != "text/x-nix-narinfo" {
		t.Errorf("%s, %v", got.URL, r.header)
	}
	f.want(t, n, file)
	// What changes on the disk is seen at once, absence as well.
	late := f.do(t, "GET", "/"+strings.Repeat("a", 32)+".narinfo")
	if late.status != http.StatusNotFound {
		t.Errorf("status %d", late.status)
	}
	m, mFile := o.add(t, "late", small)
	f.want(t, m, mFile)
	if r := f.do(t, "GET", "/public-keys"); !strings.Contains(string(r.body), o.key.Public().String()) {
		t.Errorf("%d: %s", r.status, r.body)
	}
}

// Several caches are asked in their order; directories among them serve from
// where they are.
func TestOrder(t *testing.T) {
	near, far := newOrigin(t, binarycache.Default), newOrigin(t, binarycache.Default)
	far.seed = 100
	a, aFile := near.add(t, "a", large)
	b, bFile := far.add(t, "b", small, a.Path)
	root := t.TempDir()
	m := openMirror(t, root, 1<<30)
	f := newFront(t, substituter.Options{Upstreams: []substituter.Upstream{dirUpstream(t, near.dir), far.upstream(t)}, Mirror: m})
	f.want(t, a, aFile)
	f.want(t, b, bFile)
	f.settle(t, func() bool { return m.Usage().Objects == 1 })
	if far.proxy.Count("GET /"+a.Path.HashPart()) != 0 {
		t.Error("the second cache was asked for what the first has")
	}
}
