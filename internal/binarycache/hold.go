package binarycache

import (
	"context"
	"errors"

	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Hold takes a lease on the cache for the paths of a push, so that no garbage
// collection deletes what the push finds there or adds. It is renewed until
// stop is called, and lasts for half an hour more, time enough to write the
// manifests; then call Release. Paths may be held in addition to others.
func (s *Sink) Hold(ctx context.Context, closure []nix.PathInfo) (stop func(), err error) {
	l, err := lease.Take(ctx, s.store, "push", lease.ClaimOf(closure))
	if err != nil {
		return nil, err
	}
	s.leaseMu.Lock()
	s.leases = append(s.leases, l)
	s.leaseMu.Unlock()
	return l.Renewing(ctx), nil
}

// Settle waits for sweeps that are under way and could delete what is held.
func (s *Sink) Settle(ctx context.Context) error {
	for _, l := range s.held() {
		if err := l.Settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Held is an error if a lease was taken and could not be kept up: what was
// found present may have been deleted since.
func (s *Sink) Held() error {
	for _, l := range s.held() {
		if err := l.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Release gives the leases back, last of all. That it could not be done is of
// no consequence but that what was held is kept for another hour.
func (s *Sink) Release(ctx context.Context) error {
	var errs []error
	for _, l := range s.held() {
		errs = append(errs, l.Release(ctx))
	}
	s.leaseMu.Lock()
	s.leases = nil
	s.leaseMu.Unlock()
	return errors.Join(errs...)
}

func (s *Sink) held() []*lease.Lease {
	s.leaseMu.Lock()
	defer s.leaseMu.Unlock()
	return append([]*lease.Lease(nil), s.leases...)
}
