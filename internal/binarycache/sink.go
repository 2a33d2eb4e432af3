package binarycache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// SinkOptions say how a cache is written.
type SinkOptions struct {
	Name     string // of the cache in messages, without credentials
	StoreDir string // of the paths that come; empty: nix.DefaultStoreDir
	// Keys sign every path. Without any, Unsigned must say that this is meant.
	Keys     []nix.SecretKey
	Unsigned bool
	Level    Level // of compression
	Settings Settings
	// Lookups is how many narinfos are asked for at once; 0: what suits the
	// store.
	Lookups int
	// Upstream is what need not be sent, since clients get it elsewhere.
	Upstream Upstream
	Extras
	// Realisations of content-addressed derivations' outputs, by the path that
	// they are. They are published with it, signed as it is.
	Realisations map[nix.StorePath][]nix.Realisation
}

// Sink writes store paths to a cache.
type Sink struct {
	store  blob.Store
	o      SinkOptions
	accept []nix.PublicKey // a path of the cache counts as there if one of these signed it

	isNew    bool // the cache has no nix-cache-info
	listKeys bool // the cache has no list of public keys
	initOnce sync.Mutex
	initDone bool

	places   places // for compressors
	pilot    *pilot // of level Auto
	upstream upstreamState

	mu      sync.Mutex
	flights map[nix.Hash]*flight

	*holder

	mending *mending // nil but in a Mender
}

var _ cache.Sink = (*Sink)(nil)

// OpenSink looks at the cache and refuses (RefusedError) what would make it
// inconsistent: paths of another store directory, an unsigned push to a signed
// cache, a key that the cache does not list. It writes nothing; a new cache
// is set up by the first path.
func OpenSink(ctx context.Context, store blob.Store, o SinkOptions) (*Sink, error) {
	if o.StoreDir == "" {
		o.StoreDir = nix.DefaultStoreDir
	}
	if o.Lookups <= 0 {
		o.Lookups = Lookups(store)
	}
	refuse := func(format string, args ...any) (*Sink, error) {
		return nil, &RefusedError{Cache: o.Name, Reason: fmt.Sprintf(format, args...)}
	}
	s := &Sink{store: store, holder: &holder{store: store}, o: o, flights: make(map[nix.Hash]*flight), places: newPlaces(), pilot: newPilot(uplink(store))}
	// At the same time: across a slow link each would cost a round trip.
	var (
		info            Info
		exists, hasList bool
		listed          []nix.PublicKey
	)
	group, readCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { info, exists, err = readInfo(readCtx, store, o.Name); return err })
	group.Go(func() (err error) { listed, hasList, err = readPublicKeys(readCtx, store, o.Name); return err })
	group.Go(func() (err error) { s.upstream.recorded, err = ReadUpstreamKeys(readCtx, store, o.Name); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, k := range o.Upstream.Keys {
		if slices.Contains(listed, k) {
			return refuse("%s is its own key: as an upstream's it would have everything left out", k.Name)
		}
	}
	if exists && info.StoreDir != o.StoreDir {
		return refuse("it holds paths of the store %s, and these are of %s", info.StoreDir, o.StoreDir)
	}
	if exists && o.Settings.apply(info) != info {
		return refuse("it is there with %s, and this push wants others (pcache cache configure changes them)", info.settings())
	}
	s.isNew = !exists
	s.listKeys = !hasList
	if len(o.Keys) == 0 {
		if hasList && len(listed) > 0 {
			return refuse("its paths are signed (%s), so this push needs the secret key (--secret-key-file)", listed[0].Name)
		}
		if !o.Unsigned {
			return refuse("no signing key was given (--secret-key-file); clients refuse unsigned paths, so say --unsigned if that is meant")
		}
		return s, nil
	}
	for _, k := range o.Keys {
		pub := k.Public()
		s.accept = append(s.accept, pub)
		if slices.Contains(o.Upstream.Keys, pub) {
			return refuse("%s is its own key: as an upstream's it would have everything left out", pub.Name)
		}
		if hasList && !slices.Contains(listed, pub) {
			return refuse("it is signed with %s, and the given key is %s: clients that trust the one would refuse paths of the other", names(listed), describe(pub, listed))
		}
	}
	if hasList {
		s.accept = listed
	}
	return s, nil
}

// uplink returns what measures the link to a store. That to a store on this
// machine is not known: what is stored there is not in anybody's way.
func uplink(s blob.Store) func() float64 {
	if u, ok := s.(blob.Uplink); ok {
		return u.Uplink
	}
	return func() float64 { return 0 }
}

func names(keys []nix.PublicKey) string {
	var b bytes.Buffer
	for i, k := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(k.Name)
	}
	return b.String()
}

