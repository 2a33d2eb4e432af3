// Package census reads what is in a cache, once: all keys, by kind, all
// narinfos, and what says which paths are wanted. Garbage collection, verifying
// and statistics start from it.
//
// A census is a record of what was seen, not a snapshot: others may write to
// the cache while it is taken.
package census

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// Object is one object of the cache.
type Object struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
}

// ID is a store path's place in Census.Paths.
type ID int32

// NoPath is the ID of none.
const NoPath ID = -1

// Path is a store path that has a narinfo in the cache, or that something in
// the cache refers to.
type Path struct {
	// Hash is the hash part. Path is empty for one of which no more is known.
	Hash HashPart
	Path nix.StorePath

	// Listed: there is a narinfo. Size and Modified are that object's.
	Listed   bool
	Size     int32
	Modified int64 // nanoseconds since 1970
	// Problem says why the narinfo is not to be used: it cannot be read or is
	// of another path. What follows is then empty.
	Problem error

	References  []ID   // to others, not to itself
	Deriver     string // base name; empty: unknown
	URL         string // of the NAR as the narinfo has it
	Compression string
	NARHash     nix.Hash
	FileHash    nix.Hash // zero: not stated
	NARSize     int64
	FileSize    int64 // 0: not stated
}

// Good says that the path is in the cache, as far as its narinfo goes.
func (p *Path) Good() bool { return p.Listed && p.Problem == nil }

// Key is the narinfo's.
func (p *Path) Key() string { return p.Hash.String() + ".narinfo" }

// NAR is the key of the path's NAR; ok is false if the narinfo names a place
// outside the cache.
func (p *Path) NAR() (key string, ok bool) {
	key = path.Clean(p.URL)
	if strings.Contains(p.URL, "://") || strings.ContainsAny(p.URL, "?#") || blob.CheckKey(key) != nil {
		return "", false
	}
	return key, true
}

// String is the path, or its hash part if no more is known.
func (p *Path) String() string {
	if p.Path == "" {
		return p.Hash.String()
	}
	return string(p.Path)
}

// HashPart is the hash part of a store path.
type HashPart [20]byte

// String is the hash part in Nix's base-32.
func (h HashPart) String() string { return nix.EncodeBase32(h[:]) }

// ParseHashPart reads a hash part.
func ParseHashPart(s string) (h HashPart, err error) {
	if !nix.IsHashPart(s) {
		return h, fmt.Errorf("%q is no hash part of a store path", s)
	}
	raw, err := nix.DecodeBase32(s)
	copy(h[:], raw)
	return h, err
}

// RootManifest is a root manifest of the cache.
type RootManifest struct {
	Object
	// Root has only what its key says if there is a Problem. Its Upstream and BeyondUpstream are
	// moved here: the lists are long, and alike from generation to generation.
	binarycache.Root
	Problem  error
	Wants    []ID // what Root.Paths and Root.BeyondUpstream name
	Upstream []ID // the hash parts of Root.Upstream
	Pinned   bool
	gone     bool // it was deleted while the cache was read
}

// Pointer is an object that says something of a path or of a NAR: an entry of
// the debug info's index or a build trace.
type Pointer struct {
	Object
	Problem error
	NAR     string // of debug info: the NAR's key
	Path    ID     // of a build trace: the output's path
}

// Census is what was found in a cache.
type Census struct {
	Published    binarycache.Published
	UpstreamKeys []nix.PublicKey // of caches that this one leaves paths to
	Paths        []Path          // by ID
	Roots        []RootManifest  // by key: by name, then by time
	DebugInfo    []Pointer
	Traces       []Pointer

	objects [numKinds][]Object
	ids     map[HashPart]ID
}

// Objects are the objects of a kind, sorted by key.
func (c *Census) Objects(k Kind) []Object { return c.objects[k] }

// Object finds an object.
func (c *Census) Object(key string) (Object, bool) {
	list := c.objects[KindOf(key)]
	i, ok := slices.BinarySearchFunc(list, key, func(o Object, key string) int { return strings.Compare(o.Key, key) })
	if !ok {
		return Object{}, false
	}
	return list[i], true
}

// Find returns the path of a hash part.
func (c *Census) Find(h HashPart) (ID, bool) {
	id, ok := c.ids[h]
	return id, ok
}

// FindPath returns a store path.
func (c *Census) FindPath(p nix.StorePath) (ID, bool) {
	h, err := ParseHashPart(p.HashPart())
	if err != nil {
		return NoPath, false
	}
	return c.Find(h)
}

// Options of Take.
type Options struct {
	Name string // of the cache in messages, without credentials
	// Each, if not nil, is called with every narinfo that could be read, by
	// several goroutines at once: for what the census does not keep, such as
	// signatures.
	Each func(p *Path, n nix.NARInfo)
	// Unreadable: an object that the store cannot give is that object's
	// Problem. Otherwise it ends the census.
	Unreadable bool
	// Progress, if not nil, is called with how many objects of how many have
	// been read; total is 0 while the cache is being listed and done counts
	// keys. Calls do not overlap.
	Progress func(done, total int)
}

