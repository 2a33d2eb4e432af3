package s3test_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/blobtest"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// closure has shared references, two paths of equal contents and one NAR of
// several parts, which does not compress.
const closure = `let
	base = sh "base-1.0" "echo base > $out";
	twin1 = sh "twin-a" "echo same > $out";
	twin2 = sh "twin-b" "echo same > $out";
	large = sh "large" "i=0; while [ $i -lt 300 ]; do echo line $i of a large file; i=$((i+1)); done > $out";
	huge = sh "huge" "head -c 6000000 /dev/urandom > $out";
	tool = sh "tool-2.1" "mkdir -p $out/bin; printf '#!/bin/sh\necho ${base}\n' > $out/bin/tool; chmod +x $out/bin/tool";
	in sh "top" "mkdir $out; ln -s ${tool} $out/tool; ln -s ${twin1} $out/a; ln -s ${twin2} $out/b; ln -s ${large} $out/large; ln -s ${huge} $out/huge"`

type fixture struct {
	env   *nixtest.Env
	store *nixstore.Store
	top   nix.StorePath
	key   nix.SecretKey
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{env: nixtest.New(t)}
	f.top = nix.StorePath(f.env.Build(t, closure))
	var err error
	if f.store, err = nixstore.Open(f.env.Root); err != nil {
		t.Fatal(err)
	}
	if f.key, err = nix.GenerateKey("test-1"); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) push(ctx context.Context, s blob.Store) (cache.Result, error) {
	sink, err := binarycache.OpenSink(ctx, s, binarycache.SinkOptions{Name: "test", Keys: []nix.SecretKey{f.key}})
	if err != nil {
		return cache.Result{}, err
	}
	defer func() { _ = sink.Release(ctx) }()
	return cache.Copy(ctx, sink, f.store, []nix.StorePath{f.top}, cache.Options{})
}

