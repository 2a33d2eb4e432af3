package binarycache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// Files is a Source's paths for a Replica: OpenNAR returns a NAR's file,
// compressed as it is in the cache. It vouches for the bytes as any Source
// does: io.EOF means that the NAR in the file has the hash that was signed.
type Files struct{ *Source }

// Files is the source for a Replica.
func (s *Source) Files() Files { return Files{s} }

// NARInfo is the narinfo of a path that Closure has returned.
func (s *Source) NARInfo(p nix.StorePath) (nix.NARInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.infos[p]
	return n.NARInfo, ok
}

// OpenNAR opens a path's file. p must come from an earlier Closure.
func (f Files) OpenNAR(ctx context.Context, p nix.PathInfo) (io.ReadCloser, error) {
	f.mu.Lock()
	n, ok := f.infos[p.Path]
	f.mu.Unlock()
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
	return newVerifiedFile(n.NARInfo, object, key), nil
}

// verifiedFile passes on the file of a NAR, looks into it meanwhile, and
// compares it with its narinfo at the end.
type verifiedFile struct {
	object  io.ReadCloser
	n       nix.NARInfo
	key     string
	hash    hash.Hash
	size    int64
	pipe    *io.PipeWriter
	verdict chan error
	err     error
}

func newVerifiedFile(n nix.NARInfo, object io.ReadCloser, key string) *verifiedFile {
	pr, pw := io.Pipe()
	v := &verifiedFile{object: object, n: n, key: key, hash: sha256.New(), pipe: pw, verdict: make(chan error, 1)}
	go func() {
		err := v.look(pr)
		pr.CloseWithError(err)
		v.verdict <- err
	}()
	return v
}

func (v *verifiedFile) look(r *io.PipeReader) error {
	nar, err := NewNAR(v.n, r, v.key)
	if err != nil {
		return fmt.Errorf("%s: %v: %w", v.key, err, ErrDamaged)
	}
	defer nar.Close()
	if _, err := io.Copy(struct{ io.Writer }{io.Discard}, nar); err != nil {
		return err
	}
	if extra, _ := io.Copy(io.Discard, r); extra > 0 {
		return fmt.Errorf("%s: %d bytes follow the end of the NAR: %w", v.key, extra, ErrDamaged)
	}
	return nil
}

func (v *verifiedFile) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.object.Read(p)
	if n > 0 {
		v.size += int64(n)
		v.hash.Write(p[:n])
		if _, werr := v.pipe.Write(p[:n]); werr != nil {
			v.err = werr
			return 0, v.err
		}
	}
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		v.err = err
		v.pipe.CloseWithError(err)
	default:
		_ = v.pipe.Close()
		if v.err = <-v.verdict; v.err == nil {
			v.err = v.check()
		}
	}
	if errors.Is(v.err, io.EOF) {
		return n, io.EOF
	}
	return 0, v.err
}

func (v *verifiedFile) check() error {
	var sum nix.Hash
	v.hash.Sum(sum[:0])
	switch {
	case v.n.FileSize > 0 && v.size != v.n.FileSize:
		return fmt.Errorf("%s has %d bytes, its narinfo says %d: %w", v.key, v.size, v.n.FileSize, ErrDamaged)
	case !v.n.FileHash.IsZero() && sum != v.n.FileHash:
		return fmt.Errorf("%s has hash %s, its narinfo says %s: %w", v.key, sum, v.n.FileHash, ErrDamaged)
	}
	return io.EOF
}

func (v *verifiedFile) Close() error {
	v.pipe.CloseWithError(errors.New("it was not read to its end"))
	return v.object.Close()
}

// ReplicaOptions say how a Replica is written.
type ReplicaOptions struct {
	Name     string // of the cache in messages
	StoreDir string // empty: nix.DefaultStoreDir
	Priority int    // for a new cache's nix-cache-info; 0: DefaultPriority
	// PublicKeys are for the list of a new cache: those of what is copied.
	PublicKeys []nix.PublicKey
	// Keys sign every path, beside the signatures that it has.
	Keys []nix.SecretKey
	// Strict publishes paths under a good signature of the cache's keys alone:
	// those that it lists, or PublicKeys if it is new. A path that is there
	// without one is replaced.
	Strict bool
	// Level compresses NARs anew. Then what is copied is the source's NARs and
	// not its Files. Empty: files are copied as they are.
	Level Level
}

