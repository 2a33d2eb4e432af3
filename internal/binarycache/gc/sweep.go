package gc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/blob"

	"golang.org/x/sync/errgroup"
)

// Options of a collection.
type Options struct {
	Name   string // of the cache in messages, without credentials
	Policy Policy
	// Progress, if not nil, says what is being done. Calls do not overlap.
	Progress func(step string, done, total int)
}

func (o Options) progress(step string, done, total int) {
	if o.Progress != nil {
		o.Progress(step, done, total)
	}
}

// Tally counts objects.
type Tally struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

func (t *Tally) add(size int64) { t.Objects++; t.Bytes += size }

// Collection is a garbage collection of a cache.
type Collection struct {
	store  blob.Store
	o      Options
	notice *lease.Sweep // nil: nothing is to be deleted
	stop   func()

	Plan *Plan
	// Leftovers are what writers that died have left in the storage.
	Leftovers []blob.Leftover
	// Deleted is what has been deleted, by kind, and Kept how much of the plan
	// was not, since something came to need it.
	Deleted map[string]Tally
	Kept    Tally

	mu    sync.Mutex
	stale []string // leases and notices whose holders are gone
}

// DryRun plans a collection that deletes nothing and writes nothing. The time is
// this machine's, since the storage is not asked for its own.
func DryRun(ctx context.Context, store blob.Store, o Options) (*Collection, error) {
	c := &Collection{store: store, o: o}
	return c, c.plan(ctx, time.Now())
}

// Open plans a collection and announces it in the cache. Sweep carries it out;
// Close must be called in any case.
func Open(ctx context.Context, store blob.Store, o Options) (*Collection, error) {
	c := &Collection{store: store, o: o}
	// An empty place is not to become one with a notice in it.
	published, err := binarycache.ReadPublished(ctx, store, o.Name)
	if err == nil && !published.IsCache {
		err = &binarycache.RefusedError{Cache: o.Name, Reason: "it has no nix-cache-info, so it is no binary cache"}
	}
	if err != nil {
		return nil, err
	}
	if c.notice, err = lease.Announce(ctx, store, "gc"); err != nil {
		return nil, fmt.Errorf("cache %s: %w", o.Name, err)
	}
	c.stop = c.notice.Renewing(ctx)
	if err := c.plan(ctx, c.notice.Began); err != nil {
		c.Close(ctx)
		return nil, err
	}
	return c, nil
}

// Close takes the notice out of the cache.
func (c *Collection) Close(ctx context.Context) {
	if c.notice != nil {
		c.stop()
		_ = c.notice.Release(ctx) // if that fails others wait for two minutes
		c.notice = nil
	}
}

func (c *Collection) censusOptions(step string) census.Options {
	return census.Options{Name: c.o.Name, Progress: func(done, total int) { c.o.progress(step, done, total) }}
}

// planTries is how often a plan is made while others change the cache under the
// listing: a collection that deletes a manifest with what it needed, or a push
// that has written paths where the listing had been already, and then its
// manifest where it had not.
const planTries = 5

func (c *Collection) plan(ctx context.Context, now time.Time) error {
	for try := 1; ; try++ {
		err := c.planOnce(ctx, now)
		if try == planTries || !c.torn(ctx, err) {
			return err
		}
	}
}

// torn says whether a root seems broken only because others changed the cache
// while it was listed: the manifest is gone, or what it needs is there.
func (c *Collection) torn(ctx context.Context, err error) bool {
	var broken *BrokenRootError
	if !errors.As(err, &broken) {
		return false
	}
	if _, err := c.store.Stat(ctx, broken.Manifest); errors.Is(err, blob.ErrNotExist) {
		return true
	}
	if broken.gone == "" {
		return false
	}
	_, err = c.store.Stat(ctx, broken.gone)
	return err == nil
}

func (c *Collection) planOnce(ctx context.Context, now time.Time) error {
	taken, err := census.Take(ctx, c.store, c.censusOptions("reading"))
	if err != nil {
		return err
	}
	active, stale, err := lease.Leases(ctx, c.store, now)
	if err != nil {
		return fmt.Errorf("cache %s: %w", c.o.Name, err)
	}
	old, err := lease.StaleSweeps(ctx, c.store, now)
	if err != nil {
		return fmt.Errorf("cache %s: %w", c.o.Name, err)
	}
	c.stale = slices.Concat(stale, old)
	if c.Plan, err = NewPlan(taken, c.o.Name, active, now, c.o.Policy); err != nil {
		return err
	}
	if l, ok := c.store.(blob.Leaver); ok {
		for left, err := range l.Leftovers(ctx) {
			if err != nil {
				return fmt.Errorf("cache %s: list unfinished uploads: %w", c.o.Name, err)
			}
			if !c.Plan.young(left.Modified) {
				c.Leftovers = append(c.Leftovers, left)
			}
		}
	}
	return nil
}

// chunkSize is how many objects are named at once. Pushes that want one of them
// wait until the chunk is done.
const chunkSize = 10_000

