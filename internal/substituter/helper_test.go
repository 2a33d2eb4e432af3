package substituter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/blob/httpread"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/mirror"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"
	"gitlab.com/pantheros/pantheros/internal/s3test"
	"gitlab.com/pantheros/pantheros/internal/substituter"
	"gitlab.com/pantheros/pantheros/internal/webserver"

	"crypto/sha256"

	"github.com/prometheus/client_golang/prometheus"
)

// origin is a signed cache in a directory, behind a web server and a proxy
// that makes faults.
type origin struct {
	dir   string
	key   nix.SecretKey
	sink  *binarycache.Sink
	proxy *s3test.Proxy
	web   *httptest.Server
	seed  uint64
}

func newOrigin(t testing.TB, level binarycache.Level) *origin {
	t.Helper()
	o := &origin{dir: t.TempDir(), seed: 1}
	var err error
	if o.key, err = nix.GenerateKey("origin-1"); err != nil {
		t.Fatal(err)
	}
	store, err := dir.New(o.dir)
	if err != nil {
		t.Fatal(err)
	}
	if o.sink, err = binarycache.OpenSink(t.Context(), store, binarycache.SinkOptions{Name: "origin", Keys: []nix.SecretKey{o.key}, Level: level}); err != nil {
		t.Fatal(err)
	}
	o.web = httptest.NewServer(http.FileServer(http.Dir(o.dir)))
	t.Cleanup(o.web.Close)
	o.proxy = s3test.NewProxy(t, strings.TrimPrefix(o.web.URL, "http://"))
	return o
}

// makeNAR makes a NAR of a file of so many random bytes, and its path's info.
func makeNAR(t testing.TB, name string, size int, seed uint64, refs ...nix.StorePath) (nix.PathInfo, []byte) {
	t.Helper()
	content := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 7))
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := nar.Dump(&b, file); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(fmt.Sprint(name, size, seed)))
	p, err := nix.BaseStorePath(nix.DefaultStoreDir, nix.EncodeBase32(sum[:20])+"-"+name)
	if err != nil {
		t.Fatal(err)
	}
	return nix.PathInfo{Path: p, NARHash: sha256.Sum256(b.Bytes()), NARSize: int64(b.Len()), References: refs}, b.Bytes()
}

// add puts a path into the cache and returns its narinfo and its file.
func (o *origin) add(t testing.TB, name string, size int, refs ...nix.StorePath) (nix.NARInfo, []byte) {
	t.Helper()
	o.seed++
	info, data := makeNAR(t, name, size, o.seed, refs...)
	n, err := o.sink.PutNAR(t.Context(), info, bytes.NewReader(data))
	if err == nil {
		err = o.sink.Publish(t.Context(), []nix.NARInfo{n})
	}
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(o.dir, n.Path.HashPart()+".narinfo"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err = nix.ParseNARInfo(nix.DefaultStoreDir, written); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(o.dir, n.URL))
	if err != nil {
		t.Fatal(err)
	}
	return n, file
}

// upstream reads the origin through its proxy.
func (o *origin) upstream(t testing.TB) substituter.Upstream {
	t.Helper()
	r, err := httpread.New(httpread.Config{URL: "http://" + o.proxy.Addr, NetrcFiles: []string{}, Retry: remote.Retry{Attempts: 2, Base: time.Millisecond}, Stall: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return substituter.Upstream{Name: "http://" + o.proxy.Addr, Reader: r}
}

// front is a server of a Cache with a mirror.
type front struct {
	*substituter.Cache
	URL    string
	Mirror *mirror.Mirror
	client *http.Client

	mu     sync.Mutex
	events []substituter.Event
}

func newFront(t testing.TB, o substituter.Options) *front {
	t.Helper()
	f := &front{Mirror: o.Mirror, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}}
	o.Event = func(e substituter.Event) {
		f.mu.Lock()
		f.events = append(f.events, e)
		f.mu.Unlock()
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	var err error
	if f.Cache, err = substituter.New(o); err != nil {
		t.Fatal(err)
	}
	server, err := webserver.New(webserver.Options{Handler: f.Cache, Drain: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	f.URL = serveOn(t, server)
	t.Cleanup(func() {
		f.Close()
		f.client.CloseIdleConnections()
	})
	return f
}

func serveOn(t testing.TB, server *webserver.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, []net.Listener{l}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func openMirror(t testing.TB, root string, limit int64) *mirror.Mirror {
	t.Helper()
	m, err := mirror.Open(root, mirror.Options{Max: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// kinds lists the events so far.
func (f *front) kinds() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var words []string
	for _, e := range f.events {
		words = append(words, e.Kind)
	}
	return strings.Join(words, " ")
}

type response struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
}

func (f *front) do(t testing.TB, method, path string, header ...string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return response{err: err}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, data, err}
}

// narInfo asks for a path's narinfo as a client does.
func (f *front) narInfo(t testing.TB, p nix.StorePath) (nix.NARInfo, response) {
	t.Helper()
	r := f.do(t, "GET", "/"+p.HashPart()+".narinfo")
	if r.err != nil || r.status != http.StatusOK {
		return nix.NARInfo{}, r
	}
	n, err := nix.ParseNARInfo(nix.DefaultStoreDir, r.body)
	if err != nil {
		t.Fatalf("%v in\n%s", err, r.body)
	}
	return n, r
}

// fetch asks for a path's narinfo, then for its NAR.
func (f *front) fetch(t testing.TB, p nix.StorePath) response {
	t.Helper()
	n, r := f.narInfo(t, p)
	if r.status != http.StatusOK || r.err != nil {
		return r
	}
	return f.do(t, "GET", "/"+n.URL)
}

// want checks that a path comes whole.
func (f *front) want(t testing.TB, n nix.NARInfo, file []byte) {
	t.Helper()
	r := f.fetch(t, n.Path)
	if r.err != nil || r.status != http.StatusOK || !bytes.Equal(r.body, file) {
		t.Fatalf("%s: status %d, %d bytes of %d, %v: %.200s", n.Path, r.status, len(r.body), len(file), r.err, r.body)
	}
}

// settle waits until what is on its way has arrived or failed.
func (f *front) settle(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not settle")
		}
	}
}

// left lists the files of a directory, but for hidden ones that are fixtures.
func left(t testing.TB, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".lock" && d.Name() != ".mirror" && d.Name() != "nix-cache-info" {
			files = append(files, strings.TrimPrefix(path, root+"/"))
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func dirUpstream(t testing.TB, root string) substituter.Upstream {
	t.Helper()
	store, err := dir.New(root)
	if err != nil {
		t.Fatal(err)
	}
	return substituter.Upstream{Name: "file://" + root, Reader: store, Dir: root}
}
