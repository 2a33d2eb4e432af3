package binarycache

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/google/go-cmp/cmp"
)

// upstreamFixture is a fixture whose store has tool and all below it from an
// upstream cache: signed there, by Nix itself.
type upstreamFixture struct {
	*fixture
	upKey   nix.SecretKey
	upDir   string
	up      blob.Store
	signed  []string // base names without hashes, sorted
	options SinkOptions
}

func newUpstreamFixture(t *testing.T) *upstreamFixture {
	t.Helper()
	u := &upstreamFixture{fixture: newFixture(t), upDir: t.TempDir()}
	var err error
	if u.upKey, err = nix.GenerateKey("upstream-1"); err != nil {
		t.Fatal(err)
	}
	if u.up, err = dir.New(u.upDir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(u.upKey.Marshal()), 0o600); err != nil {
		t.Fatal(err)
	}
	tool := ""
	for path := range u.env.Closure(t, string(u.top)) {
		if strings.HasSuffix(path, "-tool-2.1") {
			tool = path
		}
	}
	u.env.Run(t, "nix", "store", "sign", "--recursive", "--key-file", file, tool)
	u.env.Run(t, "nix", "copy", "--to", "file://"+u.upDir, tool)
	for path := range u.env.Closure(t, tool) {
		u.signed = append(u.signed, nix.StorePath(path).Name())
	}
	slices.Sort(u.signed)
	u.options = SinkOptions{Upstream: Upstream{Keys: []nix.PublicKey{u.upKey.Public()}}}
	return u
}

// by lists names by the reason or, without one, the action.
func by(r cache.Result, what string) []string {
	names := []string{}
	for _, o := range r.Outcomes {
		if o.Reason == what || o.Reason == "" && string(o.Action) == what {
			names = append(names, o.Info.Path.Name())
		}
	}
	slices.Sort(names)
	return names
}

