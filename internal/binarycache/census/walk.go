package census

import (
	"context"
	"fmt"
	"slices"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// Walk takes the census of some paths and of all that they refer to, for caches
// that cannot be listed or of which the rest does not matter. Objects and Roots
// are empty, and the paths are in no order; one that has no narinfo is not
// Listed.
func Walk(ctx context.Context, store blob.Reader, paths []nix.StorePath, o Options) (*Census, error) {
	c := &Census{ids: make(map[HashPart]ID)}
	var err error
	if c.Published, err = binarycache.ReadPublished(ctx, store, o.Name); err != nil {
		return nil, err
	}
	if c.UpstreamKeys, err = binarycache.ReadUpstreamKeys(ctx, store, o.Name); err != nil {
		return nil, err
	}
	for _, p := range paths {
		c.idOf(p)
	}
	r := &reading{Census: c, store: store, o: o}
	for from := 0; from < len(c.Paths); {
		wave := slices.Clone(c.Paths[from:]) // Paths grows while they are read
		r.total = len(c.Paths)
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(binarycache.Lookups(store))
		for i := range wave {
			group.Go(func() error { return r.visit(ctx, ID(from+i), wave[i].Key()) })
		}
		if err := group.Wait(); err != nil {
			return nil, fmt.Errorf("read cache %s: %w", o.Name, err)
		}
		from += len(wave)
	}
	return c, nil
}

// visit reads a narinfo that may not be there.
func (r *reading) visit(ctx context.Context, id ID, key string) error {
	data, problem, gone, err := r.get(ctx, key, nix.MaxNARInfoSize)
	if err != nil {
		return err
	}
	if gone {
		return r.finish(func() {})
	}
	r.mu.Lock()
	r.Paths[id].Listed, r.Paths[id].Size = true, int32(len(data))
	r.mu.Unlock()
	return r.note(id, key, data, problem)
}
