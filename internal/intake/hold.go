package intake

import (
	"context"
	"errors"
	"fmt"

	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// hold takes a lease for a path that is about to become visible, its NAR and
// what it refers to, and waits for garbage collections that are about to delete
// any of that. What is found there afterwards stays until release is called.
func (i *Intake) hold(ctx context.Context, n nix.NARInfo) (release func(), err error) {
	var c lease.Claim
	c.AddPath(n.Path.HashPart())
	c.AddKey(n.URL)
	// The file's name starts with one of these.
	c.AddNAR(n.NARHash.Base32())
	c.AddNAR(n.FileHash.Base32())
	for _, r := range n.References {
		c.AddPath(r.HashPart())
	}
	l, err := lease.Take(ctx, i.o.Store, "push", c)
	if err != nil {
		return nil, fmt.Errorf("hold %s in cache %s: %w", n.Path, i.o.Name, err)
	}
	release = func() { _ = l.Release(ctx) } // if that fails it is kept for an hour
	if err := l.Settle(ctx); err != nil {
		release()
		return nil, fmt.Errorf("hold %s in cache %s: %w", n.Path, i.o.Name, err)
	}
	return release, nil
}

// Has says whether a path is in the cache at this moment or, if not, whether
// readers can have it from elsewhere. It asks the cache itself, whatever is
// remembered.
func (i *Intake) Has(ctx context.Context, p nix.StorePath) (bool, error) {
	switch _, err := i.o.Store.Stat(ctx, p.HashPart()+".narinfo"); {
	case err == nil:
		return true, nil
	case !errors.Is(err, blob.ErrNotExist):
		return false, err
	}
	if i.o.Changed != nil {
		i.o.Changed(p) // what is remembered of it may be from before it was deleted
	}
	return i.o.Visible(ctx, p)
}
