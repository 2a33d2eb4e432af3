package binarycache

import (
	"bytes"
	"context"
	"fmt"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// realisations are the objects, by key, of what is known of a path's
// realisations, signed with the sink's keys.
func (s *Sink) realisations(p nix.StorePath) map[string][]byte {
	known := s.o.Realisations[p]
	if len(known) == 0 {
		return nil
	}
	objects := make(map[string][]byte, 2*len(known))
	for _, r := range known {
		for _, k := range s.o.Keys {
			r = r.Sign(k)
		}
		if r.DrvHash != "" {
			objects[realisationKey(r)] = r.Marshal()
		}
		if r.Drv != "" {
			objects[traceKey(r)] = r.MarshalTrace()
		}
	}
	return objects
}

// AddRealisations writes the realisations of a path that is visible, as far as
// the cache has none of their names: the path may have been published before
// this derivation was built. It returns how many objects it wrote.
func (s *Sink) AddRealisations(ctx context.Context, p nix.StorePath) (n int, err error) {
	for key, data := range s.realisations(p) {
		existed, err := blob.PutNew(ctx, s.store, key, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return n, fmt.Errorf("write %s of cache %s: %w", key, s.o.Name, err)
		}
		if !existed {
			n++
		}
	}
	return n, nil
}
