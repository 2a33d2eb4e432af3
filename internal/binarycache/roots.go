package binarycache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// Roots are the root manifests of a cache, for who takes care of them.
type Roots struct {
	Store    blob.Store
	Name     string // of the cache in messages, without credentials
	StoreDir string
}

// RootEntry is a manifest as it is in the cache.
type RootEntry struct {
	Key     string
	Root    Root // but for its name and generation empty if there is a Problem
	Problem error
	Pinned  bool
}

// List reads the manifests of a name, or all if name is empty, by name and then
// by time. One that cannot be read is in the list, with its problem.
func (r Roots) List(ctx context.Context, name string) ([]RootEntry, error) {
	prefix := rootsPrefix
	if name != "" {
		if err := CheckRootName(name); err != nil {
			return nil, err
		}
		prefix += name + "/"
	}
	var entries []RootEntry
	pins := make(map[string]bool)
	for info, err := range r.Store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list the roots of cache %s: %w", r.Name, err)
		}
		if manifest, ok := strings.CutSuffix(info.Key, pinSuffix); ok {
			pins[manifest+manifestSuffix] = true
		}
		if strings.HasSuffix(info.Key, manifestSuffix) && strings.Count(info.Key, "/") == 2 {
			entries = append(entries, RootEntry{Key: info.Key})
		}
	}
	gone := make([]bool, len(entries))
	group, all := errgroup.WithContext(ctx)
	group.SetLimit(Lookups(r.Store))
	for i := range entries {
		group.Go(func() error {
			e := &entries[i]
			e.Pinned = pins[e.Key]
			data, err := blob.ReadAll(all, r.Store, e.Key, RootLimit)
			switch {
			case errors.Is(err, blob.ErrNotExist): // deleted meanwhile
				gone[i] = true
				return nil
			case errors.Is(err, blob.ErrTooLarge):
				e.Problem = err
			case err != nil:
				return fmt.Errorf("read root %s of cache %s: %w", e.Key, r.Name, err)
			default:
				e.Root, e.Problem = ParseRoot(r.StoreDir, data)
			}
			parts := strings.Split(strings.TrimSuffix(e.Key, manifestSuffix), "/")
			if e.Problem == nil && (e.Root.Name != parts[1] || e.Root.Generation != parts[2]) {
				e.Problem = fmt.Errorf("it is the manifest of generation %s of %s", e.Root.Generation, e.Root.Name)
			}
			if e.Problem != nil {
				e.Root = Root{Name: parts[1], Generation: parts[2]}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	i := -1
	return slices.DeleteFunc(entries, func(RootEntry) bool { i++; return gone[i] }), nil
}

const (
	manifestSuffix = ".json"
	pinSuffix      = ".pin"
)

func manifestKey(name, generation string) string {
	return rootsPrefix + name + "/" + generation + manifestSuffix
}

func pinKey(name, generation string) string { return rootsPrefix + name + "/" + generation + pinSuffix }

// hold takes a lease for as long as do runs, when no sweep is under way that
// could delete what c claims.
func (r Roots) hold(ctx context.Context, c lease.Claim, do func(held *lease.Lease) error) error {
	l, err := lease.Take(ctx, r.Store, "roots", c)
	if err != nil {
		return fmt.Errorf("cache %s: %w", r.Name, err)
	}
	stop := l.Renewing(ctx)
	defer func() {
		stop()
		_ = l.Release(ctx) // it ends by itself, too
	}()
	if err := l.Settle(ctx); err != nil {
		return fmt.Errorf("cache %s: %w", r.Name, err)
	}
	return do(l)
}

// exists makes sure that there is a generation.
func (r Roots) exists(ctx context.Context, name, generation string) error {
	if err := CheckRootName(name); err != nil {
		return err
	}
	if err := CheckRootName(generation); err != nil {
		return fmt.Errorf("generation: %v", err)
	}
	_, err := r.Store.Stat(ctx, manifestKey(name, generation))
	if errors.Is(err, blob.ErrNotExist) {
		return &RefusedError{Cache: r.Name, Reason: fmt.Sprintf("root %q has no generation %s", name, generation)}
	}
	return err
}

// pin is what is in the object of a pin.
type pin struct {
	Version int       `json:"version"`
	Holder  string    `json:"holder"` // user@machine
	Time    time.Time `json:"time"`
}

// Pin keeps a generation whatever its age, until Unpin.
func (r Roots) Pin(ctx context.Context, name, generation string) error {
	if err := r.exists(ctx, name, generation); err != nil {
		return err
	}
	var c lease.Claim
	c.AddKey(manifestKey(name, generation))
	return r.hold(ctx, c, func(*lease.Lease) error {
		if err := r.exists(ctx, name, generation); err != nil { // a sweep was faster
			return err
		}
		data, err := json.Marshal(pin{Version: 1, Holder: lease.Holder(), Time: time.Now().UTC().Truncate(time.Second)})
		if err != nil {
			return err
		}
		return r.put(ctx, pinKey(name, generation), append(data, '\n'))
	})
}

// Unpin takes a pin away. That there is none is no error.
func (r Roots) Unpin(ctx context.Context, name, generation string) error {
	if err := r.exists(ctx, name, generation); err != nil {
		return err
	}
	return r.Store.Delete(ctx, pinKey(name, generation))
}

// Remove takes a generation out of the cache. Its paths stay until they are
// collected. One that is pinned is refused (RefusedError).
func (r Roots) Remove(ctx context.Context, name, generation string) error {
	if err := r.exists(ctx, name, generation); err != nil {
		return err
	}
	switch _, err := r.Store.Stat(ctx, pinKey(name, generation)); {
	case err == nil:
		return &RefusedError{Cache: r.Name, Reason: fmt.Sprintf("generation %s of %s is pinned: unpin it first", generation, name)}
	case !errors.Is(err, blob.ErrNotExist):
		return err
	}
	return r.Store.Delete(ctx, manifestKey(name, generation))
}

// Add makes a new generation of a name from paths that are in the cache with
// their closures. It takes a lease, so that none of them goes meanwhile.
func (r Roots) Add(ctx context.Context, root Root, now time.Time) (Root, error) {
	if err := CheckRootName(root.Name); err != nil {
		return root, err
	}
	source, err := OpenSource(ctx, r.Store, SourceOptions{Name: r.Name, StoreDir: r.StoreDir})
	if err != nil {
		return root, err
	}
	closure, err := source.Closure(ctx, root.Paths...)
	if err != nil {
		return root, err
	}
	err = r.hold(ctx, lease.ClaimOf(closure), func(held *lease.Lease) error {
		// What was there before the lease may be gone.
		again, err := source.Closure(ctx, root.Paths...)
		if err != nil {
			return err
		}
		root.NARBytes, root.ClosureLen = 0, len(again)
		group, all := errgroup.WithContext(ctx)
		group.SetLimit(Lookups(r.Store))
		for _, p := range again {
			root.NARBytes += p.NARSize
			group.Go(func() error { return r.hasNAR(all, source, p) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		root.Version, root.Time = RootVersion, now.UTC().Truncate(time.Millisecond)
		root.Generation = newGeneration(root.Time, root.Paths[0])
		data, err := json.MarshalIndent(root, "", "  ")
		if err != nil {
			return err
		}
		if err := held.Check(); err != nil {
			return err
		}
		return r.put(ctx, manifestKey(root.Name, root.Generation), append(data, '\n'))
	})
	return root, err
}

func (r Roots) hasNAR(ctx context.Context, source *Source, p nix.PathInfo) error {
	n, _ := source.NARInfo(p.Path)
	_, err := r.Store.Stat(ctx, n.URL)
	if errors.Is(err, blob.ErrNotExist) {
		return fmt.Errorf("the NAR of %s is not in cache %s: %w", p.Path, r.Name, ErrDamaged)
	}
	return err
}

func (r Roots) put(ctx context.Context, key string, data []byte) error {
	return r.Store.Put(ctx, key, bytes.NewReader(data), int64(len(data)))
}