// Sweep deletes what the plan says goes and still is garbage. It may be
// interrupted at any point: another collection does the rest.
func (c *Collection) Sweep(ctx context.Context) error {
	c.Deleted = make(map[string]Tally)
	done := 0
	// Manifests go first: one must never name what is gone. NARs go when all
	// narinfos have gone.
	for _, phase := range [][]census.Kind{
		{census.Root, census.Pin, census.Trace},
		{census.NARInfo},
		{census.NAR, census.Listing, census.DebugInfo, census.Log},
	} {
		var items []Item
		for _, i := range c.Plan.Go {
			for _, k := range phase {
				if i.Kind == k {
					items = append(items, i)
				}
			}
		}
		for len(items) > 0 {
			n := min(len(items), chunkSize)
			if err := c.chunk(ctx, items[:n], &done); err != nil {
				return fmt.Errorf("sweep cache %s: %w", c.o.Name, err)
			}
			items = items[n:]
		}
	}
	if _, err := c.notice.Name(ctx, lease.Claim{}); err != nil { // nobody need wait any more
		return fmt.Errorf("sweep cache %s: %w", c.o.Name, err)
	}
	for _, key := range c.stale {
		if err := c.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("sweep cache %s: %w", c.o.Name, err)
		}
	}
	for _, left := range c.Leftovers {
		if err := c.store.(blob.Leaver).Discard(ctx, left); err != nil {
			return fmt.Errorf("sweep cache %s: unfinished upload of %s: %w", c.o.Name, left.Key, err)
		}
		c.count("unfinished", left.Size)
	}
	return nil
}

// chunk deletes some items. First it says so, so that pushes which begin from
// now on wait; then it looks for pushes under way, and then at all that has come
// to the cache, for what pushes that are over have left.
func (c *Collection) chunk(ctx context.Context, items []Item, done *int) error {
	items = c.still(items)
	if len(items) == 0 {
		return nil
	}
	now, err := c.notice.Name(ctx, claim(items))
	if err != nil {
		return err
	}
	active, _, err := lease.Leases(ctx, c.store, now)
	if err != nil {
		return err
	}
	if err := c.relist(ctx, active); err != nil {
		return err
	}
	items = c.still(items)
	for len(items) > 0 { // level by level, referrers first
		n := 1
		for n < len(items) && c.Plan.levels[items[n].Path] == c.Plan.levels[items[0].Path] || n < len(items) && items[n].Kind != census.NARInfo {
			n++
		}
		if err := c.delete(ctx, items[:n]); err != nil {
			return err
		}
		*done += n
		c.o.progress("deleting", *done, len(c.Plan.Go))
		items = items[n:]
	}
	return nil
}

// relist lists the cache again and keeps what has come to need it.
func (c *Collection) relist(ctx context.Context, active []lease.Active) error {
	var all census.Changes
	for try := 1; ; try++ {
		changes, err := c.Plan.Census.Update(ctx, c.store, census.Options{Name: c.o.Name})
		if err != nil {
			return err
		}
		changes.Paths = append(all.Paths, changes.Paths...)
		changes.Roots = append(all.Roots, changes.Roots...)
		changes.Roots = slices.DeleteFunc(changes.Roots, func(i int) bool {
			_, there := c.Plan.Census.Object(c.Plan.Census.Roots[i].Key)
			return !there
		})
		maps.Copy(changes.Keys, all.Keys)
		all = changes
		err = c.Plan.learn(active, all)
		if err == nil || try == planTries || !c.torn(ctx, err) {
			return err
		}
	}
}

// still are those that still go; the others are counted.
func (c *Collection) still(items []Item) []Item {
	var left []Item
	for _, i := range items {
		if c.Plan.goes(i) {
			left = append(left, i)
		} else {
			c.Kept.add(i.Size)
		}
	}
	return left
}

// claim names what is about to be deleted, and what pushes take for there while
// it is: the paths and NARs themselves.
func claim(items []Item) lease.Claim {
	var claim lease.Claim
	for _, i := range items {
		switch i.Kind {
		case census.NARInfo, census.Listing:
			claim.AddPath(i.Key)
		case census.NAR:
			claim.AddNAR(narName(i.Key))
		case census.Log:
			claim.AddKey(lease.AllLogs)
		case census.DebugInfo:
			claim.AddKey(lease.AllDebugInfo)
		}
		if i.Kind != census.NARInfo {
			claim.AddKey(i.Key)
		}
	}
	return claim
}

func (c *Collection) delete(ctx context.Context, items []Item) error {
	group, all := errgroup.WithContext(ctx)
	group.SetLimit(binarycache.Lookups(c.store))
	for _, i := range items {
		group.Go(func() error {
			ctx, cancel, err := c.notice.Within(all)
			if err != nil {
				return err
			}
			defer cancel()
			if err := c.store.Delete(ctx, i.Key); err != nil {
				return fmt.Errorf("delete %s: %w", i.Key, err)
			}
			c.count(i.Kind.String(), i.Size)
			return nil
		})
	}
	return group.Wait()
}

func (c *Collection) count(kind string, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.Deleted[kind]
	t.add(size)
	c.Deleted[kind] = t
}

// learn keeps what leases claim, and what manifests and paths need that came or
// were written anew since the census.
func (p *Plan) learn(active []lease.Active, ch census.Changes) error {
	for key := range ch.Keys {
		p.keep[key] = true
		if strings.HasPrefix(key, "nar/") {
			p.nars[key] = true
		}
	}
	for _, id := range ch.Paths {
		p.remark(id, mark{reason: Young})
	}
	for _, i := range ch.Roots {
		if err := p.whole(i); err != nil {
			return err
		}
		p.markRoot(i)
	}
	p.hold(active)
	for i, g := range p.Generations {
		if !g.Stays && p.keep[p.Census.Roots[i].Key] {
			p.Generations[i].Stays, p.Generations[i].Why = true, "something came to need it"
			p.markRoot(i)
		}
	}
	return nil
}
