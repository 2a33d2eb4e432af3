package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/s3test"

	"github.com/google/go-cmp/cmp"
)

// impatient makes tests of failures short.
func impatient(c *s3.Config) {
	c.Retry = remote.Retry{Attempts: 5, Base: time.Millisecond}
	c.Stall = 400 * time.Millisecond
	c.PartSize, c.Buffer = 5<<20, 20<<20
	c.VerifyUploads = true
}

// behind is a store that reaches its server through a proxy.
type behind struct {
	server *s3test.Server
	proxy  *s3test.Proxy
	bucket string
	store  *s3.Store
	state  string // folder for locks, of tests of resuming
}

func eachBehind(t *testing.T, test func(t *testing.T, b *behind)) {
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		test(t, newBehind(t, server))
	})
}

func newBehind(t *testing.T, server *s3test.Server) *behind {
	b := &behind{server: server, proxy: s3test.NewProxy(t, server.Addr), bucket: server.Bucket(t)}
	b.store = open(t, "s3://"+b.bucket+"?scheme=http&endpoint="+b.proxy.Addr, impatient)
	return b
}

func (b *behind) put(t *testing.T, key, data string) {
	t.Helper()
	if err := b.store.Put(t.Context(), key, strings.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func (b *behind) want(t *testing.T, key, data string) {
	t.Helper()
	got, err := blob.ReadAll(t.Context(), b.store, key, 1<<30)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if string(got) != data {
		t.Errorf("get %s: %d bytes came back, not the %d that were put", key, len(got), len(data))
	}
}

// large is more than one part, and has no two equal pages.
func large(n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "line %d of a large object\n", b.Len())
	}
	return b.String()[:n]
}

// everything uses every operation, objects in one part and in several, of known
// and unknown size, and checks what comes back.
func (b *behind) everything(t *testing.T, answersCome bool) {
	t.Helper()
	small, big := "small content", large(6<<20)
	b.put(t, "a/small", small)
	b.put(t, "a/big", big)
	if err := b.store.Put(t.Context(), "a/stream", io.MultiReader(strings.NewReader(big)), -1); err != nil {
		t.Fatalf("put a/stream: %v", err)
	}
	b.want(t, "a/small", small)
	b.want(t, "a/big", big)
	b.want(t, "a/stream", big)
	if info, err := b.store.Stat(t.Context(), "a/big"); err != nil || info.Size != int64(len(big)) {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if _, err := b.store.Stat(t.Context(), "a/nothing"); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("stat of nothing: %v", err)
	}
	if _, err := b.store.Open(t.Context(), "a/nothing"); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("open of nothing: %v", err)
	}
	for i, data := range []string{"x", "y"} {
		if existed, err := b.store.PutNew(t.Context(), "a/new", strings.NewReader(data), 1); err != nil || existed != (i > 0) {
			t.Errorf("put new: existed %v, %v", existed, err)
		}
	}
	b.want(t, "a/new", "x")
	if diff := cmp.Diff([]string{"a/big", "a/new", "a/small", "a/stream"}, b.list(t, "")); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if err := b.store.Delete(t.Context(), "a/small"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	b.proxy.Rule(nil)
	if diff := cmp.Diff([]string{"a/big", "a/new", "a/stream"}, b.server.Names(t, b.bucket)); diff != "" {
		t.Errorf("in the bucket: %s", diff)
	}
	// An upload of whose beginning nobody has heard cannot be taken back.
	if n := b.server.Uploads(t, b.bucket); n != 0 && answersCome {
		t.Errorf("%d uploads were left unfinished", n)
	}
}

