package substituter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// errUntrusted is the cause when a narinfo has no signature of its cache's
// keys. Stock clients pass over such a path, so it counts as absent.
var errUntrusted = errors.New("it has no signature of the cache's keys")

// fromMirror stands for an upstream's index when a path is kept here.
const fromMirror = -1

// record is what is known of a path.
type record struct {
	body   []byte // the narinfo as clients get it
	source string // key of the NAR where it comes from
	from   int    // index of the upstream, or fromMirror
	expiry time.Time
	file   fileVersion  // of the narinfo, if it is in a directory
	looked atomic.Int64 // when that file was last looked at, in ns since epoch
}

type fileVersion struct {
	size     int64
	modified time.Time
}

func (r *record) weight() int64 { return int64(len(r.body)+len(r.source)) + 200 }

// narInfo is the record's narinfo, with the URL that clients get.
func (r *record) narInfo(storeDir string) (nix.NARInfo, error) {
	return nix.ParseNARInfo(storeDir, r.body)
}

// lookup finds a path by its hash part. The error is blob.ErrNotExist, wrapped
// or not, if every cache has said that it does not have it.
func (c *Cache) lookup(ctx context.Context, hashPart string) (*record, error) {
	if r, ok := c.remembered(hashPart); ok {
		return r, nil
	}
	if c.o.Mirror != nil && c.o.Mirror.Has(hashPart) {
		if n, ok := c.o.Mirror.NARInfo(hashPart); ok {
			r := c.newRecord(n, fromMirror, n.URL)
			c.records.put(hashPart, r)
			c.metrics.lookups.WithLabelValues("local").Inc()
			return r, nil
		}
	}
	if c.absent.has(hashPart, time.Now()) {
		c.metrics.lookups.WithLabelValues("absent-memory").Inc()
		return nil, blob.ErrNotExist
	}
	return c.asks.do(ctx, c.background, hashPart, func(ctx context.Context) (*record, error) {
		return c.ask(ctx, hashPart)
	})
}

// remembered is a record that is in memory and still holds.
func (c *Cache) remembered(hashPart string) (*record, bool) {
	r, ok := c.records.get(hashPart)
	if !ok || !c.fresh(r, hashPart) {
		return nil, false
	}
	c.metrics.remembered.Inc()
	return r, true
}

// recheck is how long a narinfo's file in a directory is taken as it was: who
// asks for it ten thousand times a second need not have it looked at as often.
// What this server itself writes is known at once (Changed).
const recheck = 50 * time.Millisecond

var epoch = time.Now() // of a clock that nobody sets

// fresh says whether a record still holds.
func (c *Cache) fresh(r *record, hashPart string) bool {
	switch {
	case r.from == fromMirror:
		return c.o.Mirror.Has(hashPart)
	case c.upstreams[r.from].Dir != "":
		now := int64(time.Since(epoch))
		if now-r.looked.Load() < int64(recheck) {
			return true
		}
		info, err := os.Stat(c.upstreams[r.from].Dir + "/" + hashPart + ".narinfo")
		r.looked.Store(now)
		return err == nil && info.Size() == r.file.size && info.ModTime().Equal(r.file.modified)
	default:
		return time.Now().Before(r.expiry)
	}
}

// ask asks the upstreams in their order. One that fails leaves the question
// open unless a later one has the path: absence is what all of them say.
func (c *Cache) ask(ctx context.Context, hashPart string) (*record, error) {
	asked := time.Now()
	var failure error
	local := true
	for _, u := range c.upstreams {
		if c.isBad(u, hashPart) {
			failure = &UpstreamError{Upstream: u.Name, Err: fmt.Errorf("what it has of %s is damaged", hashPart)}
			continue
		}
		local = local && u.Dir != ""
		r, err := c.askOne(ctx, u, hashPart)
		switch {
		case err == nil:
			c.records.put(hashPart, r)
			c.metrics.lookups.WithLabelValues("upstream").Inc()
			return r, nil
		case errors.Is(err, blob.ErrNotExist):
		case errors.Is(err, errUntrusted):
			c.event("untrusted", u.Name, hashPart+".narinfo", err)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		default:
			c.event("upstream-failed", u.Name, hashPart+".narinfo", err)
			failure = err
		}
	}
	if failure != nil {
		c.metrics.lookups.WithLabelValues("failed").Inc()
		return nil, failure
	}
	c.metrics.lookups.WithLabelValues("absent").Inc()
	if !local { // directories are asked again, it costs nothing
		c.absent.add(hashPart, asked, c.o.NegativeTTL)
	}
	return nil, blob.ErrNotExist
}

// askOne asks one upstream and checks what it says.
func (c *Cache) askOne(ctx context.Context, u *upstream, hashPart string) (r *record, err error) {
	result := "failed"
	defer func() {
		switch {
		case err == nil:
			result = "found"
		case errors.Is(err, blob.ErrNotExist):
			result = "absent"
		case errors.Is(err, errUntrusted):
			result = "untrusted"
		case errors.Is(err, binarycache.ErrDamaged):
			result = "damaged"
		}
		c.metrics.upstream.WithLabelValues(u.Name, "narinfo", result).Inc()
	}()
	err = u.call(ctx, func(ctx context.Context) error {
		keys, err := u.identify(ctx)
		if err != nil {
			return err
		}
		var version fileVersion
		if u.Dir != "" {
			info, err := os.Stat(filepath.Join(u.Dir, hashPart+".narinfo"))
			if err == nil {
				version = fileVersion{info.Size(), info.ModTime()}
			}
		}
		data, err := blob.ReadAll(ctx, u.Reader, hashPart+".narinfo", nix.MaxNARInfoSize)
		if errors.Is(err, blob.ErrTooLarge) {
			return fmt.Errorf("%v: %w", err, binarycache.ErrDamaged)
		}
		if err != nil {
			return err
		}
		if c.plain {
			// As it is: what the one directory says is what clients get.
			r = &record{body: data, from: u.index, file: version}
			return nil
		}
		n, err := nix.ParseNARInfo(c.o.StoreDir, data)
		if err != nil {
			return fmt.Errorf("%s.narinfo: %v: %w", hashPart, err, binarycache.ErrDamaged)
		}
		if n.Path.HashPart() != hashPart {
			return fmt.Errorf("%s.narinfo is of %s: %w", hashPart, n.Path, binarycache.ErrDamaged)
		}
		if len(keys) > 0 {
			if _, ok := n.SignedBy(keys); !ok {
				// A content-addressed path needs none: clients compare its
				// contents with its address.
				if _, err := n.ContentAddressed(); err != nil {
					return errUntrusted
				}
			}
		}
		source, err := narPlace(n.URL)
		if err != nil {
			return err
		}
		r = c.newRecord(n, u.index, source)
		r.file = version
		return nil
	})
	return r, err
}

func (c *Cache) newRecord(n nix.NARInfo, from int, source string) *record {
	n.URL = clientURL(n)
	return &record{body: n.Marshal(), source: source, from: from, expiry: time.Now().Add(c.o.PositiveTTL)}
}
