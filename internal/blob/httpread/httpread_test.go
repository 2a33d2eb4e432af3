package httpread

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/blobtest"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var impatient = remote.Retry{Attempts: 4, Base: time.Millisecond}

func newReader(t testing.TB, url string, with ...func(*Config)) *Reader {
	t.Helper()
	c := Config{URL: url, NetrcFiles: []string{}, Stall: 400 * time.Millisecond, Retry: impatient}
	for _, w := range with {
		w(&c)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// files serves the files of a directory, and nothing for folders.
func files(root string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path := filepath.Join(root, strings.TrimPrefix(r.URL.Path, "/cache"))
		f, err := os.Open(path)
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", info.ModTime(), f)
	}
}

// split is a directory that is written directly and read through a web server.
type split struct {
	*dir.Store
	reader *Reader
}

func (s *split) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	return s.reader.Open(ctx, key)
}

func (s *split) Stat(ctx context.Context, key string) (blob.Info, error) {
	return s.reader.Stat(ctx, key)
}

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		root := t.TempDir()
		store, err := dir.New(root)
		if err != nil {
			t.Fatal(err)
		}
		return &split{store, newReader(t, serve(t, files(root))+"/cache")}
	})
}

const text = "an object of a cache"

func read(t *testing.T, r *Reader, key string) (string, error) {
	t.Helper()
	data, err := blob.ReadAll(t.Context(), r, key, 10<<20)
	return string(data), err
}

func TestAnswers(t *testing.T) {
	for status, want := range map[int]struct {
		absent bool
		tries  int
		hint   string
	}{
		404: {absent: true, tries: 1},
		410: {absent: true, tries: 1},
		400: {tries: 1, hint: "HTTP 400 Bad Request"},
		401: {tries: 1, hint: "netrc file ("},
		403: {tries: 1, hint: "may also be absent"},
		407: {tries: 1, hint: "HTTPS_PROXY"},
		416: {tries: 1, hint: "HTTP 416"},
		418: {tries: 1, hint: "HTTP 418"},
		599: {tries: 1, hint: "HTTP 599"},
		408: {tries: 4, hint: "tried 4 times"},
		429: {tries: 4, hint: "HTTP 429"},
		500: {tries: 4, hint: "HTTP 500"},
		502: {tries: 4, hint: "HTTP 502"},
		503: {tries: 4, hint: "HTTP 503"},
		504: {tries: 4, hint: "HTTP 504"},
		522: {tries: 4, hint: "HTTP 522"},
	} {
		n := 0
		r := newReader(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			n++
			w.WriteHeader(status)
		}))
		_, openErr := r.Open(t.Context(), "k")
		if n != want.tries {
			t.Errorf("%d: %d tries", status, n)
		}
		_, statErr := r.Stat(t.Context(), "k")
		for op, err := range map[string]error{"open": openErr, "stat": statErr} {
			if errors.Is(err, blob.ErrNotExist) != want.absent || err == nil || !strings.Contains(err.Error(), want.hint) {
				t.Errorf("%d, %s: %v", status, op, err)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	var at []time.Time
	r := newReader(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if at = append(at, time.Now()); len(at) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, text)
	}))
	if got, err := read(t, r, "k"); err != nil || got != text || len(at) != 2 || at[1].Sub(at[0]) < time.Second {
		t.Errorf("%q, %v, asked at %v", got, err, at)
	}
}

// flaky serves text in pieces of at most piece bytes, then breaks off.
func flaky(data string, piece int, header map[string]string, ranges bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		offset := 0
		if ranges && r.Header.Get("Range") != "" {
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &offset)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, len(data)-1, len(data)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)-offset))
		if offset > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		io.WriteString(w, data[offset:min(len(data), offset+piece)])
	}
}

func TestBrokenBodies(t *testing.T) {
	data := strings.Repeat("0123456789", 100_000)
	etag := map[string]string{"ETag": `"1"`, "Content-Type": "application/x-nix-nar"}
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		whole   bool
	}{
		"read on with ranges":         {flaky(data, 300_000, etag, true), true},
		"date instead of a tag":       {flaky(data, 300_000, map[string]string{"Last-Modified": "Mon, 02 Jan 2006 15:04:05 GMT"}, true), true},
		"no progress":                 {flaky(data, 0, etag, true), false},
		"hardly any progress":         {flaky(data, 1000, etag, true), false},
		"without ranges":              {flaky(data, 300_000, etag, false), false},
		"without anything to compare": {flaky(data, 300_000, nil, true), false},
		"weak tag":                    {flaky(data, 300_000, map[string]string{"ETag": `W/"1"`}, true), false},
	} {
		r := newReader(t, serve(t, tt.handler))
		got, err := read(t, r, "k")
		if tt.whole && (err != nil || got != data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if !tt.whole && err == nil {
			t.Errorf("%s: %d of %d bytes were taken for the whole", name, len(got), len(data))
		}
	}
	// Without ranges the start is skipped, if it is the same object.
	n := 0
	r := newReader(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		flaky(data, []int{300_000, len(data)}[min(n-1, 1)], etag, false)(w, r)
	}))
	if got, err := read(t, r, "k"); err != nil || got != data {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// Another object of the name.
	n = 0
	r = newReader(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		flaky(data, 300_000, map[string]string{"ETag": fmt.Sprintf(`"%d"`, n)}, false)(w, r)
	}))
	if _, err := read(t, r, "k"); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("%v", err)
	}
}