// describe tells a key from a listed one of the same name.
func describe(k nix.PublicKey, listed []nix.PublicKey) string {
	for _, l := range listed {
		if l.Name == k.Name {
			return "another one of that name"
		}
	}
	return k.Name
}

// Traits tells cache.Copy how to treat this sink. A cache that only pcache
// and nix write has no path whose references are missing: both publish
// references first. What an upstream of the cache has is missing only to a push
// that does not have that upstream.
func (s *Sink) Traits() cache.Traits {
	t := cache.Traits{ClosureComplete: s.vouches(), Large: runtime.GOMAXPROCS(0)}
	if r, ok := s.store.(blob.Remote); ok {
		t.Lookups = s.o.Lookups
		// Uploads wait for the network: more of them than processors. The
		// large are few, since each may hold several parts in memory.
		t.Large += remoteLarge
		t.Small, t.SmallBelow = min(r.Requests(), remoteSmallPool), smallNAR
		t.Publishers = min(r.Requests(), remoteSmallPool)
	}
	return t
}

const (
	remoteLarge     = 4
	remoteSmallPool = 64
)

// Lookups is how many narinfos to ask a store for at once.
func Lookups(s blob.Reader) int {
	if r, ok := s.(blob.Remote); ok {
		return r.Requests()
	}
	return 8
}