func (b *behind) list(t *testing.T, prefix string) []string {
	t.Helper()
	keys := []string{}
	for info, err := range b.store.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func every(nth int, f s3test.Fault) func(int, *http.Request) s3test.Fault {
	return func(n int, _ *http.Request) s3test.Fault {
		if n%nth == 0 {
			return f
		}
		return s3test.Fault{}
	}
}

func TestPassingFaultsPass(t *testing.T) {
	html := "<html><body>please log in</body></html>"
	faults := map[string]s3test.Fault{
		"503 SlowDown":            {Status: 503, Code: "SlowDown"},
		"429":                     {Status: 429, Code: "TooManyRequests"},
		"500 InternalError":       {Status: 500, Code: "InternalError"},
		"502 of a proxy":          {Status: 502, Body: &html},
		"504":                     {Status: 504, Code: ""},
		"reset":                   {Reset: true},
		"answer lost":             {Lost: true},
		"request cut":             {CutRequest: 1000},
		"request changed":         {FlipRequest: true},
		"answer's body cut":       {CutBody: 100},
		"answer's body truncated": {Truncate: 100},
		"latency":                 {Delay: 30 * time.Millisecond},
	}
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		for name, f := range faults {
			t.Run(name, func(t *testing.T) {
				b := newBehind(t, server)
				b.proxy.Rule(func(n int, r *http.Request) s3test.Fault {
					if n%3 != 0 || f.FlipRequest && r.Method != http.MethodPut {
						return s3test.Fault{}
					}
					return f
				})
				b.everything(t, !f.Lost && f.CutBody == 0 && f.Truncate == 0)
			})
		}
	})
}

// A server that is asked too much is asked less.
func TestThrottlingLowersTheLimit(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		full := b.store.Requests()
		b.proxy.Rule(func(n int, _ *http.Request) s3test.Fault {
			if n <= 2 {
				return s3test.Fault{Status: 503, Code: "SlowDown"}
			}
			return s3test.Fault{}
		})
		b.put(t, "k", "x")
		if got := b.store.Requests(); got >= full/2 || got < full/4-1 {
			t.Errorf("after two complaints %d requests at once instead of %d", got, full)
		}
		low := b.store.Requests()
		for range 3 * low {
			b.want(t, "k", "x")
		}
		if got := b.store.Requests(); got <= low || got > low+4 {
			t.Errorf("after %d good answers %d requests at once instead of %d", 3*low, got, low)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	b := newBehind(t, server)
	b.put(t, "k", "x")
	once := func(f s3test.Fault) func(int, *http.Request) s3test.Fault {
		return func(n int, _ *http.Request) s3test.Fault {
			if n == 1 {
				return f
			}
			return s3test.Fault{}
		}
	}
	started := time.Now()
	b.proxy.Rule(once(s3test.Fault{Status: 503, Code: "SlowDown", Header: map[string]string{"Retry-After": "1"}}))
	b.want(t, "k", "x")
	if waited := time.Since(started); waited < time.Second || waited > 3*time.Second {
		t.Errorf("waited %v, asked for 1 s", waited)
	}
	b.proxy.Rule(once(s3test.Fault{Status: 503, Code: "SlowDown", Header: map[string]string{"Retry-After": "7200"}}))
	_, err := b.store.Stat(t.Context(), "k")
	var refused *s3.Error
	if !errors.As(err, &refused) || refused.Code == "" || !strings.Contains(err.Error(), "2h0m0s") {
		t.Errorf("asked to wait two hours: %v", err)
	}
}

// What does not pass is an error after a bounded number of tries, and nothing
// is left behind.
func TestLastingFaultsEnd(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		b.put(t, "there", "x")
		operations := map[string]func() error{
			"open": func() error { _, err := blob.ReadAll(t.Context(), b.store, "there", 10); return err },
			"stat": func() error { _, err := b.store.Stat(t.Context(), "there"); return err },
			"put":  func() error { return b.store.Put(t.Context(), "new", strings.NewReader("x"), 1) },
			"put in parts": func() error {
				return b.store.Put(t.Context(), "new", strings.NewReader(large(6<<20)), -1)
			},
			"put new": func() error { _, err := b.store.PutNew(t.Context(), "new", strings.NewReader("x"), 1); return err },
			"list": func() error {
				for _, err := range b.store.List(t.Context(), "") {
					if err != nil {
						return err
					}
				}
				return nil
			},
			"delete": func() error { return b.store.Delete(t.Context(), "there") },
		}
		for name, f := range map[string]s3test.Fault{
			"503":   {Status: 503, Code: "SlowDown"},
			"reset": {Reset: true},
			"403":   {Status: 403, Code: "AccessDenied"},
			"html":  {Status: 200, Body: new("<html>welcome</html>")},
			"empty": {Status: 200, Body: new("")},
		} {
			for op, do := range operations {
				b.proxy.Rule(func(int, *http.Request) s3test.Fault { return f })
				err := do()
				if op == "delete" && f.Status == 200 && err == nil {
					continue // the client takes any 200 for done, as S3's 204
				}
				if err == nil || errors.Is(err, blob.ErrNotExist) {
					t.Errorf("%s, always %s: %v", op, name, err)
				}
				if n := len(b.proxy.Seen()); n > 12 {
					t.Errorf("%s, always %s: %d requests", op, name, n)
				}
			}
		}
		b.proxy.Rule(nil)
		if diff := cmp.Diff([]string{"there"}, b.server.Names(t, b.bucket)); diff != "" {
			t.Errorf("in the bucket: %s", diff)
		}
	})
}

