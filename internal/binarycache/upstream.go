package binarycache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// Upstream says which paths a cache leaves to others that its clients have as
// substituters too. The zero value leaves out nothing.
type Upstream struct {
	// Keys: a path whose own signature verifies with one of these is left out.
	Keys []nix.PublicKey
	// Caches are asked whether they have such a path, under a signature of
	// Keys; what none of them has is sent. Without any the signature suffices.
	Caches []UpstreamCache
}

// UpstreamCache is a cache that is read beside another.
type UpstreamCache struct {
	Name   string // in messages, without credentials
	Reader blob.Reader
}

// check makes sure that an upstream is a cache of the store directory.
func (u UpstreamCache) check(ctx context.Context, storeDir string) error {
	info, exists, err := readInfo(ctx, u.Reader, u.Name)
	switch {
	case err != nil:
		return err
	case !exists:
		return &RefusedError{Cache: u.Name, Reason: "it has no nix-cache-info, so it is no binary cache to leave paths to"}
	case info.StoreDir != storeDir:
		return &RefusedError{Cache: u.Name, Reason: fmt.Sprintf("it holds paths of the store %s, and these are of %s", info.StoreDir, storeDir)}
	}
	return nil
}

// upstreamState is what a Sink knows of its upstreams.
type upstreamState struct {
	recorded []nix.PublicKey // that the cache says it relies on

	mu      sync.Mutex
	checked bool // Caches are caches
	relied  bool // a path was left out
	noted   bool // and the cache's list has the keys
}

// Elsewhere returns those of ps that a key of Upstream has signed and, where
// caches are to be asked, that one of them has.
func (s *Sink) Elsewhere(ctx context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error) {
	if len(s.o.Upstream.Keys) == 0 {
		return nil, nil
	}
	signed := signedBy(ps, s.o.Upstream.Keys)
	if len(signed) > 0 && len(s.o.Upstream.Caches) > 0 {
		if err := s.checkUpstreams(ctx); err != nil {
			return nil, err
		}
		left := signed
		signed = nil
		for _, u := range s.o.Upstream.Caches {
			have, lack, err := s.askUpstream(ctx, u, left)
			if err != nil {
				return nil, err
			}
			signed, left = append(signed, have...), lack
		}
	}
	if len(signed) > 0 {
		s.upstream.mu.Lock()
		s.upstream.relied = true
		s.upstream.mu.Unlock()
	}
	return signed, nil
}

func (s *Sink) checkUpstreams(ctx context.Context) error {
	s.upstream.mu.Lock()
	defer s.upstream.mu.Unlock()
	if s.upstream.checked {
		return nil
	}
	for _, u := range s.o.Upstream.Caches {
		if err := u.check(ctx, s.o.StoreDir); err != nil {
			return err
		}
	}
	s.upstream.checked = true
	return nil
}

// askUpstream asks a cache for the narinfos of ps, as many at once as suits it.
// Only one that is of the path and signed by a key of Upstream counts. What it
// does not answer is an error: absence must not be guessed, nor presence.
func (s *Sink) askUpstream(ctx context.Context, u UpstreamCache, ps []nix.PathInfo) (have, lack []nix.PathInfo, err error) {
	has := make([]bool, len(ps))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(Lookups(u.Reader))
	for i, p := range ps {
		group.Go(func() error {
			data, err := blob.ReadAll(ctx, u.Reader, narInfoKey(p.Path), nix.MaxNARInfoSize)
			if errors.Is(err, blob.ErrNotExist) || errors.Is(err, blob.ErrTooLarge) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("ask upstream %s for %s: %w", u.Name, p.Path, err)
			}
			if n, err := nix.ParseNARInfo(s.o.StoreDir, data); err == nil && n.Path == p.Path {
				_, has[i] = n.SignedBy(s.o.Upstream.Keys)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for i, p := range ps {
		if has[i] {
			have = append(have, p)
		} else {
			lack = append(lack, p)
		}
	}
	return have, lack, nil
}

// signedBy returns those of ps that one of the keys has signed. Verifying costs
// more than all else of a plan, so it is spread over the processors.
func signedBy(ps []nix.PathInfo, keys []nix.PublicKey) []nix.PathInfo {
	signed := make([]bool, len(ps))
	var group errgroup.Group
	workers := min(runtime.GOMAXPROCS(0), len(ps))
	for w := range workers {
		group.Go(func() error {
			for i := w; i < len(ps); i += workers {
				_, signed[i] = ps[i].SignedBy(keys)
			}
			return nil
		})
	}
	_ = group.Wait()
	var out []nix.PathInfo
	for i, p := range ps {
		if signed[i] {
			out = append(out, p)
		}
	}
	return out
}

// LeftUpstream returns the hash parts of those of ps, paths that this push did
// not send, which the cache need not hold: its upstream keys signed them. That
// is what a root manifest says of its closure. Empty if the cache relies on no
// upstream.
func (s *Sink) LeftUpstream(ps []nix.PathInfo) []string {
	s.upstream.mu.Lock()
	relies := s.upstream.relied || len(s.upstream.recorded) > 0
	s.upstream.mu.Unlock()
	if len(s.o.Upstream.Keys) == 0 || !relies {
		return nil
	}
	var parts []string
	for _, p := range signedBy(ps, s.o.Upstream.Keys) {
		parts = append(parts, p.Path.HashPart())
	}
	return parts
}

// vouches says whether a path that is in the cache has its closure there or at
// an upstream of this push. A cache that relies on other upstreams than this
// push does not vouch for what this push wants.
func (s *Sink) vouches() bool {
	s.upstream.mu.Lock()
	defer s.upstream.mu.Unlock()
	for _, k := range s.upstream.recorded {
		if !slices.Contains(s.o.Upstream.Keys, k) {
			return false
		}
	}
	return true
}

// Vouches asks again whether the cache relies on upstreams: another push may
// have begun to leave paths out since this one looked. It wrote that down before
// any of its paths became visible.
func (s *Sink) Vouches(ctx context.Context) (bool, error) {
	recorded, err := ReadUpstreamKeys(ctx, s.store, s.o.Name)
	if err != nil {
		return false, err
	}
	s.upstream.mu.Lock()
	s.upstream.recorded = recorded
	s.upstream.mu.Unlock()
	return s.vouches(), nil
}

// note writes the keys of this push into the cache's list of those that it
// relies on, before anything becomes visible that does. Another push may write
// the list at the same time, so it is read again.
func (s *Sink) note(ctx context.Context) error {
	u := &s.upstream
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.relied || u.noted {
		return nil
	}
	for range 3 {
		listed, err := ReadUpstreamKeys(ctx, s.store, s.o.Name)
		if err != nil {
			return err
		}
		all := listed
		for _, k := range s.o.Upstream.Keys {
			if !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
		if len(all) == len(listed) {
			u.noted, u.recorded = true, listed
			return nil
		}
		if err := s.putBytes(ctx, upstreamKeysKey, marshalKeys(upstreamKeysComment, all)); err != nil {
			return err
		}
	}
	return fmt.Errorf("write %s of cache %s: something else changes it all the time", upstreamKeysKey, s.o.Name)
}

// ReadUpstreamKeys returns the keys of the caches that a cache relies on: a
// path in it may refer to one that is not, but that one of these keys signed.
// None: every path of the cache has its closure there.
func ReadUpstreamKeys(ctx context.Context, r blob.Reader, name string) ([]nix.PublicKey, error) {
	keys, _, err := readKeys(ctx, r, name, upstreamKeysKey)
	return keys, err
}