// Replica is a Sink that stores NARs' files as they are in another cache, with
// the signatures that they have there. Its source must be that cache's Files.
type Replica struct {
	store blob.Store
	files Files
	o     ReplicaOptions

	accept []nix.PublicKey // that strict publishing asks for
	nars   *NARs           // for what is compressed anew

	initMu   sync.Mutex
	initDone bool
	isNew    bool
	noKeys   bool

	mu     sync.Mutex
	stored map[string]*sync.Mutex // by key: one at a time
}

var _ cache.Sink = (*Replica)(nil)

// OpenReplica looks at the cache and refuses (RefusedError) one of another
// store directory. It writes nothing yet.
func OpenReplica(ctx context.Context, store blob.Store, files Files, o ReplicaOptions) (*Replica, error) {
	if o.StoreDir == "" {
		o.StoreDir = nix.DefaultStoreDir
	}
	if o.Priority == 0 {
		o.Priority = DefaultPriority
	}
	p, err := ReadPublished(ctx, store, o.Name)
	if err != nil {
		return nil, err
	}
	if p.IsCache && p.Info.StoreDir != o.StoreDir {
		return nil, &RefusedError{Cache: o.Name, Reason: fmt.Sprintf("it holds paths of the store %s, and these are of %s", p.Info.StoreDir, o.StoreDir)}
	}
	r := &Replica{store: store, files: files, o: o, isNew: !p.IsCache, noKeys: p.Keys == nil, stored: make(map[string]*sync.Mutex)}
	if o.Strict {
		if r.accept = p.Keys; p.Keys == nil {
			r.accept = o.PublicKeys
		}
	}
	if o.Level != "" {
		r.nars = NewNARs(store, o.Level, o.Name)
	}
	return r, nil
}

// LeasedReplica is a Replica in a cache from which others delete: it holds a
// lease while paths are copied, as a push does. Call Release at the end.
type LeasedReplica struct {
	*Replica
	*holder
}

// Leased is the replica with leases.
func (r *Replica) Leased() LeasedReplica {
	return LeasedReplica{r, &holder{store: r.store}}
}

// Traits says how to write to it. What is in a replica need not have its closure there, since a server
// may keep single paths in the same place.
func (r *Replica) Traits() cache.Traits {
	t := cache.Traits{Large: 4}
	if remote, ok := r.files.store.(blob.Remote); ok {
		t.Small, t.SmallBelow = min(remote.Requests(), 32), 1<<20
	}
	return t
}

