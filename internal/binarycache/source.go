package binarycache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// ErrUntrusted is the cause when a path has no signature of a trusted key.
var ErrUntrusted = errors.New("it has no signature of a trusted key")

// ErrDamaged is the cause when a cache's bytes are not what its own records
// say.
var ErrDamaged = errors.New("the cache is damaged")

// SourceOptions say how a cache is read.
type SourceOptions struct {
	Name     string // of the cache in messages, without credentials
	StoreDir string // that is wanted; empty: nix.DefaultStoreDir
	// Trusted keys: a path must have a signature of one, or be content
	// addressed, which its receiver can check. Without any nothing is checked
	// here.
	Trusted []nix.PublicKey
	Lookups int // narinfos asked for at once; 0: what suits the store
	// Upstreams are asked, in this order, for paths that the cache does not
	// have.
	Upstreams []UpstreamCache
}

// Source reads store paths from a cache.
type Source struct {
	store blob.Reader
	o     SourceOptions

	caches []UpstreamCache // this one and the upstreams

	mu    sync.Mutex
	infos map[nix.StorePath]located // of the closures read
}

// located is a narinfo and the cache that it is of.
type located struct {
	nix.NARInfo
	cache UpstreamCache
}

var _ cache.Source = (*Source)(nil)

// OpenSource checks that the cache is one, and of the wanted store directory.
func OpenSource(ctx context.Context, store blob.Reader, o SourceOptions) (*Source, error) {
	if o.StoreDir == "" {
		o.StoreDir = nix.DefaultStoreDir
	}
	if o.Lookups <= 0 {
		o.Lookups = Lookups(store)
	}
	info, exists, err := readInfo(ctx, store, o.Name)
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, &RefusedError{Cache: o.Name, Reason: "it has no nix-cache-info, so it is no binary cache"}
	}
	if info.StoreDir != o.StoreDir {
		return nil, &RefusedError{Cache: o.Name, Reason: fmt.Sprintf("it holds paths of the store %s, and %s is wanted", info.StoreDir, o.StoreDir)}
	}
	for _, u := range o.Upstreams {
		if err := u.check(ctx, o.StoreDir); err != nil {
			return nil, err
		}
	}
	return &Source{
		store: store, o: o, infos: make(map[nix.StorePath]located),
		caches: append([]UpstreamCache{{Name: o.Name, Reader: store}}, o.Upstreams...),
	}, nil
}