// Missing asks for each narinfo. One that is damaged, is of another path or
// has no signature of the cache's keys counts as missing: it is replaced.
func (s *Sink) Missing(ctx context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error) {
	absent := make([]bool, len(ps))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.o.Lookups)
	for i, p := range ps {
		group.Go(func() error {
			data, err := blob.ReadAll(ctx, s.store, narInfoKey(p.Path), nix.MaxNARInfoSize)
			switch {
			case errors.Is(err, blob.ErrNotExist), errors.Is(err, blob.ErrTooLarge):
				absent[i] = true
			case err != nil:
				return fmt.Errorf("ask cache %s for %s: %w", s.o.Name, p.Path, err)
			default:
				absent[i] = !s.valid(p.Path, data)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var missing []nix.PathInfo
	for i, p := range ps {
		if absent[i] {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

func (s *Sink) valid(p nix.StorePath, data []byte) bool {
	info, err := nix.ParseNARInfo(s.o.StoreDir, data)
	if err != nil || info.Path != p {
		return false
	}
	if len(s.accept) == 0 {
		return true
	}
	_, signed := info.SignedBy(s.accept)
	return signed
}

// flight is a NAR on its way; others that want the same NAR wait for it.
type flight struct {
	done chan struct{}
	info nix.NARInfo
	err  error
}

// PutNAR stores the NAR under its hash, unless it is there: then nar is not
// read. Two paths with the same contents share the object.
func (s *Sink) PutNAR(ctx context.Context, p nix.PathInfo, nar io.Reader) (nix.NARInfo, error) {
	if err := s.init(ctx); err != nil {
		return nix.NARInfo{}, err
	}
	for {
		s.mu.Lock()
		f, waiting := s.flights[p.NARHash]
		if !waiting {
			f = &flight{done: make(chan struct{})}
			s.flights[p.NARHash] = f
		}
		s.mu.Unlock()
		if !waiting {
			f.info, f.err = s.put(ctx, p, nar)
			if f.err != nil {
				s.mu.Lock()
				delete(s.flights, p.NARHash)
				s.mu.Unlock()
			}
			close(f.done)
			return f.info, f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nix.NARInfo{}, ctx.Err()
		}
		if f.err == nil {
			info := f.info
			info.PathInfo = p
			return info, s.lateExtras(ctx, info, nar)
		}
		// The other one failed, perhaps for reasons of its own: try this one.
	}
}

// narInfo is the path's narinfo, without size and hash of the NAR's file.
func (s *Sink) narInfo(p nix.PathInfo) nix.NARInfo {
	return nix.NARInfo{PathInfo: p, URL: s.o.Level.narKey(p.NARHash), Compression: s.o.Level.compression()}
}

func (s *Sink) put(ctx context.Context, p nix.PathInfo, nar io.Reader) (nix.NARInfo, error) {
	info := s.narInfo(p)
	bad := s.mending.bad(info.URL)
	if !bad {
		there, err := s.adopt(ctx, &info)
		if err != nil {
			return info, err
		}
		if there {
			return info, s.lateExtras(ctx, info, nar)
		}
	}
	var looked *inspection
	if s.o.any() {
		looked = newInspection(s.o.Extras, nar)
		nar = looked
	}
	c := newCompressor(s.o.Level, nar, p.NARSize < smallNAR, s.places, s.pilot)
	defer func() { _ = c.Close() }()
	var existed bool
	var err error
	if bad { // it replaces what is there
		if err = s.store.Put(ctx, info.URL, c, -1); err == nil {
			s.mending.replaced(info.URL)
		}
	} else {
		existed, err = blob.PutNew(ctx, s.store, info.URL, c, -1)
	}
	if existed && err == nil { // another push was faster, perhaps at another level
		if _, err = s.adopt(ctx, &info); err == nil && looked != nil {
			err = s.interruptedExtras(ctx, info, looked)
		}
		return info, err
	}
	if errors.Is(err, blob.ErrAgain) {
		return info, &cache.AgainError{Err: err}
	}
	if err != nil {
		return info, err // c may still be at work, in a goroutine, until it is closed
	}
	info.FileHash, info.FileSize = c.SHA256(), c.n
	if looked != nil {
		err = s.putExtras(ctx, p, info.URL, looked)
	}
	return info, err
}

// adopt fills in size and hash of a NAR that is in the cache. An object of its
// name was put whole and verified, or it is not there. An empty one was put by
// nobody who does that: a file system lost it in a power cut; it is removed.
func (s *Sink) adopt(ctx context.Context, info *nix.NARInfo) (there bool, err error) {
	object, err := s.store.Stat(ctx, info.URL)
	if errors.Is(err, blob.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask cache %s for %s: %w", s.o.Name, info.URL, err)
	}
	if object.Size == 0 {
		return false, s.store.Delete(ctx, info.URL)
	}
	info.FileSize = object.Size
	if d, ok := s.store.(blob.Digester); ok {
		if info.FileHash, err = d.SHA256(ctx, info.URL); err != nil {
			return false, fmt.Errorf("read %s of cache %s: %w", info.URL, s.o.Name, err)
		}
	}
	return true, nil
}

// Publish signs the paths and writes their narinfos.
func (s *Sink) Publish(ctx context.Context, infos []nix.NARInfo) error {
	if err := s.Held(); err != nil {
		return err // what the paths refer to may be gone
	}
	for _, n := range infos {
		for _, k := range s.o.Keys {
			n.PathInfo = n.Sign(k)
		}
		// First: who finds the path may then rely on them. Those who find them
		// before the path build it.
		for key, data := range s.realisations(n.Path) {
			if err := s.putBytes(ctx, key, data); err != nil {
				return err
			}
		}
		if err := s.putBytes(ctx, narInfoKey(n.Path), n.Marshal()); err != nil {
			return err
		}
	}
	return nil
}

// init makes a new cache one, before its first path.
func (s *Sink) init(ctx context.Context) error {
	if err := s.note(ctx); err != nil {
		return err
	}
	s.initOnce.Lock()
	defer s.initOnce.Unlock()
	if s.initDone {
		return nil
	}
	if s.listKeys && len(s.accept) > 0 {
		if err := s.putBytes(ctx, publicKeysKey, marshalKeys(publicKeysComment, s.accept)); err != nil {
			return err
		}
	}
	if s.isNew {
		info := s.o.Settings.apply(newInfo(s.o.StoreDir))
		if err := s.putBytes(ctx, cacheInfoKey, info.Marshal()); err != nil {
			return err
		}
	}
	s.initDone = true
	return nil
}

func (s *Sink) putBytes(ctx context.Context, key string, data []byte) error {
	return s.store.Put(ctx, key, bytes.NewReader(data), int64(len(data)))
}