// Missing asks for each path: its narinfo, and that its NAR is there.
func (r *Replica) Missing(ctx context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error) {
	absent := make([]bool, len(ps))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(Lookups(r.store))
	for i, p := range ps {
		group.Go(func() error {
			data, err := blob.ReadAll(ctx, r.store, narInfoKey(p.Path), nix.MaxNARInfoSize)
			if errors.Is(err, blob.ErrNotExist) || errors.Is(err, blob.ErrTooLarge) {
				absent[i] = true
				return nil
			}
			if err != nil {
				return fmt.Errorf("ask cache %s for %s: %w", r.o.Name, p.Path, err)
			}
			n, err := nix.ParseNARInfo(r.o.StoreDir, data)
			if err != nil || n.Path != p.Path || n.NARHash != p.NARHash {
				absent[i] = true
				return nil //nolint:nilerr // damaged: it is replaced
			}
			if _, signed := n.SignedBy(r.accept); len(r.accept) > 0 && !signed {
				absent[i] = true
				return nil
			}
			object, err := r.store.Stat(ctx, path.Clean(n.URL))
			if errors.Is(err, blob.ErrNotExist) || err == nil && n.FileSize > 0 && object.Size != n.FileSize {
				absent[i] = true
				return nil
			}
			return err
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

// PutNAR stores a NAR's file, under the NAR's hash as every NAR of these
// caches. Unless it is there: then file is not read.
func (r *Replica) PutNAR(ctx context.Context, p nix.PathInfo, file io.Reader) (nix.NARInfo, error) {
	n, ok := r.files.NARInfo(p.Path)
	if !ok {
		return n, fmt.Errorf("%s is of no closure that was read", p.Path)
	}
	if err := r.init(ctx); err != nil {
		return n, err
	}
	if r.nars != nil {
		unlock := r.lock(p.NARHash.Base32())
		defer unlock()
		return r.nars.Put(ctx, p, file)
	}
	n.URL = "nar/" + n.NARHash.Base32() + ".nar" + extensions[n.Compression]
	unlock := r.lock(n.URL)
	defer unlock()
	object, err := r.store.Stat(ctx, n.URL)
	if err == nil && object.Size > 0 && (n.FileSize == 0 || object.Size == n.FileSize) {
		return r.adopt(ctx, n, object.Size)
	}
	if err != nil && !errors.Is(err, blob.ErrNotExist) {
		return n, fmt.Errorf("ask cache %s for %s: %w", r.o.Name, n.URL, err)
	}
	sum := &summed{r: file, hash: sha256.New()}
	size := int64(-1)
	if n.FileSize > 0 {
		size = n.FileSize
	}
	if err := r.store.Put(ctx, n.URL, sum, size); err != nil {
		return n, err
	}
	sum.hash.Sum(n.FileHash[:0])
	n.FileSize = sum.n
	return n, nil
}

// adopt fills in what the file that is there is.
func (r *Replica) adopt(ctx context.Context, n nix.NARInfo, size int64) (nix.NARInfo, error) {
	n.FileSize = size
	if d, ok := r.store.(blob.Digester); ok {
		sum, err := d.SHA256(ctx, n.URL)
		if err != nil {
			return n, fmt.Errorf("read %s of cache %s: %w", n.URL, r.o.Name, err)
		}
		n.FileHash = sum
	}
	return n, nil
}

// extensions of NARs' names, by compression.
var extensions = map[string]string{"none": "", "zstd": ".zst", "xz": ".xz", "bzip2": ".bz2", "gzip": ".gz"}

// lock has files of one name come one at a time.
func (r *Replica) lock(key string) (unlock func()) {
	r.mu.Lock()
	l, ok := r.stored[key]
	if !ok {
		l = new(sync.Mutex)
		r.stored[key] = l
	}
	r.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Publish writes the paths' narinfos.
func (r *Replica) Publish(ctx context.Context, infos []nix.NARInfo) error {
	for _, n := range infos {
		var err error
		if n.PathInfo, err = signedFor(r.accept, r.o.Keys, n.PathInfo); err != nil {
			return &cache.PathError{Op: "publish", Side: "source", Path: n.Path, Err: err}
		}
		if err := r.put(ctx, narInfoKey(n.Path), n.Marshal()); err != nil {
			return err
		}
	}
	return nil
}

// KeepRoot writes a manifest as it is in the other cache, under its name and
// generation there. Call it last. There are no paths upstream of a replica: it
// has them all.
func (r *Replica) KeepRoot(ctx context.Context, root Root) error {
	if err := CheckRootName(root.Name); err != nil {
		return err
	}
	if err := CheckRootName(root.Generation); err != nil {
		return fmt.Errorf("generation of root %s: %v", root.Name, err)
	}
	root.Upstream, root.BeyondUpstream = nil, nil
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return err
	}
	return r.put(ctx, rootsPrefix+root.Name+"/"+root.Generation+".json", append(data, '\n'))
}

func (r *Replica) put(ctx context.Context, key string, data []byte) error {
	return r.store.Put(ctx, key, bytes.NewReader(data), int64(len(data)))
}

func (r *Replica) init(ctx context.Context) error {
	r.initMu.Lock()
	defer r.initMu.Unlock()
	if r.initDone {
		return nil
	}
	if r.isNew {
		info := Info{StoreDir: r.o.StoreDir, WantMassQuery: true, Priority: r.o.Priority}
		if err := r.put(ctx, cacheInfoKey, info.Marshal()); err != nil {
			return err
		}
	}
	if r.noKeys && len(r.o.PublicKeys) > 0 {
		if err := r.put(ctx, publicKeysKey, MarshalPublicKeys(r.o.PublicKeys)); err != nil {
			return err
		}
	}
	r.initDone = true
	return nil
}

type summed struct {
	r    io.Reader
	hash hash.Hash
	n    int64
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.hash.Write(p[:n])
	s.n += int64(n)
	return n, err
}
