package repair

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Outcome is what became of a plan.
type Outcome struct {
	Mended    []Mending
	Failed    []Loss // could not be mended after all
	Withdrawn []Withdrawal
	Deleted   []string // keys of listings and NARs
}

// BusyError says that nothing was withdrawn, since pushes under way count on
// what would be.
type BusyError struct{ Holder string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("a push by %s is under way and counts on paths that would be withdrawn; nothing was: run the repair again when it has ended", e.Holder)
}

// Apply carries out a plan. Paths are replaced first, under a lease as a push
// has it; what is withdrawn goes as in a collection of garbage: announced, and
// not while a push counts on it. It may be interrupted at any point; another
// audit and repair do the rest. The outcome is valid also with an error.
func Apply(ctx context.Context, o Options, plan *Plan, progress *cache.Progress) (Outcome, error) {
	a := &application{Options: o, mender: o.mender(), plan: plan, lost: maps.Clone(plan.lost), mended: make(map[census.ID]bool)}
	if a.lost == nil {
		a.lost = make(map[census.ID]string)
	}
	if err := a.mend(ctx, progress); err != nil {
		return a.out, err
	}
	return a.out, a.remove(ctx)
}

type application struct {
	Options
	mender *binarycache.Mender
	plan   *Plan
	out    Outcome
	lost   map[census.ID]string
	mended map[census.ID]bool
}

// mend replaces what a source has, and writes narinfos again that were wrong of
// a file alone.
func (a *application) mend(ctx context.Context, progress *cache.Progress) error {
	g := &goods{from: make(map[nix.StorePath]Source)}
	byPath := make(map[nix.StorePath]Mending)
	var roots []nix.StorePath
	for _, m := range a.plan.Mend {
		byPath[m.Path] = m
		if m.source == nil {
			f := a.Found.Files[m.id]
			if err := a.mender.Amend(ctx, m.Path, f.Size, f.Hash); err != nil {
				return err
			}
			a.done(m)
			continue
		}
		g.infos = append(g.infos, m.info)
		g.from[m.Path] = m.source
		roots = append(roots, m.Path)
	}
	if len(roots) == 0 {
		return nil
	}
	defer func() { _ = a.mender.Release(ctx) }() // it ends by itself, too
	result, err := cache.Copy(ctx, a.mender, g, roots, cache.Options{Verify: true, Progress: progress})
	for _, o := range result.Outcomes {
		m := byPath[o.Info.Path]
		if o.Action == cache.Sent {
			a.done(m)
			continue
		}
		reason := "it could not be read whole from " + m.From
		a.out.Failed = append(a.out.Failed, Loss{string(m.Path), reason})
		if m.id != census.NoPath {
			a.lost[m.id] = reason
		}
	}
	var failed *cache.PathError
	if errors.As(err, &failed) && failed.Side == "source" && ctx.Err() == nil {
		return nil // that path is lost; it is told of as such
	}
	return err
}

func (a *application) done(m Mending) {
	a.out.Mended = append(a.out.Mended, m)
	if m.id != census.NoPath {
		a.mended[m.id] = true
	}
}

// garbage are the keys of files that go: damaged listings, and damaged NARs that
// were not replaced. A push would find such a NAR by its name and use it.
func (a *application) garbage() []string {
	keys := slices.Clone(a.plan.Delete)
	for key := range a.Found.BadFiles {
		if a.mender.Bad(key) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// remove deletes the narinfos of what is lost, referrers first, so that at no
// time a path is visible without what it refers to that was not so before; and
// then the files that nothing needs.
func (a *application) remove(ctx context.Context) error {
	if len(a.withdrawals())+len(a.garbage()) == 0 {
		return nil
	}
	notice, err := lease.Announce(ctx, a.Store, "repair")
	if err != nil {
		return fmt.Errorf("cache %s: %w", a.Name, err)
	}
	stop := notice.Renewing(ctx)
	defer func() { stop(); _ = notice.Release(ctx) }()
	if err := a.claim(ctx, notice); err != nil {
		return err
	}
	// A push may have brought back since what was lost: that is asked for now
	// that no push can begin to count on what goes.
	if err := a.stillLost(ctx); err != nil {
		return err
	}
	for _, w := range a.withdrawals() {
		if err := a.delete(ctx, notice, w.Key); err != nil {
			return err
		}
		a.out.Withdrawn = append(a.out.Withdrawn, w)
	}
	for _, key := range a.garbage() {
		if err := a.delete(ctx, notice, key); err != nil {
			return err
		}
		a.out.Deleted = append(a.out.Deleted, key)
	}
	return nil
}

func (a *application) withdrawals() []Withdrawal {
	return withdrawals(a.Found.Census, a.lost, a.mended)
}

// claim says in the notice what goes, and fails if a push counts on any of it.
func (a *application) claim(ctx context.Context, notice *lease.Sweep) error {
	var claim lease.Claim
	var hashes, nars []string
	for _, w := range a.withdrawals() {
		hash := strings.TrimSuffix(w.Key, ".narinfo")
		hashes = append(hashes, hash)
		claim.AddPath(hash)
	}
	for _, key := range a.garbage() {
		claim.AddKey(key)
		if census.KindOf(key) == census.NAR {
			nars = append(nars, path.Base(key))
			claim.AddNAR(path.Base(key))
		}
	}
	now, err := notice.Name(ctx, claim)
	if err != nil {
		return fmt.Errorf("cache %s: %w", a.Name, err)
	}
	active, _, err := lease.Leases(ctx, a.Store, now)
	if err != nil {
		return fmt.Errorf("cache %s: %w", a.Name, err)
	}
	for _, l := range active {
		if slices.ContainsFunc(hashes, l.Claim.HasPath) || slices.ContainsFunc(nars, l.Claim.HasNAR) {
			return &BusyError{l.Holder}
		}
	}
	return nil
}

func (a *application) delete(ctx context.Context, notice *lease.Sweep, key string) error {
	within, cancel, err := notice.Within(ctx)
	if err != nil {
		return fmt.Errorf("cache %s: %w", a.Name, err)
	}
	defer cancel()
	if err := a.Store.Delete(within, key); err != nil {
		return fmt.Errorf("delete %s of cache %s: %w", key, a.Name, err)
	}
	return nil
}

// stillLost forgets what is no longer as the audit found it.
func (a *application) stillLost(ctx context.Context) error {
	for id := range a.lost {
		p := &a.Found.Census.Paths[id]
		object, err := a.Store.Stat(ctx, p.Key())
		switch {
		case errors.Is(err, blob.ErrNotExist):
		case err != nil:
			return fmt.Errorf("ask cache %s for %s: %w", a.Name, p.Key(), err)
		case !p.Listed || object.Modified.UnixNano() != p.Modified || object.Size != int64(p.Size):
			delete(a.lost, id)
		}
	}
	return nil
}
