package binarycache

import (
	"context"
	"errors"
	"fmt"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"
)

// About returns what a cache says of itself: its nix-cache-info, and the keys
// that it says its paths are signed with.
func About(ctx context.Context, store blob.Reader, name string) (Info, []nix.PublicKey, error) {
	info, exists, err := readInfo(ctx, store, name)
	if err != nil {
		return info, nil, err
	}
	if !exists {
		return info, nil, &RefusedError{Cache: name, Reason: "it has no nix-cache-info, so it is no binary cache"}
	}
	keys, _, err := readPublicKeys(ctx, store, name)
	return info, keys, err
}

// ReadNARInfo reads a path's narinfo, whose signatures are checked if the source
// has trusted keys.
func (s *Source) ReadNARInfo(ctx context.Context, p nix.StorePath) (nix.NARInfo, error) {
	n, err := s.narInfo(ctx, p)
	if err != nil {
		return n, fmt.Errorf("read from cache %s: %w", s.o.Name, err)
	}
	return n, nil
}

// Listing reads the cache's listing of a path, which is not signed. listed is
// false if there is none.
func Listing(ctx context.Context, store blob.Reader, p nix.StorePath) (nodes []nar.Node, listed bool, err error) {
	data, err := blob.ReadAll(ctx, store, listingKey(p), nar.MaxListing)
	if errors.Is(err, blob.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	nodes, err = nar.ParseListing(data)
	if err != nil {
		return nil, true, fmt.Errorf("%s: %v: %w", listingKey(p), err, ErrDamaged)
	}
	return nodes, true, nil
}
