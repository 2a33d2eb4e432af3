package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
)

// Sweep is the notice of a sweep.
type Sweep struct {
	*held
	// Began is the storage's clock when the notice was first written. Ages are
	// measured from it.
	Began time.Time
}

// Announce writes a notice that names nothing yet.
func Announce(ctx context.Context, store blob.Store, purpose string) (*Sweep, error) {
	s := &Sweep{held: hold(store, "notice of the sweep", SweepPrefix, purpose, SweepTTL, Claim{})}
	began, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	s.Began = began
	return s, nil
}

// Name says in the notice what is about to be deleted, and returns the storage's
// clock. Only after that, and after another look at the leases, may it be
// deleted.
func (s *Sweep) Name(ctx context.Context, c Claim) (now time.Time, err error) {
	c.sort()
	s.mu.Lock()
	s.record.Claim = c
	s.mu.Unlock()
	return s.now(ctx)
}

// Within is a context for one deletion: it ends when the notice can no longer
// be relied on. It fails if that is so already.
func (s *Sweep) Within(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := s.Check(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	end := s.renewed.Add(s.ttl / 2)
	s.mu.Unlock()
	ctx, cancel := context.WithDeadline(ctx, end)
	return ctx, cancel, nil
}

// Active is a lease that somebody holds.
type Active struct {
	Key     string
	Purpose string
	Holder  string
	Renewed time.Time // by the storage's clock
	Claim   Claim
}

// Leases reads the leases of a cache. Those that were not renewed for their
// time are returned by their keys: their holders are gone. now is the storage's
// clock. A lease that cannot be read is an error as long as it is young: nobody
// knows what it claims.
func Leases(ctx context.Context, store blob.Store, now time.Time) (active []Active, stale []string, err error) {
	for info, err := range store.List(ctx, Prefix) {
		if err != nil {
			return nil, nil, fmt.Errorf("list the leases: %w", err)
		}
		if !strings.HasSuffix(info.Key, ".json") {
			continue
		}
		r, err := read(ctx, store, info.Key)
		switch age := now.Sub(info.Modified); {
		case errors.Is(err, blob.ErrNotExist): // released meanwhile
		case errors.As(err, new(*damagedError)) && age > LeaseTTL:
			stale = append(stale, info.Key)
		case errors.As(err, new(*damagedError)):
			return nil, nil, fmt.Errorf("%w: nobody knows what it protects; it counts for another %s, or delete it", err, (LeaseTTL - age).Round(time.Second))
		case err != nil:
			return nil, nil, err
		case age > time.Duration(r.TTL)*time.Second:
			stale = append(stale, info.Key)
		default:
			active = append(active, Active{Key: info.Key, Purpose: r.Purpose, Holder: r.Holder, Renewed: info.Modified, Claim: r.Claim})
		}
	}
	return active, stale, nil
}

// StaleSweeps are the notices of sweeps whose holders are gone, by their keys.
func StaleSweeps(ctx context.Context, store blob.Store, now time.Time) ([]string, error) {
	var stale []string
	for info, err := range store.List(ctx, SweepPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list the sweeps: %w", err)
		}
		if now.Sub(info.Modified) > 24*time.Hour { // whatever time it says
			stale = append(stale, info.Key)
		}
	}
	return stale, nil
}
