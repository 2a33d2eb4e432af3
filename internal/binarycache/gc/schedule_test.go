package gc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// What protocol_test.go tries with a model is tried here with the real pushes
// and sweeps, on a storage in memory that takes a random time for each request.
// The clock is synctest's, so hours pass in no time.

// storage checks at each change that what is visible is whole.
type storage struct {
	storeDir string

	mu      sync.Mutex
	objects map[string]object
	wrong   string // the first thing that was
}

type object struct {
	data     []byte
	modified time.Time
}

func (s *storage) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	if s.wrong != "" {
		return
	}
	for key, o := range s.objects {
		if !strings.HasSuffix(key, ".narinfo") {
			continue
		}
		n, err := nix.ParseNARInfo(s.storeDir, o.data)
		if err != nil {
			s.wrong = err.Error()
			return
		}
		if _, ok := s.objects[n.URL]; !ok {
			s.wrong = fmt.Sprintf("%s is visible without its NAR", n.Path)
		}
		for _, r := range n.References {
			if _, ok := s.objects[r.HashPart()+".narinfo"]; !ok {
				s.wrong = fmt.Sprintf("%s is visible without %s", n.Path, r)
			}
		}
	}
}

// client is one process's view of the storage.
type client struct {
	*storage
	rand *rand.Rand
	mu   sync.Mutex // of rand
	dead atomic.Bool
	slow time.Duration // how many times slower than others it is
	// hide is a mistake: what of the listings the process does not see.
	hide func(key string) bool
	// frozen is another: it sees the first listing of all keys again and again.
	frozen bool
	first  []blob.Info
}

var errDead = errors.New("the process is dead")