func TestStall(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"before the answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"in the body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		started := time.Now()
		if _, err := read(t, newReader(t, serve(t, handler)), "k"); !errors.Is(err, remote.ErrStalled) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
	// A slow reader is no stall.
	r := newReader(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
	body, err := r.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	time.Sleep(600 * time.Millisecond)
	if got, err := io.ReadAll(body); err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCancel(t *testing.T) {
	r := newReader(t, serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), func(c *Config) { c.Stall = time.Minute })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	started := time.Now()
	if _, err := r.Open(ctx, "k"); !errors.Is(err, context.Canceled) || time.Since(started) > time.Second {
		t.Errorf("%v after %v", err, time.Since(started))
	}
}

func TestLimits(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long", "/endless":
			if r.URL.Path == "/long" {
				w.Header().Set("Content-Length", "2000")
			} else {
				_ = http.NewResponseController(w).Flush()
			}
			io.WriteString(w, strings.Repeat("x", 2000))
		case "/header":
			w.Header().Set("X-Long", strings.Repeat("x", 100<<10))
		case "/login":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<html>log in</html>")
		}
	})
	r := newReader(t, url, func(c *Config) { c.MaxSize = 1000 })
	for key, want := range map[string]string{"long": "the limit is 1000", "endless": "more bytes than the limit", "header": "header", "login": "web page"} {
		if got, err := read(t, r, key); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
	}
}

func TestStatWithoutLength(t *testing.T) {
	for name, refuse := range map[string]int{"HEAD is refused": http.StatusMethodNotAllowed, "HEAD is not known": http.StatusNotImplemented, "no length": 0} {
		size := 1000
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead && refuse != 0 {
				w.WriteHeader(refuse)
				return
			}
			_ = http.NewResponseController(w).Flush() // chunked
			io.WriteString(w, strings.Repeat("x", size))
		})
		r := newReader(t, url)
		if info, err := r.Stat(t.Context(), "k"); err != nil || info.Size != 1000 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		size = 2 << 20
		if _, err := r.Stat(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "does not say its size") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContentEncoding(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, text)
	z.Close()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("asked for %s", got)
		}
		w.Header().Set("Content-Encoding", map[string]string{"/a.ls": "gzip", "/b.ls": "br", "/nar/c": "gzip"}[r.URL.Path])
		w.Write(zipped.Bytes())
	})
	r := newReader(t, url)
	if got, err := read(t, r, "a.ls"); err != nil || got != text {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := read(t, r, "nar/c"); err != nil || got != zipped.String() {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := read(t, r, "b.ls"); err == nil || !strings.Contains(err.Error(), "br") {
		t.Errorf("%v", err)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for url, want := range map[string]string{
		"http://" + l.Addr().String():   "tried 4 times",
		"http://no-such-host.invalid/x": "check the host's name",
	} {
		if _, err := newReader(t, url).Stat(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for address, want := range map[string]Config{
		"https://cache.nixos.org":                         {URL: "https://cache.nixos.org"},
		"https://cache.nixos.org/":                        {URL: "https://cache.nixos.org"},
		"http://localhost:8080/a%20b/c/":                  {URL: "http://localhost:8080/a%20b/c"},
		"https://me:pa%20ss@h/x":                          {URL: "https://h/x", User: "me", Password: "pa ss"},
		"https://h?tls-certificate=/c&tls-private-key=/k": {URL: "https://h", CertFile: "/c", KeyFile: "/k"},
	} {
		got, nix, err := ParseAddress(address)
		if err != nil || len(nix) != 0 {
			t.Errorf("%s: %v, %v", address, nix, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", address, diff)
		}
	}
	if _, nix, err := ParseAddress("https://h?priority=10&trusted=1"); err != nil || nix["priority"] != "10" || nix["trusted"] != "1" {
		t.Errorf("%v, %v", nix, err)
	}
	for address, want := range map[string]string{
		"":                            "does not start with",
		"file:///etc":                 "does not start with",
		"https://":                    "names no host",
		"https://h#x":                 "fragment",
		"https://h?priorty=1":         `did you mean "priority"?`,
		"https://h?tls-certificate=x": "go together",
		"https://me:s3cr3t@h:port/":   "port",
		"https://me:s3cr3t@h?x=1":     "not known",
		"https://h/%zz":               "%zz",
	} {
		_, _, err := ParseAddress(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("https://me:password@host:80/path?priority=1")
	f.Fuzz(func(t *testing.T, address string) {
		c, _, err := ParseAddress(address)
		if err != nil {
			return
		}
		c.NetrcFiles = []string{}
		if c.CertFile != "" {
			return
		}
		r, err := New(c)
		if err != nil {
			t.Fatalf("%q: %+v is refused: %v", address, c, err)
		}
		r.Close()
	})
}