func TestUpstreamPathsAreLeftOut(t *testing.T) {
	u := newUpstreamFixture(t)
	r, err := u.push(t.Context(), u.cache, u.options)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(u.signed, by(r, cache.Upstream)); diff != "" {
		t.Errorf("left out: %s", diff)
	}
	keys, err := ReadUpstreamKeys(t.Context(), u.cache, "test")
	if err != nil || len(keys) != 1 || keys[0] != u.upKey.Public() {
		t.Errorf("the cache says that it relies on %v, %v", keys, err)
	}

	// A client with both caches gets all; one with this alone gets an error.
	trusted := u.key.Public().String() + " " + u.upKey.Public().String()
	both := nixtest.Another(t)
	both.Run(t, "nix-store", "--realise", string(u.top), "--option", "trusted-public-keys", trusted,
		"--option", "substituters", "file://"+u.dir+" file://"+u.upDir)
	both.Run(t, "nix-store", "--verify", "--check-contents")
	one := nixtest.Another(t)
	if out, err := one.Try("nix-store", "--realise", string(u.top), "--option", "trusted-public-keys", trusted, "--option", "substituters", "file://"+u.dir); err == nil {
		t.Errorf("a client without the upstream got %s", out)
	}

	// Pushed again there is nothing to do: the root vouches for the rest.
	if r, err = u.push(t.Context(), u.cache, u.options); err != nil {
		t.Fatal(err)
	}
	if n := len(by(r, cache.Implied)); n != len(r.Outcomes)-1 {
		t.Errorf("%d of %d paths were implied", n, len(r.Outcomes)-1)
	}

	// A push with everything is not misled by the root, which is there.
	if r, err = u.push(t.Context(), u.cache, SinkOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(u.signed, by(r, string(cache.Sent))); diff != "" {
		t.Errorf("sent in full: %s", diff)
	}
	u.stockCopy(t)
}

// A push that has looked at a cache before another began to leave paths out there
// does not take that one's root for complete.
func TestFirstPushThatLeavesPathsOut(t *testing.T) {
	u := newUpstreamFixture(t)
	full, err := OpenSink(t.Context(), u.cache, SinkOptions{Name: "test", Keys: []nix.SecretKey{u.key}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.push(t.Context(), u.cache, u.options); err != nil {
		t.Fatal(err)
	}
	r, err := cache.Copy(t.Context(), full, u.store, []nix.StorePath{u.top}, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(u.signed, by(r, string(cache.Sent))); diff != "" {
		t.Errorf("sent: %s", diff)
	}
	u.stockCopy(t)
}

// A signature must verify: its key's name alone proves nothing.
func TestUpstreamSignaturesAreVerified(t *testing.T) {
	u := newUpstreamFixture(t)
	other, err := nix.GenerateKey(u.upKey.Name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := u.push(t.Context(), u.cache, SinkOptions{Upstream: Upstream{Keys: []nix.PublicKey{other.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := by(r, cache.Upstream); len(got) != 0 {
		t.Errorf("left out: %v", got)
	}
	if keys, err := ReadUpstreamKeys(t.Context(), u.cache, "test"); err != nil || len(keys) != 0 {
		t.Errorf("the cache says that it relies on %v, %v", keys, err)
	}
	u.stockCopy(t)
}

// What the upstream does not have, or has without a good signature, is sent.
func TestUpstreamIsAsked(t *testing.T) {
	u := newUpstreamFixture(t)
	u.options.Upstream.Caches = []UpstreamCache{{Name: "up", Reader: u.up}}
	r, err := u.push(t.Context(), u.cache, u.options)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(u.signed, by(r, cache.Upstream)); diff != "" {
		t.Errorf("left out: %s", diff)
	}
	infos, err := filepath.Glob(u.upDir + "/*.narinfo")
	if err != nil || len(infos) != 2 {
		t.Fatalf("%d narinfos, %v", len(infos), err)
	}
	for i, spoil := range []func(string) error{
		os.Remove,
		func(file string) error {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			return os.WriteFile(file, []byte(strings.Replace(string(data), "Sig: ", "Sig: x", 1)), 0o600)
		},
	} {
		if err := spoil(infos[i]); err != nil {
			t.Fatal(err)
		}
		fresh, err := dir.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if r, err = u.push(t.Context(), fresh, u.options); err != nil {
			t.Fatal(err)
		}
		if got := by(r, cache.Upstream); len(got) != 1-i {
			t.Errorf("with %d bad narinfos left out: %v", i+1, got)
		}
	}
	if err := os.Remove(u.upDir + "/nix-cache-info"); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if _, err = u.push(t.Context(), u.cache, u.options); err != nil {
		t.Errorf("a present root needs no upstream: %v", err)
	}
	empty, err := dir.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = u.push(t.Context(), empty, u.options); !errors.As(err, &refused) {
		t.Errorf("an upstream that is no cache: %v", err)
	}
}

func TestOwnKeyIsNoUpstream(t *testing.T) {
	f := newFixture(t)
	own := SinkOptions{Upstream: Upstream{Keys: []nix.PublicKey{f.key.Public()}}}
	var refused *RefusedError
	for range 2 { // a new cache, and one that lists the key
		if _, err := f.push(t.Context(), f.cache, own); !errors.As(err, &refused) {
			t.Errorf("pushed: %v", err)
		}
		f.mustPush(t)
	}
}

// A manifest says what its closure need not have here, and a pull takes that
// from the upstream.
func TestUpstreamInManifestAndPull(t *testing.T) {
	u := newUpstreamFixture(t)
	u.options.Name, u.options.Keys = "test", []nix.SecretKey{u.key}
	sink, err := OpenSink(t.Context(), u.cache, u.options)
	if err != nil {
		t.Fatal(err)
	}
	r, err := cache.Copy(t.Context(), sink, u.store, []nix.StorePath{u.top}, cache.Options{Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	var all []nix.PathInfo
	for _, o := range r.Outcomes {
		all = append(all, o.Info)
	}
	left := sink.LeftUpstream(all)
	if len(left) != len(u.signed) {
		t.Fatalf("left upstream: %v", left)
	}
	if _, err := sink.PutRoot(t.Context(), Root{Name: "host", Paths: []nix.StorePath{u.top}, Upstream: left}, time.Now()); err != nil {
		t.Fatal(err)
	}
	root, err := NewestRoot(t.Context(), u.cache, "test", nix.DefaultStoreDir, "host")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(left, root.Upstream); diff != "" {
		t.Error(diff)
	}

	trusted := []nix.PublicKey{u.key.Public(), u.upKey.Public()}
	source, err := OpenSource(t.Context(), u.cache, SourceOptions{Name: "test", Trusted: trusted})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Closure(t.Context(), u.top); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "upstream-1") {
		t.Errorf("without the upstream: %v", err)
	}
	source, err = OpenSource(t.Context(), u.cache, SourceOptions{Name: "test", Trusted: trusted, Upstreams: []UpstreamCache{{Name: "up", Reader: u.up}}})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := dir.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	to, err := OpenSink(t.Context(), fresh, SinkOptions{Name: "copy", Keys: []nix.SecretKey{u.key}})
	if err != nil {
		t.Fatal(err)
	}
	if r, err = cache.Copy(t.Context(), to, source, []nix.StorePath{u.top}, cache.Options{}); err != nil {
		t.Fatal(err)
	}
	if n := len(by(r, string(cache.Sent))); n+len(by(r, cache.SameNAR)) != len(all) {
		t.Errorf("%d of %d paths came", n, len(all))
	}
}