// When nothing moves any more a request is given up, not waited for.
func TestStall(t *testing.T) {
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	b := newBehind(t, server)
	b.put(t, "k", "x")
	for name, do := range map[string]func() error{
		"stat": func() error { _, err := b.store.Stat(t.Context(), "k"); return err },
		"put":  func() error { return b.store.Put(t.Context(), "k", strings.NewReader("y"), 1) },
	} {
		b.proxy.Rule(func(n int, _ *http.Request) s3test.Fault { return s3test.Fault{Hang: n == 1} })
		if err := do(); err != nil {
			t.Errorf("%s that hangs once: %v", name, err)
		}
		b.proxy.Rule(func(int, *http.Request) s3test.Fault { return s3test.Fault{Hang: true} })
		started := time.Now()
		if err := do(); !errors.Is(err, remote.ErrStalled) {
			t.Errorf("%s that hangs: %v", name, err)
		}
		if waited := time.Since(started); waited > 10*time.Second {
			t.Errorf("%s that hangs: given up after %v", name, waited)
		}
	}
}

// Whatever goes on, the end of the context ends it.
func TestCancel(t *testing.T) {
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	b := newBehind(t, server)
	b.put(t, "k", large(300_000))
	data := large(30 << 20)
	operations := map[string]func(ctx context.Context) error{
		"open":         func(ctx context.Context) error { _, err := blob.ReadAll(ctx, b.store, "k", 1<<20); return err },
		"stat":         func(ctx context.Context) error { _, err := b.store.Stat(ctx, "k"); return err },
		"put":          func(ctx context.Context) error { return b.store.Put(ctx, "new", strings.NewReader("x"), 1) },
		"put in parts": func(ctx context.Context) error { return b.store.Put(ctx, "new", strings.NewReader(data), -1) },
		"put new": func(ctx context.Context) error {
			_, err := b.store.PutNew(ctx, "new", strings.NewReader("x"), 1)
			return err
		},
		"delete": func(ctx context.Context) error { return b.store.Delete(ctx, "new") },
		"list": func(ctx context.Context) error {
			var last error
			for _, err := range b.store.List(ctx, "") {
				last = err
			}
			return last
		},
	}
	for situation, f := range map[string]s3test.Fault{
		"hanging":      {Hang: true},
		"asked to try": {Status: 503, Code: "SlowDown", Header: map[string]string{"Retry-After": "60"}},
		"slow":         {Delay: 200 * time.Millisecond},
	} {
		for name, do := range operations {
			b.proxy.Rule(func(int, *http.Request) s3test.Fault { return f })
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(100*time.Millisecond, cancel)
			started := time.Now()
			err := do(ctx)
			if took := time.Since(started); took > 1100*time.Millisecond {
				t.Errorf("%s, %s: ended after %v", name, situation, took)
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s, %s: %v", name, situation, err)
			}
			timer.Stop()
			cancel()
			if _, err := b.store.Stat(ctx, "k"); !errors.Is(err, context.Canceled) {
				t.Errorf("with a context that has ended: %v", err)
			}
		}
	}
	b.proxy.Rule(nil)
	if n := b.server.Uploads(t, b.bucket); n != 0 {
		t.Errorf("%d uploads were left", n)
	}
}
