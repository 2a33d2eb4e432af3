package binarycache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// Signer adds signatures to the narinfos and the realisations of a cache and
// takes them away.
type Signer struct {
	Store blob.Store
	Name  string // of the cache in messages, without credentials
	// Keys sign; Remove are names of keys whose signatures go.
	Keys   []nix.SecretKey
	Remove []string
	// Trusted keys, beside those that the cache lists and Keys: a narinfo
	// without a good signature of one is not signed. What it says of a path may
	// be anybody's word, and a signature would make it the signer's. Unverified
	// signs it all the same.
	Trusted    []nix.PublicKey
	Unverified bool
	DryRun     bool
}

// What became of an object.
const (
	SignChanged = "signed"
	SignKept    = "unchanged"
	SignRefused = "refused"
	SignGone    = "gone"
)

// SignOutcome is what became of the narinfo or a realisation of a path.
type SignOutcome struct {
	Path   nix.StorePath `json:"path"` // empty if the object cannot be read
	Key    string        `json:"key"`  // of the object
	Action string        `json:"action"`
	Reason string        `json:"reason,omitempty"` // of a refusal
}

// signBatch is how many narinfos are signed under one lease.
const signBatch = 1000

// SignAll signs every narinfo and realisation of the cache, and keeps its list
// of public keys true: a new key is listed before the first path has its signature, so that
// pushes with it are taken; a removed one is dropped when no path has its
// signature any more. done is told of every object, from one goroutine at a
// time.
func (s *Signer) SignAll(ctx context.Context, done func(SignOutcome)) error {
	published, err := s.check(ctx)
	if err != nil {
		return err
	}
	if err := s.list(ctx, published.Keys, nil); err != nil {
		return err
	}
	var keys []string
	kept := false // a signature that should have gone
	flush := func() error {
		err := s.batch(ctx, published, keys, func(o SignOutcome) {
			kept = kept || o.Action == SignRefused
			done(o)
		})
		keys = keys[:0]
		return err
	}
	for info, err := range s.Store.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("list cache %s: %w", s.Name, err)
		}
		if !hasSignatures(info.Key) {
			continue
		}
		if keys = append(keys, info.Key); len(keys) == signBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if kept {
		return nil // clients may still need a key that was to go
	}
	return s.list(ctx, published.Keys, s.Remove)
}

// SignPaths signs the narinfos of some paths.
func (s *Signer) SignPaths(ctx context.Context, paths []nix.StorePath, done func(SignOutcome)) error {
	published, err := s.check(ctx)
	if err != nil {
		return err
	}
	if err := s.list(ctx, published.Keys, nil); err != nil {
		return err
	}
	for batch := range slices.Chunk(paths, signBatch) {
		keys := make([]string, len(batch))
		for i, p := range batch {
			keys[i] = narInfoKey(p)
		}
		if err := s.batch(ctx, published, keys, done); err != nil {
			return err
		}
	}
	return nil
}

func (s *Signer) check(ctx context.Context) (Published, error) {
	p, err := ReadPublished(ctx, s.Store, s.Name)
	if err != nil {
		return p, err
	}
	if !p.IsCache {
		return p, &RefusedError{Cache: s.Name, Reason: "it has no nix-cache-info, so it is no binary cache"}
	}
	for _, k := range s.Keys {
		if slices.Contains(s.Remove, k.Name) {
			return p, &RefusedError{Cache: s.Name, Reason: fmt.Sprintf("the key %s would sign and be removed", k.Name)}
		}
	}
	return p, nil
}