// request takes a while before do and after it. A process that is killed in
// between does not learn whether it was done. What is asked for below a lock of
// the process takes no time: synctest's clock stands still for who waits for one.
func (c *client) request(ctx context.Context, key string, do func() error) error {
	c.mu.Lock()
	before, after := c.pause(), c.pause()
	arrives := c.rand.IntN(2) == 0
	c.mu.Unlock()
	if key == "nix-cache-info" || key == "public-keys" || key == "upstream-keys" {
		before, after = 0, 0
	}
	if c.dead.Load() {
		return errDead
	}
	time.Sleep(before)
	if (ctx.Err() != nil || c.dead.Load()) && !arrives {
		return errDead
	}
	err := do()
	time.Sleep(after)
	if c.dead.Load() {
		return errDead
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (c *client) pause() time.Duration {
	d := time.Duration(c.rand.IntN(100)) * time.Millisecond
	if c.rand.IntN(20) == 0 {
		d *= 100
	}
	return d * c.slow
}

func (c *client) Requests() int { return 4 }

func (c *client) Open(ctx context.Context, key string) (r io.ReadCloser, err error) {
	err = c.request(ctx, key, func() error {
		c.storage.mu.Lock()
		defer c.storage.mu.Unlock()
		o, ok := c.objects[key]
		if !ok {
			return fmt.Errorf("%s: %w", key, blob.ErrNotExist)
		}
		r = io.NopCloser(bytes.NewReader(o.data))
		return nil
	})
	return r, err
}

func (c *client) Stat(ctx context.Context, key string) (info blob.Info, err error) {
	err = c.request(ctx, key, func() error {
		c.storage.mu.Lock()
		defer c.storage.mu.Unlock()
		o, ok := c.objects[key]
		if !ok {
			return fmt.Errorf("%s: %w", key, blob.ErrNotExist)
		}
		info = blob.Info{Key: key, Size: int64(len(o.data)), Modified: o.modified}
		return nil
	})
	return info, err
}

func (c *client) Put(ctx context.Context, key string, r io.Reader, _ int64) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return c.request(ctx, key, func() error {
		c.change(func() { c.objects[key] = object{data, time.Now()} })
		return nil
	})
}

func (c *client) Delete(ctx context.Context, key string) error {
	return c.request(ctx, key, func() error {
		c.change(func() { delete(c.objects, key) })
		return nil
	})
}

func (c *client) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		var infos []blob.Info
		err := c.request(ctx, prefix, func() error {
			c.storage.mu.Lock()
			defer c.storage.mu.Unlock()
			for key, o := range c.objects {
				if strings.HasPrefix(key, prefix) && (c.hide == nil || !c.hide(key)) {
					infos = append(infos, blob.Info{Key: key, Size: int64(len(o.data)), Modified: o.modified})
				}
			}
			return nil
		})
		if err != nil {
			yield(blob.Info{}, err)
			return
		}
		slices.SortFunc(infos, func(a, b blob.Info) int { return strings.Compare(a.Key, b.Key) })
		if prefix == "" && c.frozen {
			if c.first == nil {
				c.first = infos
			}
			infos = c.first
		}
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// graph is the machine's store: path i has the content of i/2, so that there are
// twins, and refers to some paths below it.
type graph struct{ infos []nix.PathInfo }

func newGraph(r *rand.Rand, n int) *graph {
	g := new(graph)
	for i := range n {
		sum := sha256.Sum256([]byte{byte(i)})
		p := nix.PathInfo{
			Path:    nix.StorePath(fmt.Sprintf("/nix/store/%s-p%d", nix.EncodeBase32(sum[:20]), i)),
			NARHash: sha256.Sum256(g.content(i)), NARSize: int64(len(g.content(i))),
		}
		for j := range i {
			if r.IntN(3) == 0 {
				p.References = append(p.References, g.infos[j].Path)
			}
		}
		slices.Sort(p.References)
		g.infos = append(g.infos, p)
	}
	return g
}

func (g *graph) content(i int) []byte { return fmt.Appendf(nil, "content %d", i/2) }

func (g *graph) Closure(_ context.Context, roots ...nix.StorePath) (closure []nix.PathInfo, err error) {
	in := make(map[nix.StorePath]bool)
	for _, r := range roots {
		in[r] = true
	}
	for i := len(g.infos) - 1; i >= 0; i-- {
		if p := g.infos[i]; in[p.Path] {
			closure = append(closure, p)
			for _, r := range p.References {
				in[r] = true
			}
		}
	}
	return nix.TopoSort(closure)
}

func (g *graph) OpenNAR(_ context.Context, p nix.PathInfo) (io.ReadCloser, error) {
	i := slices.IndexFunc(g.infos, func(q nix.PathInfo) bool { return q.Path == p.Path })
	return io.NopCloser(bytes.NewReader(g.content(i))), nil
}

// pushOf pushes a path and writes a manifest of it.
func pushOf(ctx context.Context, store blob.Store, g *graph, path nix.StorePath, root string) error {
	sink, err := binarycache.OpenSink(ctx, store, binarycache.SinkOptions{Name: "test", Unsigned: true, Level: binarycache.None})
	if err != nil {
		return err
	}
	defer func() { _ = sink.Release(ctx) }()
	if _, err = cache.Copy(ctx, sink, g, []nix.StorePath{path}, cache.Options{}); err != nil || root == "" {
		return err
	}
	_, err = sink.PutRoot(ctx, binarycache.Root{Name: root, Paths: []nix.StorePath{path}}, time.Now())
	return err
}

func sweepOf(ctx context.Context, store blob.Store) error {
	c, err := Open(ctx, store, Options{Name: "test", Policy: Policy{Keep: 1}})
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	return c.Sweep(ctx)
}

// mistakes a process makes, for the test that they are found.
type mistakes struct{ push, sweep func(*client) }

// run lets pushes and sweeps loose on a cache that has generations and garbage,
// kills some, and returns what was wrong.
func run(t *testing.T, seed uint64, m mistakes) (wrong string) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := &storage{storeDir: nix.DefaultStoreDir, objects: make(map[string]object)}
		newClient := func(change func(*client)) *client {
			c := &client{storage: s, rand: rand.New(rand.NewPCG(seed, r.Uint64())), slow: 1}
			if change != nil {
				change(c)
			}
			return c
		}
		g := newGraph(r, 8)
		any := func() nix.StorePath { return g.infos[r.IntN(len(g.infos))].Path }
		for i, root := range []string{"host", "host", ""} {
			if err := pushOf(t.Context(), newClient(nil), g, any(), root); err != nil {
				t.Fatalf("push %d: %v", i, err)
			}
			time.Sleep(time.Hour)
		}
		var wg sync.WaitGroup
		results := make([]string, 4)
		for i := range results {
			sweeps := i%2 == 0
			change := m.push
			if sweeps {
				change = m.sweep
			}
			c := newClient(change)
			if !sweeps && r.IntN(2) == 0 {
				c.slow = 5
			}
			delay := time.Duration(r.IntN(3000)) * time.Millisecond
			var life time.Duration
			if r.IntN(3) == 0 {
				life = time.Duration(r.IntN(10000)) * time.Millisecond
			}
			path := any()
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.Sleep(delay)
				if life > 0 {
					kill := time.AfterFunc(life, func() { c.dead.Store(true); cancel() })
					defer kill.Stop()
				}
				var err error
				if sweeps {
					err = sweepOf(ctx, c)
				} else if err = pushOf(ctx, c, g, path, fmt.Sprintf("push%d", i)); err == nil {
					results[i] = string(path)
				}
				var gone *cache.GoneError
				var lost *lease.LostError
				if err != nil && !c.dead.Load() && !errors.As(err, &gone) && !errors.As(err, &lost) {
					results[i] = "error: " + err.Error()
				}
			})
		}
		wg.Wait()
		// Whatever happened, another sweep collects, and the pushes' roots are whole.
		time.Sleep(2 * time.Hour)
		if err := sweepOf(t.Context(), newClient(m.sweep)); err != nil {
			results = append(results, "error: "+err.Error())
		}
		wrong = s.wrong
		stays := make(map[string]bool)
		for _, result := range results {
			switch {
			case strings.HasPrefix(result, "error: "):
				wrong = strings.TrimSpace(wrong + "; " + result)
			case result != "":
				closure, _ := g.Closure(t.Context(), nix.StorePath(result))
				for _, p := range closure {
					stays[p.Path.HashPart()] = true
					if _, ok := s.objects[p.Path.HashPart()+".narinfo"]; !ok {
						wrong += fmt.Sprintf("; a push of %s succeeded and %s is gone", result, p.Path)
					}
				}
			}
		}
	})
	return wrong
}

func TestSchedules(t *testing.T) {
	n := uint64(150)
	if soak, err := strconv.Atoi(os.Getenv("PANTHEROS_SOAK")); err == nil {
		n = uint64(soak) * 10
	}
	for seed := range n {
		if wrong := run(t, seed, mistakes{}); wrong != "" {
			t.Fatalf("seed %d: %s", seed, wrong)
		}
	}
}

// The same test finds mistakes.
func TestSchedulesFindMistakes(t *testing.T) {
	hide := func(prefix string) func(*client) {
		return func(c *client) { c.hide = func(key string) bool { return strings.HasPrefix(key, prefix) } }
	}
	for name, m := range map[string]mistakes{
		"sweeps do not see leases":        {sweep: hide(lease.Prefix)},
		"sweeps do not see what has come": {sweep: func(c *client) { c.frozen = true }},
		"pushes do not see sweeps":        {push: hide(lease.SweepPrefix)},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3000) {
				if run(t, seed, m) != "" {
					t.Logf("found with seed %d", seed)
					return
				}
			}
			t.Error("not found")
		})
	}
}