// Take takes a census of a cache. A place that is no cache has one too: see
// Published.IsCache.
func Take(ctx context.Context, store blob.Store, o Options) (*Census, error) {
	c := &Census{ids: make(map[HashPart]ID)}
	var err error
	if c.Published, err = binarycache.ReadPublished(ctx, store, o.Name); err != nil {
		return nil, err
	}
	if c.UpstreamKeys, err = binarycache.ReadUpstreamKeys(ctx, store, o.Name); err != nil {
		return nil, err
	}
	if err := c.list(ctx, store, o); err != nil {
		return nil, err
	}
	all := make([]ID, len(c.objects[NARInfo]))
	for i := range all {
		all[i] = ID(i)
	}
	if err := c.read(ctx, store, o, all, pointers(c.Roots), pointers(c.DebugInfo), pointers(c.Traces)); err != nil {
		return nil, err
	}
	c.Roots = slices.DeleteFunc(c.Roots, func(m RootManifest) bool { return m.gone })
	return c, nil
}

func pointers[T any](s []T) []*T {
	p := make([]*T, len(s))
	for i := range s {
		p[i] = &s[i]
	}
	return p
}

// read reads what is in objects that were listed.
func (c *Census) read(ctx context.Context, store blob.Store, o Options, paths []ID, roots []*RootManifest, debug, traces []*Pointer) error {
	r := &reading{Census: c, store: store, o: o, total: len(paths) + len(roots) + len(debug) + len(traces)}
	keys := make([]string, len(paths)) // Paths moves while it grows
	for i, id := range paths {
		keys[i] = c.Paths[id].Key()
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(binarycache.Lookups(store))
	for i, id := range paths {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return r.narInfo(ctx, id, keys[i]) })
	}
	for _, m := range roots {
		group.Go(func() error { return r.root(ctx, m) })
	}
	for _, p := range debug {
		group.Go(func() error { return r.debugInfo(ctx, p) })
	}
	for _, p := range traces {
		group.Go(func() error { return r.trace(ctx, p) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("read cache %s: %w", o.Name, err)
	}
	return nil
}

// list sorts all keys by kind.
func (c *Census) list(ctx context.Context, store blob.Store, o Options) error {
	var err error
	if c.objects, err = listAll(ctx, store, o); err != nil {
		return err
	}
	c.Paths = make([]Path, 0, len(c.objects[NARInfo])+len(c.objects[NARInfo])/8)
	for _, object := range c.objects[NARInfo] {
		h, err := ParseHashPart(object.Key[:len(object.Key)-len(".narinfo")])
		if err != nil {
			return err // KindOf has looked at it
		}
		p := &c.Paths[c.id(h, "")]
		p.Listed, p.Size, p.Modified = true, int32(min(object.Size, nix.MaxNARInfoSize+1)), object.Modified.UnixNano()
	}
	for _, object := range c.objects[Root] {
		c.Roots = append(c.Roots, c.manifest(object))
	}
	for _, object := range c.objects[DebugInfo] {
		c.DebugInfo = append(c.DebugInfo, Pointer{Object: object, Path: NoPath})
	}
	for _, object := range c.objects[Trace] {
		c.Traces = append(c.Traces, Pointer{Object: object, Path: NoPath})
	}
	return nil
}

func listAll(ctx context.Context, store blob.Store, o Options) (objects [numKinds][]Object, err error) {
	n := 0
	for info, err := range store.List(ctx, "") {
		if err != nil {
			return objects, fmt.Errorf("list cache %s: %w", o.Name, err)
		}
		if n++; n%1000 == 0 && o.Progress != nil {
			o.Progress(n, 0)
		}
		k := KindOf(info.Key)
		objects[k] = append(objects[k], Object{info.Key, info.Size, info.Modified})
	}
	return objects, nil
}

// manifest is one that is not read yet.
func (c *Census) manifest(o Object) RootManifest {
	_, pinned := c.Object(PinKey(o.Key))
	m := RootManifest{Object: o, Pinned: pinned}
	m.Name, m.Generation, _ = strings.Cut(strings.TrimSuffix(strings.TrimPrefix(o.Key, "roots/"), ".json"), "/")
	return m
}

// PinKey is the key of the pin of a manifest.
func PinKey(manifest string) string { return strings.TrimSuffix(manifest, ".json") + ".pin" }

// id finds a path or adds it. p may be empty.
func (c *Census) id(h HashPart, p nix.StorePath) ID {
	id, ok := c.ids[h]
	if !ok {
		id = ID(len(c.Paths))
		c.Paths = append(c.Paths, Path{Hash: h, Path: p})
		c.ids[h] = id
	} else if c.Paths[id].Path == "" {
		c.Paths[id].Path = p
	}
	return id
}

// idOf is id for a path that was parsed.
func (c *Census) idOf(p nix.StorePath) ID {
	h, err := ParseHashPart(p.HashPart())
	if err != nil {
		return NoPath // it is no store path, so nobody can have parsed it
	}
	return c.id(h, p)
}

// reading is the second half of a census: what is in the objects.
type reading struct {
	*Census
	store blob.Reader
	o     Options
	total int

	mu   sync.Mutex
	done int
}

// get reads an object. problem says that it has no such contents; gone that it
// was deleted since it was listed.
func (r *reading) get(ctx context.Context, key string, limit int64) (data []byte, problem error, gone bool, err error) {
	data, err = blob.ReadAll(ctx, r.store, key, limit)
	switch {
	case err == nil:
		return data, nil, false, nil
	case errors.Is(err, blob.ErrNotExist):
		return nil, nil, true, nil
	case errors.Is(err, blob.ErrTooLarge), r.o.Unreadable && ctx.Err() == nil:
		return nil, err, false, nil
	}
	return nil, nil, false, err
}

// finish notes what was read, by one goroutine at a time.
func (r *reading) finish(note func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	note()
	r.done++
	if r.o.Progress != nil {
		r.o.Progress(r.done, r.total)
	}
	return nil
}