// Closure reads the narinfos of the roots and of all that they refer to, many
// at once, and checks their signatures.
func (s *Source) Closure(ctx context.Context, roots ...nix.StorePath) ([]nix.PathInfo, error) {
	group, ctx := errgroup.WithContext(ctx)
	limit := make(chan struct{}, s.o.Lookups)
	var mu sync.Mutex
	seen := make(map[nix.StorePath]bool)
	var infos []nix.PathInfo
	var visit func(p, from nix.StorePath)
	visit = func(p, from nix.StorePath) {
		mu.Lock()
		defer mu.Unlock()
		if seen[p] {
			return
		}
		seen[p] = true
		group.Go(func() error {
			select {
			case limit <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			n, err := s.narInfo(ctx, p)
			<-limit
			if err != nil {
				if from != "" && errors.Is(err, blob.ErrNotExist) {
					return s.absentReference(ctx, from, p)
				}
				return err
			}
			mu.Lock()
			infos = append(infos, n.PathInfo)
			mu.Unlock()
			for _, r := range n.References {
				visit(r, p)
			}
			return nil
		})
	}
	for _, r := range roots {
		visit(r, "")
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read the closure from cache %s: %w", s.o.Name, err)
	}
	return nix.TopoSort(infos)
}

// absentReference says what it means that a path refers to one that is not
// there.
func (s *Source) absentReference(ctx context.Context, from, p nix.StorePath) error {
	if keys, err := ReadUpstreamKeys(ctx, s.store, s.o.Name); err == nil && len(keys) > 0 {
		return fmt.Errorf("%s refers to %s, which is not there, nor in a cache that was named beside it (this cache leaves paths to the caches of %s; pull has --upstream): %w", from, p, names(keys), ErrDamaged)
	}
	return fmt.Errorf("%s refers to %s, which is not there: %w", from, p, ErrDamaged)
}

// Info reads the narinfo of one path and checks its signature, without what it
// refers to. OpenNAR can read the path then.
func (s *Source) Info(ctx context.Context, p nix.StorePath) (nix.PathInfo, error) {
	n, err := s.narInfo(ctx, p)
	return n.PathInfo, err
}

// narInfo asks the caches in their order for a path.
func (s *Source) narInfo(ctx context.Context, p nix.StorePath) (nix.NARInfo, error) {
	var n nix.NARInfo
	var err error
	for _, c := range s.caches {
		n, err = s.narInfoOf(ctx, c, p)
		if errors.Is(err, blob.ErrNotExist) {
			continue
		}
		if err == nil {
			s.mu.Lock()
			s.infos[p] = located{n, c}
			s.mu.Unlock()
		}
		break
	}
	return n, err
}

func (s *Source) narInfoOf(ctx context.Context, c UpstreamCache, p nix.StorePath) (nix.NARInfo, error) {
	data, err := blob.ReadAll(ctx, c.Reader, narInfoKey(p), nix.MaxNARInfoSize)
	if errors.Is(err, blob.ErrTooLarge) {
		return nix.NARInfo{}, fmt.Errorf("%s: %v: %w", p, err, ErrDamaged)
	}
	if err != nil {
		return nix.NARInfo{}, fmt.Errorf("%s: %w", p, err)
	}
	n, err := nix.ParseNARInfo(s.o.StoreDir, data)
	if err != nil {
		return n, fmt.Errorf("%s: %v: %w", p, err, ErrDamaged)
	}
	if n.Path != p {
		return n, fmt.Errorf("%s: its narinfo is of %s: %w", p, n.Path, ErrDamaged)
	}
	if len(s.o.Trusted) > 0 {
		if _, ok := n.SignedBy(s.o.Trusted); !ok {
			if _, ok, reason := unsignedContents(n.PathInfo); !ok {
				return n, fmt.Errorf("%s: %w (signatures: %s%s)", p, ErrUntrusted, signers(n.Signatures), reason)
			}
		}
	}
	return n, nil
}

// unsignedContents is the address by which a path's contents are compared where
// no signature vouches for them. ok is false where it has none that can be compared; reason
// says more, after a semicolon.
func unsignedContents(p nix.PathInfo) (c nix.ContentAddress, ok bool, reason string) {
	if p.CA == "" {
		return c, false, ""
	}
	c, err := p.ContentAddressed()
	switch {
	case err != nil:
		return c, false, "; " + err.Error()
	case slices.Contains(p.References, p.Path):
		return c, false, "; its content address blanks its own path, which is not compared here"
	}
	return c, true, ""
}

func signers(sigs []nix.Signature) string {
	if len(sigs) == 0 {
		return "none"
	}
	var names []string
	for _, sig := range sigs {
		names = append(names, sig.Name)
	}
	return strings.Join(names, ", ")
}

// OpenNAR returns a path's NAR. p must come from an earlier Closure.
func (s *Source) OpenNAR(ctx context.Context, p nix.PathInfo) (io.ReadCloser, error) {
	s.mu.Lock()
	n, ok := s.infos[p.Path]
	s.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("open the NAR of %s: its narinfo has not been read", p.Path)
	}
	key := path.Clean(n.URL)
	if strings.Contains(n.URL, "://") || strings.ContainsAny(n.URL, "?#") || blob.CheckKey(key) != nil {
		return nil, fmt.Errorf("%s: its NAR is at %q, which is not a place in this cache", p.Path, n.URL)
	}
	object, err := n.cache.Reader.Open(ctx, key)
	if errors.Is(err, blob.ErrNotExist) {
		return nil, fmt.Errorf("%s of cache %s is not there: %w", key, n.cache.Name, ErrDamaged)
	}
	if err != nil {
		return nil, err
	}
	plain, err := decompress(n.Compression, object)
	if err != nil {
		object.Close()
		return nil, fmt.Errorf("%s of cache %s: %v", key, n.cache.Name, err)
	}
	v := &verifiedNAR{object: object, plain: plain, key: key, want: n.PathInfo, hash: sha256.New()}
	if len(s.o.Trusted) > 0 {
		if _, signed := n.SignedBy(s.o.Trusted); !signed {
			c, ok, reason := unsignedContents(n.PathInfo)
			if !ok { // Info and Closure would have said so
				_ = v.Close()
				return nil, fmt.Errorf("%s: %w%s", p.Path, ErrUntrusted, reason)
			}
			v.contents = newContents(c)
		}
	}
	return v, nil
}

// verifiedNAR passes on a NAR and compares it, at its end, with its narinfo.
// It never yields more bytes than the narinfo says: what would decompress to
// more is an error as soon as it does.
type verifiedNAR struct {
	object io.Closer
	plain  io.ReadCloser
	key    string
	want   nix.PathInfo
	hash   hash.Hash
	n      int64
	err    error
	// contents compares the content address of a path that nobody signed.
	contents *contents
}

func (v *verifiedNAR) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.plain.Read(p)
	v.n += int64(n)
	v.hash.Write(p[:n])
	if v.contents != nil {
		v.contents.write(p[:n])
	}
	switch {
	case v.n > v.want.NARSize:
		n, v.err = 0, fmt.Errorf("%s is longer than the %d bytes that its narinfo says: %w", v.key, v.want.NARSize, ErrDamaged)
	case err == io.EOF:
		v.err = v.check()
	case err != nil:
		// Reading a local disk or a decoder that met garbage: the cache's fault.
		v.err = fmt.Errorf("read %s: %v: %w", v.key, err, ErrDamaged)
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			v.err = err
		}
	}
	return n, v.err
}

func (v *verifiedNAR) check() error {
	var got nix.Hash
	v.hash.Sum(got[:0])
	if v.n != v.want.NARSize {
		return fmt.Errorf("%s has %d bytes, its narinfo says %d: %w", v.key, v.n, v.want.NARSize, ErrDamaged)
	}
	if got != v.want.NARHash {
		return fmt.Errorf("%s has hash %s, its narinfo says %s: %w", v.key, got, v.want.NARHash, ErrDamaged)
	}
	if v.contents != nil && !v.contents.match() {
		return fmt.Errorf("%s has not the contents that its content address %s says, and no trusted key signed it: %w", v.key, v.want.CA, ErrUntrusted)
	}
	return io.EOF
}

func (v *verifiedNAR) Close() error {
	err := v.plain.Close()
	if cerr := v.object.Close(); err == nil {
		err = cerr
	}
	return err
}
