// Package substituter answers what stock Nix clients ask a binary cache, from
// one cache or several in order. What comes over a network it verifies and
// keeps in a mirror; many who want the same at once cost one request.
package substituter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/mirror"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Cache. Upstreams is needed, Mirror with any that has no Dir.
type Options struct {
	StoreDir  string // empty: nix.DefaultStoreDir
	Priority  int    // for clients; 0: binarycache.DefaultPriority
	Upstreams []Upstream
	// Mirror keeps what came from upstreams without a Dir; nil: nothing is kept.
	Mirror *mirror.Mirror
	// NegativeTTL is how long an absence is remembered; 0: 15 s.
	NegativeTTL time.Duration
	// PositiveTTL is how long a narinfo is remembered whose NAR is not kept;
	// 0: 10 min.
	PositiveTTL time.Duration
	// Timeout is how long an upstream may take for its answer, not for what
	// it sends; 0: 15 s. One that has just failed has a quarter.
	Timeout time.Duration
	// Memory bounds the narinfos that are remembered, in bytes; 0: 8 MiB.
	Memory int64
	// Verifiers bounds the NARs that are decompressed at once to check them;
	// 0: 4. Each may take 10 MiB, and a sender's window beyond that.
	Verifiers int
	// WriteTimeout is how long a client may take for a MiB; 0: 1 min.
	WriteTimeout time.Duration
	// Event, if not nil, is told what an operator may want to know.
	Event func(Event)
	// Registry, if not nil, gets the metrics.
	Registry prometheus.Registerer
}

// Event is something that happened apart from requests.
type Event struct {
	Kind     string // upstream-failed, damaged, untrusted, not-kept, no-room
	Upstream string
	Object   string
	Err      error
}

// Cache answers requests. It is an http.Handler for GET and HEAD.
type Cache struct {
	o         Options
	upstreams []*upstream
	plain     bool // one directory, served as it is
	metrics   *metrics
	records   *records
	absent    brief
	bad       brief // upstream and hash part, of what was damaged
	asks      questions
	decoders  chan struct{}

	background context.Context
	stop       context.CancelFunc
	running    sync.WaitGroup

	flightsMu sync.Mutex
	flights   map[string]*flight
	closing   bool
}

// badFor is how long an upstream is not asked again for what was damaged.
const badFor = time.Minute

// New prepares a Cache. It asks no upstream anything yet.
func New(o Options) (*Cache, error) {
	if o.StoreDir == "" {
		o.StoreDir = nix.DefaultStoreDir
	}
	if o.Priority == 0 {
		o.Priority = binarycache.DefaultPriority
	}
	defaults := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	defaults(&o.NegativeTTL, 15*time.Second)
	defaults(&o.PositiveTTL, 10*time.Minute)
	defaults(&o.Timeout, 15*time.Second)
	defaults(&o.WriteTimeout, time.Minute)
	if o.Memory <= 0 {
		o.Memory = 8 << 20
	}
	if o.Verifiers <= 0 {
		o.Verifiers = 4
	}
	if len(o.Upstreams) == 0 {
		return nil, errors.New("a substituter needs a cache to serve")
	}
	c := &Cache{
		o: o, records: newRecords(o.Memory), flights: make(map[string]*flight),
		decoders: make(chan struct{}, o.Verifiers), metrics: newMetrics(o.Registry),
	}
	for i, u := range o.Upstreams {
		c.upstreams = append(c.upstreams, &upstream{Upstream: u, index: i, timeout: o.Timeout, store: o.StoreDir})
	}
	c.plain = len(o.Upstreams) == 1 && o.Upstreams[0].Dir != "" && o.Mirror == nil
	c.background, c.stop = context.WithCancel(context.Background())
	c.metrics.watch(c, o.Registry)
	return c, nil
}

// Close ends what is under way for nobody in particular. Requests must have
// ended, or end by it.
func (c *Cache) Close() {
	c.flightsMu.Lock()
	c.closing = true
	c.flightsMu.Unlock()
	c.stop()
	c.running.Wait()
}

// StoreDir is the store directory of the paths.
func (c *Cache) StoreDir() string { return c.o.StoreDir }

// Changed says that a path has been added to an upstream, or taken from it: an
// earlier answer about it holds no more, and what was kept of it goes.
func (c *Cache) Changed(p nix.StorePath) {
	h := p.HashPart()
	if c.o.Mirror != nil {
		c.o.Mirror.Forget(h)
	}
	c.asks.forget(h)
	c.records.remove(h)
	c.absent.remove(h)
	for _, u := range c.upstreams {
		c.bad.remove(badKey(u, h))
		u.renew()
	}
}

// Visible says whether clients can have a path at present.
func (c *Cache) Visible(ctx context.Context, p nix.StorePath) (bool, error) {
	_, err := c.lookup(ctx, p.HashPart())
	if errors.Is(err, blob.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Ready says why the cache cannot answer, or nil: at least one upstream, or
// the mirror, can be asked.
func (c *Cache) Ready() error {
	var broken []string
	for _, u := range c.upstreams {
		if !u.breaker.broken() {
			return nil
		}
		broken = append(broken, u.Name)
	}
	return fmt.Errorf("no upstream answers: %s", strings.Join(broken, ", "))
}

// Probe asks every upstream what it is, and returns what is wrong with each.
func (c *Cache) Probe(ctx context.Context) map[string]error {
	wrong := make(map[string]error)
	for _, u := range c.upstreams {
		if err := u.call(ctx, func(ctx context.Context) error {
			_, err := u.identify(ctx)
			return err
		}); err != nil {
			wrong[u.Name] = err
		}
	}
	return wrong
}

func badKey(u *upstream, hashPart string) string { return u.Name + " " + hashPart }

func (c *Cache) isBad(u *upstream, hashPart string) bool {
	return c.bad.has(badKey(u, hashPart), time.Now())
}

// setBad has an upstream not asked for a path for a while.
func (c *Cache) setBad(u *upstream, hashPart string) {
	c.bad.add(badKey(u, hashPart), time.Now(), badFor)
	c.records.remove(hashPart)
}

func (c *Cache) event(kind, upstream, object string, err error) {
	if c.o.Event != nil {
		c.o.Event(Event{Kind: kind, Upstream: upstream, Object: object, Err: err})
	}
}
