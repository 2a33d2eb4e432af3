package binarycache

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Mender is a Sink that replaces damaged paths of a cache: their NARs and
// narinfos are written again over what is there. It takes every path that it is
// given for missing until it has published it, so it is to be given those paths
// alone that an audit has found damaged.
type Mender struct {
	*Sink
	accept []nix.PublicKey
	done   sync.Map // nix.StorePath → struct{}
}

var _ cache.Sink = (*Mender)(nil)

// MenderOptions say how damaged paths are replaced.
type MenderOptions struct {
	Name     string // of the cache in messages, without credentials
	StoreDir string // of the cache
	Level    Level  // of compression
	Keys     []nix.SecretKey
	// Accept are the keys of the cache: a path is published only under a good
	// signature of one of them, its own or one of Keys. Without any, the
	// cache is unsigned.
	Accept []nix.PublicKey
	// BadFiles are the keys of NARs that must be replaced; other NARs that are
	// there are used as they are.
	BadFiles map[string]bool
}

// mending are the files that are to be replaced.
type mending struct {
	mu    sync.Mutex
	files map[string]bool
}

func (m *mending) bad(key string) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.files[key]
}

func (m *mending) replaced(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, key)
}

// NewMender mends a cache that an audit has looked at.
func NewMender(store blob.Store, o MenderOptions) *Mender {
	files := make(map[string]bool, len(o.BadFiles))
	for key := range o.BadFiles {
		files[key] = true
	}
	s := &Sink{
		store: store, holder: &holder{store: store}, o: SinkOptions{Name: o.Name, StoreDir: o.StoreDir, Level: o.Level, Keys: o.Keys, Lookups: Lookups(store)},
		places: newPlaces(), pilot: newPilot(uplink(store)), flights: make(map[nix.Hash]*flight),
		mending: &mending{files: files},
	}
	return &Mender{Sink: s, accept: o.Accept}
}

// Bad says whether a NAR still is one of those that must be replaced.
func (m *Mender) Bad(key string) bool { return m.mending.bad(key) }

// Missing returns what was not published yet.
func (m *Mender) Missing(_ context.Context, ps []nix.PathInfo) (missing []nix.PathInfo, err error) {
	for _, p := range ps {
		if _, done := m.done.Load(p.Path); !done {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// Publish writes the narinfos over those that are there.
func (m *Mender) Publish(ctx context.Context, infos []nix.NARInfo) error {
	for _, n := range infos {
		if err := m.Acceptable(n.PathInfo); err != nil {
			return &cache.PathError{Op: "publish", Side: "source", Path: n.Path, Err: err}
		}
		if err := m.Sink.Publish(ctx, []nix.NARInfo{n}); err != nil {
			return err
		}
		m.done.Store(n.Path, struct{}{})
	}
	return nil
}

// Acceptable is an error if a path could not be published for want of a
// signature.
func (m *Mender) Acceptable(p nix.PathInfo) error {
	_, err := signedFor(m.accept, m.o.Keys, p)
	return err
}

// signedFor is a path with the signatures of keys, for a cache that is signed
// with accept. It is an error if it then has none of these; without any, the
// cache is unsigned.
func signedFor(accept []nix.PublicKey, keys []nix.SecretKey, p nix.PathInfo) (nix.PathInfo, error) {
	for _, k := range keys {
		p = p.Sign(k)
	}
	if len(accept) == 0 {
		return p, nil
	}
	if _, ok := p.SignedBy(accept); !ok {
		return p, fmt.Errorf("the cache is signed with %s, and no such signature is to be had: give the key (--secret-key-file)", names(accept))
	}
	return p, nil
}

// Amend writes a narinfo again whose NAR is as it should be, but for what it
// says of the file. The signatures do not cover that.
func (m *Mender) Amend(ctx context.Context, p nix.StorePath, size int64, hash nix.Hash) error {
	key := narInfoKey(p)
	data, err := blob.ReadAll(ctx, m.store, key, nix.MaxNARInfoSize)
	if err != nil {
		return fmt.Errorf("read %s of cache %s: %w", key, m.o.Name, err)
	}
	n, err := nix.ParseNARInfo(m.o.StoreDir, data)
	if err != nil || n.Path != p {
		return errors.Join(fmt.Errorf("%s of cache %s is not what it was when it was looked at", key, m.o.Name), err)
	}
	n.FileSize, n.FileHash = size, hash
	if err := m.putBytes(ctx, key, n.Marshal()); err != nil {
		return fmt.Errorf("write %s to cache %s: %w", key, m.o.Name, err)
	}
	return nil
}