// list writes the cache's list of public keys: what it has and Keys, without
// those of the names in gone.
func (s *Signer) list(ctx context.Context, listed []nix.PublicKey, gone []string) error {
	var keys []nix.PublicKey
	for _, k := range listed {
		if !slices.Contains(gone, k.Name) {
			keys = append(keys, k)
		}
	}
	for _, k := range s.Keys {
		if !slices.Contains(keys, k.Public()) {
			keys = append(keys, k.Public())
		}
	}
	if s.DryRun || slices.Equal(keys, listed) {
		return nil
	}
	if len(keys) == 0 {
		return &RefusedError{Cache: s.Name, Reason: "no key would be left: clients would refuse every path"}
	}
	data := MarshalPublicKeys(keys)
	if err := s.Store.Put(ctx, publicKeysKey, bytes.NewReader(data), int64(len(data))); err != nil {
		return fmt.Errorf("write %s of cache %s: %w", publicKeysKey, s.Name, err)
	}
	return nil
}

// batch signs the narinfos at keys. It holds a lease meanwhile: what a garbage
// collection deletes between reading and writing would come back without its
// NAR.
func (s *Signer) batch(ctx context.Context, published Published, keys []string, done func(SignOutcome)) error {
	if len(keys) == 0 {
		return nil
	}
	if !s.DryRun {
		var claim lease.Claim
		for _, k := range keys {
			if hash, ok := strings.CutSuffix(k, ".narinfo"); ok {
				claim.AddPath(hash)
			} else {
				claim.AddKey(k)
			}
		}
		held, err := lease.Take(ctx, s.Store, "sign", claim)
		if err != nil {
			return err
		}
		stop := held.Renewing(ctx)
		defer func() {
			stop()
			_ = held.Release(context.WithoutCancel(ctx)) // it ends by itself, too
		}()
		if err := held.Settle(ctx); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(Lookups(s.Store))
	for _, key := range keys {
		group.Go(func() error {
			o, err := s.one(ctx, published, key)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done(o)
			return nil
		})
	}
	return group.Wait()
}

func (s *Signer) one(ctx context.Context, published Published, key string) (SignOutcome, error) {
	o := SignOutcome{Key: key}
	data, err := blob.ReadAll(ctx, s.Store, key, nix.MaxNARInfoSize)
	switch {
	case errors.Is(err, blob.ErrNotExist):
		o.Action = SignGone
		return o, nil
	case errors.Is(err, blob.ErrTooLarge):
		o.Action, o.Reason = SignRefused, "it is too large"
		return o, nil
	case err != nil:
		return o, fmt.Errorf("read %s of cache %s: %w", key, s.Name, err)
	}
	old, err := parseSignable(published.Info.StoreDir, key, data)
	if err != nil {
		o.Action, o.Reason = SignRefused, err.Error()
		return o, nil //nolint:nilerr // what is wrong with one object is its outcome
	}
	o.Path = old.path()
	trusted := slices.Concat(published.Keys, s.Trusted)
	for _, k := range s.Keys {
		trusted = append(trusted, k.Public())
	}
	if !old.signedBy(trusted) && !s.Unverified {
		o.Action, o.Reason = SignRefused, "no trusted key has signed it ("+signers(old.signatures())+")"
		return o, nil
	}
	changed := old
	for _, k := range s.Keys {
		changed = changed.sign(k)
	}
	left := slices.DeleteFunc(slices.Clone(changed.signatures()), func(sig nix.Signature) bool { return slices.Contains(s.Remove, sig.Name) })
	if changed = changed.with(left); len(left) < len(old.signatures()) {
		stay := slices.DeleteFunc(trusted, func(k nix.PublicKey) bool { return slices.Contains(s.Remove, k.Name) })
		if !changed.signedBy(stay) {
			o.Action, o.Reason = SignRefused, "no signature of another trusted key would be left"
			return o, nil
		}
	}
	out := changed.marshal()
	if bytes.Equal(out, old.marshal()) {
		o.Action = SignKept
		return o, nil
	}
	o.Action = SignChanged
	if s.DryRun {
		return o, nil
	}
	if err := s.Store.Put(ctx, key, bytes.NewReader(out), int64(len(out))); err != nil {
		return o, fmt.Errorf("write %s of cache %s: %w", key, s.Name, err)
	}
	return o, nil
}
