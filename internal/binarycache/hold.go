package binarycache

import (
	"context"
	"errors"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// holder is what holds paths of a cache while they are copied there.
type holder struct {
	store blob.Store

	mu     sync.Mutex
	leases []*lease.Lease
}

// Hold takes a lease on the cache for the paths of a push, so that no garbage
// collection deletes what the push finds there or adds. It is renewed until
// stop is called, and lasts for half an hour more, time enough to write the
// manifests; then call Release. Paths may be held in addition to others.
func (s *holder) Hold(ctx context.Context, closure []nix.PathInfo) (stop func(), err error) {
	l, err := lease.Take(ctx, s.store, "push", lease.ClaimOf(closure))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.leases = append(s.leases, l)
	s.mu.Unlock()
	return l.Renewing(ctx), nil
}

// Settle waits for sweeps that are under way and could delete what is held.
func (s *holder) Settle(ctx context.Context) error {
	for _, l := range s.held() {
		if err := l.Settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Held is an error if a lease was taken and could not be kept up: what was
// found present may have been deleted since.
func (s *holder) Held() error {
	for _, l := range s.held() {
		if err := l.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Release gives the leases back, last of all. That it could not be done is of
// no consequence but that what was held is kept for another hour.
func (s *holder) Release(ctx context.Context) error {
	var errs []error
	for _, l := range s.held() {
		errs = append(errs, l.Release(ctx))
	}
	s.mu.Lock()
	s.leases = nil
	s.mu.Unlock()
	return errors.Join(errs...)
}

func (s *holder) held() []*lease.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*lease.Lease(nil), s.leases...)
}
