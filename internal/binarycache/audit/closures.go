package audit

import (
	"context"
	"errors"
	"fmt"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// closures looks whether what is visible, and what roots name, is whole.
//
// In a cache that leaves paths to upstreams (docs/cache-layout.md) an absent
// path is damage if a root's manifest says that it must be here, or if the
// upstreams were named and have it not.
func (a *auditor) closures(ctx context.Context) error {
	c := a.Census
	relies := len(c.UpstreamKeys) > 0
	left := make(map[census.ID]census.ID) // absent, and one that refers to it
	for i := range c.Paths {
		p := &c.Paths[i]
		if !p.Good() {
			continue
		}
		for _, r := range p.References {
			if c.Paths[r].Listed {
				continue // a damaged narinfo is a finding of its own
			}
			if relies {
				left[r] = census.ID(i)
				continue
			}
			a.find(ReferenceMissing, p.Key(), string(p.Path), "it refers to %s, which is not in the cache", &c.Paths[r])
			a.breaks(r, ReferenceMissing)
		}
	}
	if len(a.o.Paths) > 0 || a.o.Store == nil {
		for _, path := range a.o.Paths {
			if id, ok := c.FindPath(path); ok && !c.Paths[id].Listed {
				a.find(RootIncomplete, c.Paths[id].Key(), string(path), "it is not in the cache")
				a.breaks(id, RootIncomplete)
			}
		}
	}
	for i := range c.Roots {
		a.root(&c.Roots[i])
	}
	for id := range a.Broken {
		delete(left, id)
	}
	a.Left = len(left)
	return a.upstream(ctx, left)
}

// root looks whether the closure of a manifest is there.
func (a *auditor) root(m *census.RootManifest) {
	a.Roots++
	c := a.Census
	if m.Problem != nil {
		a.find(RootDamaged, m.Key, "", "%v", m.Problem)
		return
	}
	seen := make(map[census.ID]bool)
	for _, id := range m.Upstream {
		seen[id] = true // need not be there, and what it refers to is nobody's to follow
		if c.Paths[id].Good() {
			seen[id] = false
		}
	}
	var stack []census.ID
	push := func(ids []census.ID) {
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				stack = append(stack, id)
			}
		}
	}
	push(m.Wants)
	absent, example := 0, ""
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		p := &c.Paths[id]
		if !p.Listed {
			absent++
			if example == "" || p.String() < example {
				example = p.String()
			}
			a.breaks(id, ReferenceMissing)
			continue
		}
		push(p.References)
	}
	if absent > 0 {
		a.find(RootIncomplete, m.Key, "", "%d paths of its closure are not in the cache, %s first", absent, example)
	}
}

// upstream asks the upstreams for what is left to them.
func (a *auditor) upstream(ctx context.Context, left map[census.ID]census.ID) error {
	if len(a.o.Upstreams) == 0 || len(left) == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(binarycache.Lookups(a.o.Upstreams[0].Reader))
	for id, from := range left {
		group.Go(func() error {
			have, err := a.upstreamHas(ctx, &a.Census.Paths[id])
			if err != nil || have {
				return err
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			p := &a.Census.Paths[from]
			a.find(ReferenceMissing, p.Key(), string(p.Path), "it refers to %s, which is not in the cache, nor in an upstream under a signature of its keys", &a.Census.Paths[id])
			a.breaks(id, ReferenceMissing)
			return nil
		})
	}
	return group.Wait()
}

func (a *auditor) upstreamHas(ctx context.Context, p *census.Path) (bool, error) {
	for _, u := range a.o.Upstreams {
		data, err := blob.ReadAll(ctx, u.Reader, p.Key(), nix.MaxNARInfoSize)
		if errors.Is(err, blob.ErrNotExist) || errors.Is(err, blob.ErrTooLarge) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("ask upstream %s for %s: %w", u.Name, p, err)
		}
		n, err := nix.ParseNARInfo(a.Census.Published.Info.StoreDir, data)
		if err != nil || n.Path.HashPart() != p.Hash.String() {
			continue
		}
		if _, ok := n.SignedBy(a.Census.UpstreamKeys); ok {
			return true, nil
		}
	}
	return false, nil
}
