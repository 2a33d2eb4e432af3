package attic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// SinkOptions say how a cache is written.
type SinkOptions struct {
	StoreDir string // of the paths that come; empty: nix.DefaultStoreDir
	// Upstream: a path whose own signature verifies with one of these keys is
	// left to the caches of those keys. Full sends everything; otherwise the
	// keys that the server's configuration names count as well, as far as they
	// are known here (KnownKeys): a name alone proves nothing.
	Upstream []nix.PublicKey
	Full     bool
	// Verify reads back every path that was sent or found, and sends what the
	// server lost again. It needs Back.
	Verify bool
	// Back reads the cache as its clients do, with its own key trusted, and
	// without much patience: a server that has lost a path's bytes answers as
	// one that is busy.
	Back Back
}

// Back reads single paths of a cache; a binarycache.Source does.
type Back interface {
	Info(ctx context.Context, p nix.StorePath) (nix.PathInfo, error)
	OpenNAR(ctx context.Context, p nix.PathInfo) (io.ReadCloser, error)
}

// Sink writes store paths to a cache. The server signs them.
type Sink struct {
	client *Client
	o      SinkOptions
	config CacheConfig
	skip   []nix.PublicKey
	bytes  *semaphore.Weighted // of NARs under way

	mu    sync.Mutex
	whole map[nix.StorePath]bool  // read back and found right
	lost  map[nix.StorePath]error // the server has a record of it, and not its bytes
}

var _ cache.Sink = (*Sink)(nil)

// Bounds of what is uploaded at once. A server holds a part of each NAR in
// memory, so the bytes are bounded as well as the number.
const (
	maxUploads     = 16
	bytesUnderWay  = 512 << 20
	verifiesAtOnce = 8
)

// OpenSink asks for the cache's configuration and refuses
// (binarycache.RefusedError) paths of another store directory. It writes
// nothing.
func OpenSink(ctx context.Context, k *Client, o SinkOptions) (*Sink, error) {
	if o.StoreDir == "" {
		o.StoreDir = nix.DefaultStoreDir
	}
	config, err := k.Config(ctx)
	if err != nil {
		return nil, err
	}
	if config.StoreDir != "" && config.StoreDir != o.StoreDir {
		return nil, &binarycache.RefusedError{Cache: k.config.String(), Reason: fmt.Sprintf("it holds paths of the store %s, and these are of %s", config.StoreDir, o.StoreDir)}
	}
	return &Sink{
		client: k, o: o, config: config, skip: skipKeys(o, config),
		bytes: semaphore.NewWeighted(bytesUnderWay),
		whole: make(map[nix.StorePath]bool), lost: make(map[nix.StorePath]error),
	}, nil
}

// KnownKeys are public keys that servers name in their configurations.
// cache.nixos.org's is the one that Nix itself trusts by default.
var KnownKeys = []string{"cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="}

func skipKeys(o SinkOptions, config CacheConfig) []nix.PublicKey {
	if o.Full {
		return nil
	}
	keys := slices.Clone(o.Upstream)
	if config.UpstreamKeys == nil {
		return keys
	}
	for _, text := range KnownKeys {
		if k, err := nix.ParsePublicKey(text); err == nil && slices.Contains(*config.UpstreamKeys, k.Name) {
			keys = append(keys, k)
		}
	}
	return keys
}

// Elsewhere returns those of ps that a key of an upstream has signed.
func (s *Sink) Elsewhere(_ context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error) {
	var signed []nix.PathInfo
	for _, p := range ps {
		if _, ok := p.SignedBy(s.skip); ok {
			signed = append(signed, p)
		}
	}
	return signed, nil
}

// Config is what the server said of the cache when it was opened.
func (s *Sink) Config() CacheConfig { return s.config }

// Traits tells cache.Copy that an upload makes its path visible at once, and
// that a path there does not vouch for its closure: other clients upload in
// any order, and the server collects path by path.
func (s *Sink) Traits() cache.Traits {
	return cache.Traits{RefsFirst: true, Large: maxUploads}
}