// pull copies the closure into another Nix's empty store and has that Nix check
// it.
func (f *fixture) pull(t *testing.T, s blob.Reader) {
	t.Helper()
	other := nixtest.Another(t)
	store, err := nixstore.Open(other.Root)
	if err != nil {
		t.Fatal(err)
	}
	sink := store.Sink(true)
	defer sink.Close()
	source, err := binarycache.OpenSource(t.Context(), s, binarycache.SourceOptions{Name: "test", Trusted: []nix.PublicKey{f.key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Copy(t.Context(), sink, source, []nix.StorePath{f.top}, cache.Options{}); err != nil {
		t.Fatal(err)
	}
	want, got := f.env.Closure(t, string(f.top)), other.Closure(t, string(f.top))
	for path, info := range want {
		info.Signatures = got[path].Signatures // the source's are unsigned
		want[path] = info
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what came back differs: %s", diff)
	}
	other.Run(t, "nix-store", "--verify", "--check-contents")
}

func open(t *testing.T, address string) *s3.Store {
	t.Helper()
	c, _, err := s3.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	c.PartSize, c.Buffer = 5<<20, 20<<20
	c.Retry = remote.Retry{Attempts: 2}
	s, err := s3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// check fails if a visible path lacks a reference or its NAR, and returns how
// many are visible.
func check(t *testing.T, s blob.Store) (visible int) {
	t.Helper()
	sizes := map[string]int64{}
	var infos []string
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		sizes[info.Key] = info.Size
		if strings.HasSuffix(info.Key, ".narinfo") {
			infos = append(infos, info.Key)
		}
	}
	for _, key := range infos {
		data, err := blob.ReadAll(t.Context(), s, key, nix.MaxNARInfoSize)
		if err != nil {
			t.Fatal(err)
		}
		n, err := nix.ParseNARInfo(nix.DefaultStoreDir, data)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if sizes[n.URL] != n.FileSize || n.FileSize == 0 {
			t.Errorf("%s is visible, its NAR has %d of %d bytes", n.Path, sizes[n.URL], n.FileSize)
		}
		for _, r := range n.References {
			if _, ok := sizes[r.HashPart()+".narinfo"]; !ok {
				t.Errorf("%s is visible, and %s, which it refers to, is not", n.Path, r)
			}
		}
	}
	return len(infos)
}

func TestPushAndPull(t *testing.T) {
	f := newFixture(t)
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		bucket := server.Bucket(t)
		s := open(t, server.Address(bucket+"/a/prefix"))
		r, err := f.push(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if n := check(t, s); n != len(r.Outcomes) {
			t.Errorf("%d of %d paths are visible", n, len(r.Outcomes))
		}
		f.pull(t, s)
		r, err = f.push(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Outcomes {
			if o.Action != cache.Skipped {
				t.Errorf("pushed again: %s is %s", o.Info.Path, o.Action)
			}
		}
	})
}

// finish pushes again after an interruption, without any, and checks the whole.
func (f *fixture) finish(t *testing.T, s blob.Store, when int) {
	t.Helper()
	check(t, s)
	r, err := f.push(t.Context(), s)
	if err != nil {
		t.Fatalf("after an interruption at %d: %v", when, err)
	}
	if got := check(t, s); got != len(r.Outcomes) {
		t.Fatalf("after an interruption at %d: %d of %d visible", when, got, len(r.Outcomes))
	}
}

// A push that is cut off at any call of the store leaves whole closures only,
// and the next push finishes it.
func TestPushSurvivesFaultsAtEveryCall(t *testing.T) {
	f := newFixture(t)
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		probe := &blobtest.Faulty{Store: open(t, server.Address(server.Bucket(t))), N: 1 << 30}
		if _, err := f.push(t.Context(), probe); err != nil {
			t.Fatal(err)
		}
		calls := probe.Calls()
		for n := range calls {
			bucket := server.Bucket(t)
			s := open(t, server.Address(bucket))
			if _, err := f.push(t.Context(), &blobtest.Faulty{Store: s, N: n}); err == nil {
				t.Fatalf("a push that was cut off at call %d of %d reports success", n, calls)
			}
			f.finish(t, s, int(n))
			if n := server.Uploads(t, bucket); n != 0 {
				t.Errorf("%d uploads left", n)
			}
		}
		t.Logf("%d calls, a fault at each", calls)
	})
}

// The same for every request on the wire: from the nth on the network is gone,
// and of the nth itself the server has heard, but not its sender.
func TestPushSurvivesALostNetwork(t *testing.T) {
	f := newFixture(t)
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	proxy := s3test.NewProxy(t, server.Addr)
	through := func(bucket string) *s3.Store {
		return open(t, "s3://"+bucket+"?scheme=http&endpoint="+proxy.Addr)
	}
	if _, err := f.push(t.Context(), through(server.Bucket(t))); err != nil {
		t.Fatal(err)
	}
	requests := len(proxy.Seen())
	// The last of all gives the lease back, when everything is done: a lease
	// that stays ends by itself.
	if last := proxy.Seen()[requests-1]; !strings.HasPrefix(last, "DELETE ") || !strings.Contains(last, "/leases/") {
		t.Fatalf("the last request is %s", last)
	}
	for n := 1; n < requests; n += 2 {
		bucket := server.Bucket(t)
		proxy.Rule(func(i int, _ *http.Request) s3test.Fault {
			return s3test.Fault{Lost: i == n, Reset: i > n}
		})
		_, err := f.push(t.Context(), through(bucket))
		if err == nil {
			t.Fatalf("a push whose network went at request %d of %d reports success", n, requests)
		}
		var refused *s3.Error
		if !errors.As(err, &refused) || refused.Status != 0 {
			t.Errorf("at request %d: %v", n, err)
		}
		proxy.Rule(nil)
		f.finish(t, through(bucket), n)
	}
	t.Logf("%d requests", requests)
}

// Through a server that refuses every third request, forgets every fifth answer
// and is slow, a push and a pull come to the same end.
func TestPushThroughABadServer(t *testing.T) {
	f := newFixture(t)
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		proxy := s3test.NewProxy(t, server.Addr)
		c, _, err := s3.ParseAddress("s3://" + server.Bucket(t) + "?scheme=http&endpoint=" + proxy.Addr)
		if err != nil {
			t.Fatal(err)
		}
		c.PartSize, c.Buffer = 5<<20, 20<<20
		s, err := s3.New(c)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		proxy.Rule(func(n int, _ *http.Request) s3test.Fault {
			switch {
			case n%3 == 0:
				return s3test.Fault{Status: 503, Code: "SlowDown"}
			case n%5 == 0:
				return s3test.Fault{Lost: true}
			case n%7 == 0:
				return s3test.Fault{CutBody: 10}
			}
			return s3test.Fault{Delay: 1e6}
		})
		r, err := f.push(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if n := check(t, s); n != len(r.Outcomes) {
			t.Errorf("%d of %d paths are visible", n, len(r.Outcomes))
		}
		f.pull(t, s)
	})
}

// What is not the bytes that were put must not reach a store.
func TestPullFromALyingServer(t *testing.T) {
	f := newFixture(t)
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	proxy := s3test.NewProxy(t, server.Addr)
	s := open(t, "s3://"+server.Bucket(t)+"?scheme=http&endpoint="+proxy.Addr)
	if _, err := f.push(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]s3test.Fault{
		"a bit changed":    {FlipBody: true},
		"always cut off":   {CutBody: 10},
		"always too short": {Truncate: 10},
		"another body":     {Replace: new("not what was asked for")},
	} {
		for _, what := range []string{".narinfo", "/nar/"} {
			proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
				if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, what) {
					return s3test.Fault{}
				}
				return fault
			})
			other := nixtest.Another(t)
			store, err := nixstore.Open(other.Root)
			if err != nil {
				t.Fatal(err)
			}
			sink := store.Sink(true)
			source, err := binarycache.OpenSource(t.Context(), s, binarycache.SourceOptions{Name: "test", Trusted: []nix.PublicKey{f.key.Public()}})
			if err == nil {
				_, err = cache.Copy(t.Context(), sink, source, []nix.StorePath{f.top}, cache.Options{})
			}
			sink.Close()
			if err == nil {
				t.Errorf("%s, of %s: pulled all the same", name, what)
			}
			if out, err := other.Try("nix", "path-info", string(f.top)); err == nil {
				t.Errorf("%s, of %s: the path is valid: %s", name, what, out)
			}
		}
	}
}