// Missing asks the server for all of ps in few requests. With Verify it reads
// back what the server says it has.
func (s *Sink) Missing(ctx context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error) {
	hashes := make([]string, len(ps))
	for i, p := range ps {
		hashes[i] = p.Path.HashPart()
	}
	absent, err := s.client.Missing(ctx, hashes)
	if err != nil {
		return nil, err
	}
	var there, missing []nix.PathInfo
	for _, p := range ps {
		if absent[p.Path.HashPart()] {
			missing = append(missing, p)
		} else {
			there = append(there, p)
		}
	}
	if !s.o.Verify {
		return missing, nil
	}
	bad := make([]bool, len(there))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(verifiesAtOnce)
	for i, p := range there {
		group.Go(func() error {
			ok, err := s.readBack(ctx, p)
			bad[i] = !ok
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, p := range there {
		if bad[i] {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// readBack says whether clients get the path as it is here. It asks once per
// path: what is read is not lost again by being read.
func (s *Sink) readBack(ctx context.Context, p nix.PathInfo) (bool, error) {
	s.mu.Lock()
	known := s.whole[p.Path]
	s.mu.Unlock()
	if known {
		return true, nil
	}
	err := s.read(ctx, p)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.lost[p.Path] = err
		return false, nil
	}
	s.whole[p.Path] = true
	return true, nil
}

func (s *Sink) read(ctx context.Context, p nix.PathInfo) error {
	info, err := s.o.Back.Info(ctx, p.Path)
	if err != nil {
		return err
	}
	if info.NARHash != p.NARHash {
		return fmt.Errorf("the cache has it with the NAR %s, and here it has %s", info.NARHash, p.NARHash)
	}
	nar, err := s.o.Back.OpenNAR(ctx, info)
	if err != nil {
		return err
	}
	defer nar.Close()
	_, err = io.Copy(io.Discard, nar)
	return err
}

// PutNAR uploads a path, whose references must be there. The server computes
// the hash again and keeps nothing if it differs.
func (s *Sink) PutNAR(ctx context.Context, p nix.PathInfo, nar io.Reader) (nix.NARInfo, error) {
	weight := min(p.NARSize, bytesUnderWay)
	if err := s.bytes.Acquire(ctx, weight); err != nil {
		return nix.NARInfo{}, err
	}
	defer s.bytes.Release(weight)
	done, err := s.client.Upload(ctx, p, nar)
	var temporary *remote.TemporaryError
	if errors.As(err, &temporary) {
		return nix.NARInfo{}, &cache.AgainError{Err: temporary.Err, After: temporary.After}
	}
	if err != nil {
		return nix.NARInfo{}, err
	}
	if s.o.Verify {
		if err := s.verify(ctx, p, done); err != nil {
			return nix.NARInfo{}, err
		}
	}
	return nix.NARInfo{PathInfo: p, FileSize: done.FileSize}, nil
}

// verify reads a path back that was just sent.
func (s *Sink) verify(ctx context.Context, p nix.PathInfo, done Uploaded) error {
	s.mu.Lock()
	again := s.lost[p.Path] != nil
	s.mu.Unlock()
	ok, err := s.readBack(ctx, p)
	if ok || err != nil {
		return err
	}
	s.mu.Lock()
	why := s.lost[p.Path]
	s.mu.Unlock()
	switch {
	case again && done.Deduplicated:
		// It trusts its database, which no client can mend.
		return fmt.Errorf("the server has lost the bytes of %s and takes them for present whenever they are sent (%v): remove the record in its database, or the cache: %w", p.NARHash, why, binarycache.ErrDamaged)
	case again:
		return fmt.Errorf("the server took it and cannot give it back (%v): %w", why, binarycache.ErrDamaged)
	default:
		return &cache.AgainError{Err: fmt.Errorf("the server took it and cannot give it back: %w", why)}
	}
}

// Publish has nothing to do: a path that was uploaded is visible.
func (s *Sink) Publish(context.Context, []nix.NARInfo) error { return nil }
