// Package intake takes store paths into a binary cache as others send them,
// file by file: what `nix copy --to http://…` does. Nothing becomes visible
// before it is checked: a NAR's file must have the hash that names it, and a
// narinfo must be of a NAR that is there and of references that are visible.
package intake

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"strings"
	"sync"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// Options of an Intake. Store is needed.
type Options struct {
	Name     string // of the cache, for messages
	Store    blob.Store
	StoreDir string // empty: nix.DefaultStoreDir
	Priority int    // for a new cache; 0: binarycache.DefaultPriority
	// Sign signs every path that comes. Without any, a path needs a signature
	// of one of Trusted, if there are any.
	Sign    []nix.SecretKey
	Trusted []nix.PublicKey
	// Visible says whether a reader of the cache can have a path.
	Visible func(ctx context.Context, p nix.StorePath) (bool, error)
	// Level at which NARs are compressed that come without a file of their own
	// (PutPath); empty: binarycache.Default.
	Level binarycache.Level
	// Changed, if not nil, is told of every path that became visible.
	Changed func(p nix.StorePath)
	// Arrived, if not nil, is told of a path that PutNARInfo made visible:
	// others may wait for it.
	Arrived func(ctx context.Context, p nix.StorePath)
	// MaxNAR bounds a NAR, as it is sent and uncompressed; 0: 64 GiB.
	MaxNAR int64
}

// Intake takes paths. Methods may be called concurrently.
type Intake struct {
	o        Options
	nars     *binarycache.NARs
	decoders chan struct{}

	mu    sync.Mutex
	facts map[string]facts // of NARs that have been read, by key
	locks map[string]*pathLock

	initMu   sync.Mutex
	initDone bool
}

// facts are what reading a NAR's file showed.
type facts struct {
	fileHash, narHash nix.Hash
	fileSize, narSize int64
}

const maxFacts = 20_000

// RefusalError is what is wrong with what was sent.
type RefusalError struct {
	// Conflict: it may be right later, or elsewhere; otherwise it never is.
	Conflict bool
	TooLarge bool
	Reason   string
}

func (e *RefusalError) Error() string { return e.Reason }

func refuse(format string, args ...any) error {
	return &RefusalError{Reason: fmt.Sprintf(format, args...)}
}

// MissingError says which references of a path are not visible yet.
type MissingError struct {
	Path       nix.StorePath
	References []nix.StorePath
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s refers to %s, which is not in the cache (%d such references): send references first", e.Path, e.References[0], len(e.References))
}

// New prepares an Intake. It writes nothing yet.
func New(o Options) (*Intake, error) {
	if o.StoreDir == "" {
		o.StoreDir = nix.DefaultStoreDir
	}
	if o.Priority == 0 {
		o.Priority = binarycache.DefaultPriority
	}
	if o.MaxNAR <= 0 {
		o.MaxNAR = 64 << 30
	}
	if o.Store == nil || o.Visible == nil {
		return nil, errors.New("an intake needs a store, and to know what is visible")
	}
	return &Intake{o: o, nars: binarycache.NewNARs(o.Store, cmp.Or(o.Level, binarycache.Default), o.Name), facts: make(map[string]facts), locks: make(map[string]*pathLock), decoders: make(chan struct{}, runtime.GOMAXPROCS(0)+2)}, nil
}

// compressions of NARs that can be checked, by the end of their names.
var compressions = map[string]string{"": "none", ".zst": "zstd", ".xz": "xz", ".bz2": "bzip2", ".gz": "gzip"}

// splitNARKey takes apart nar/<hash>.nar[.<ext>].
func splitNARKey(key string) (hash, compression string, err error) {
	name, ok := strings.CutPrefix(key, "nar/")
	hash, ext, ok2 := strings.Cut(name, ".nar")
	if !ok || !ok2 || len(hash) != 52 || strings.Contains(ext, ".nar") {
		return "", "", refuse("%.200q is no name for a NAR: want nar/HASH.nar or nar/HASH.nar.zst, HASH being the file's or the NAR's SHA-256 in Nix's base 32", key)
	}
	if _, err := nix.DecodeBase32(hash); err != nil {
		return "", "", refuse("the name of the NAR %.200q holds no hash: %v", key, err)
	}
	if compression, ok = compressions[ext]; !ok {
		return "", "", refuse("NARs ending in %.20q cannot be checked here: send them as zstd, xz, bzip2, gzip or none", ext)
	}
	return hash, compression, nil
}

// PutNAR takes a NAR's file, of size bytes or -1. It is stored only if its
// name is the hash of its bytes, or of the NAR in it. One that is there
// already is read and forgotten.
func (i *Intake) PutNAR(ctx context.Context, key string, body io.Reader, size int64) error {
	hash, compression, err := splitNARKey(key)
	if err != nil {
		return err
	}
	if size > i.o.MaxNAR {
		return &RefusalError{TooLarge: true, Reason: fmt.Sprintf("the NAR's file has %d bytes, the limit is %d", size, i.o.MaxNAR)}
	}
	if err := i.init(ctx); err != nil {
		return err
	}
	select {
	case i.decoders <- struct{}{}:
		defer func() { <-i.decoders }()
	case <-ctx.Done():
		return ctx.Err()
	}
	c := newCheck(body, compression, i.o.MaxNAR, func(f facts) error {
		if hash != f.fileHash.Base32() && hash != f.narHash.Base32() {
			return refuse("what was sent as %s is not that: its file's hash is %s, its NAR's %s", key, f.fileHash.Base32(), f.narHash.Base32())
		}
		return nil
	})
	defer c.close()
	if err := i.o.Store.Put(ctx, key, c, size); err != nil {
		// The check's verdict is worth more than what the store makes of it.
		if c.err != nil && !errors.Is(c.err, io.EOF) {
			return c.err
		}
		return fmt.Errorf("write %s to cache %s: %w", key, i.o.Name, err)
	}
	i.remember(key, c.facts)
	return nil
}

func (i *Intake) remember(key string, f facts) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.facts) >= maxFacts {
		clear(i.facts)
	}
	i.facts[key] = f
}

// know finds out about a NAR that is in the cache, by reading it if need be.
func (i *Intake) know(ctx context.Context, key, compression string) (facts, error) {
	info, err := i.o.Store.Stat(ctx, key)
	if err != nil {
		return facts{}, err
	}
	i.mu.Lock()
	f, ok := i.facts[key]
	i.mu.Unlock()
	if ok && f.fileSize == info.Size {
		return f, nil
	}
	object, err := i.o.Store.Open(ctx, key)
	if err != nil {
		return facts{}, err
	}
	defer object.Close()
	select {
	case i.decoders <- struct{}{}:
		defer func() { <-i.decoders }()
	case <-ctx.Done():
		return facts{}, ctx.Err()
	}
	c := newCheck(object, compression, i.o.MaxNAR, nil)
	defer c.close()
	if _, err := io.Copy(struct{ io.Writer }{io.Discard}, c); err != nil {
		return facts{}, err
	}
	i.remember(key, c.facts)
	return c.facts, nil
}

// PutNARInfo takes the narinfo of a path whose NAR has come. It becomes
// visible signed, if the intake signs, and with the size and hash of the file
// as it is.
func (i *Intake) PutNARInfo(ctx context.Context, hashPart string, data []byte) error {
	n, err := nix.ParseNARInfo(i.o.StoreDir, data)
	if err != nil {
		return refuse("%v", err)
	}
	if n.Path.HashPart() != hashPart {
		return refuse("it is the narinfo of %s, and was sent as %s.narinfo", n.Path, hashPart)
	}
	if err := i.Publish(ctx, n); err != nil {
		return err
	}
	if i.o.Arrived != nil {
		i.o.Arrived(ctx, n.Path)
	}
	return nil
}

// Publish makes a path visible whose NAR is in the cache at n.URL. The error
// is a *MissingError if some of its references are not visible.
func (i *Intake) Publish(ctx context.Context, n nix.NARInfo) error {
	defer i.lock(string(n.Path))()
	if err := i.init(ctx); err != nil {
		return err
	}
	if err := i.checkNAR(ctx, &n); err != nil {
		return err
	}
	if err := i.sign(&n); err != nil {
		return err
	}
	release, err := i.hold(ctx, n)
	if err != nil {
		return err
	}
	defer release()
	// By now no garbage collection deletes the NAR that was found. One may
	// have done so before.
	if _, err := i.o.Store.Stat(ctx, n.URL); errors.Is(err, blob.ErrNotExist) {
		return &RefusalError{Conflict: true, Reason: fmt.Sprintf("its NAR %s is not in the cache any more: send it again", n.URL)}
	} else if err != nil {
		return fmt.Errorf("ask cache %s for %s: %w", i.o.Name, n.URL, err)
	}
	if err := i.checkReferences(ctx, n); err != nil {
		return err
	}
	if err := i.merge(ctx, &n); err != nil {
		return err
	}
	data := n.Marshal()
	key := n.Path.HashPart() + ".narinfo"
	if err := i.o.Store.Put(ctx, key, bytes.NewReader(data), int64(len(data))); err != nil {
		return fmt.Errorf("write %s to cache %s: %w", key, i.o.Name, err)
	}
	if i.o.Changed != nil {
		i.o.Changed(n.Path)
	}
	return nil
}

// checkNAR compares a narinfo with the NAR that it names.
func (i *Intake) checkNAR(ctx context.Context, n *nix.NARInfo) error {
	key := path.Clean(n.URL)
	_, compression, err := splitNARKey(key)
	if err != nil {
		return err
	}
	n.URL = key
	if n.Compression != compression {
		return refuse("the narinfo says compression %.50q, its NAR's name %s", n.Compression, compression)
	}
	f, err := i.know(ctx, key, compression)
	if errors.Is(err, blob.ErrNotExist) {
		return &RefusalError{Conflict: true, Reason: fmt.Sprintf("its NAR %s is not in the cache: send it first", key)}
	}
	if err != nil {
		return fmt.Errorf("read %s of cache %s: %w", key, i.o.Name, err)
	}
	switch {
	case n.NARHash != f.narHash:
		return refuse("the narinfo says NarHash %s, the NAR has %s", n.NARHash, f.narHash)
	case n.NARSize != f.narSize:
		return refuse("the narinfo says NarSize %d, the NAR has %d", n.NARSize, f.narSize)
	case !n.FileHash.IsZero() && n.FileHash != f.fileHash:
		return refuse("the narinfo says FileHash %s, the file has %s", n.FileHash, f.fileHash)
	case n.FileSize > 0 && n.FileSize != f.fileSize:
		return refuse("the narinfo says FileSize %d, the file has %d", n.FileSize, f.fileSize)
	}
	n.FileHash, n.FileSize = f.fileHash, f.fileSize
	return nil
}

// sign adds the cache's own signatures, or checks that there is one.
func (i *Intake) sign(n *nix.NARInfo) error {
	for _, k := range i.o.Sign {
		n.PathInfo = n.Sign(k)
	}
	if len(i.o.Sign) > 0 || len(i.o.Trusted) == 0 {
		return nil
	}
	if _, ok := n.SignedBy(i.o.Trusted); !ok {
		if n.CA != "" {
			if _, err := n.ContentAddressed(); err != nil {
				return refuse("%v, and it has no signature of this cache's keys (%s)", err, i.o.Trusted[0].Name)
			}
			return nil // clients compare its contents with its address
		}
		return refuse("%s has no signature of this cache's keys (%s): sign it before it is sent (nix store sign, or secret-key= in the address)", n.Path, i.o.Trusted[0].Name)
	}
	return nil
}

func (i *Intake) checkReferences(ctx context.Context, n nix.NARInfo) error {
	there := make([]bool, len(n.References))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for k, r := range n.References {
		if r == n.Path {
			there[k] = true
			continue
		}
		group.Go(func() (err error) {
			if there[k], err = i.Has(ctx, r); err != nil {
				return fmt.Errorf("ask whether %s is there, which %s refers to: %w", r, n.Path, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var missing []nix.StorePath
	for k, r := range n.References {
		if !there[k] {
			missing = append(missing, r)
		}
	}
	if len(missing) > 0 {
		return &MissingError{Path: n.Path, References: missing}
	}
	return nil
}

// merge takes over the signatures of a narinfo of the same bytes that is there
// already. One of other bytes stays: clients may rely on it.
func (i *Intake) merge(ctx context.Context, n *nix.NARInfo) error {
	data, err := blob.ReadAll(ctx, i.o.Store, n.Path.HashPart()+".narinfo", nix.MaxNARInfoSize)
	if errors.Is(err, blob.ErrNotExist) || errors.Is(err, blob.ErrTooLarge) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the narinfo of %s that is in cache %s: %w", n.Path, i.o.Name, err)
	}
	was, err := nix.ParseNARInfo(i.o.StoreDir, data)
	if err != nil || was.Path != n.Path {
		return nil //nolint:nilerr // damaged: it is replaced
	}
	if was.NARHash != n.NARHash {
		if _, err := i.o.Store.Stat(ctx, path.Clean(was.URL)); errors.Is(err, blob.ErrNotExist) {
			return nil
		}
		return &RefusalError{Conflict: true, Reason: fmt.Sprintf("%s is in the cache with other contents (NarHash %s), which stay", n.Path, was.NARHash)}
	}
	have := make(map[string]bool)
	for _, s := range n.Signatures {
		have[s.Name] = true
	}
	for _, s := range was.Signatures {
		if !have[s.Name] {
			n.Signatures = append(n.Signatures, s)
		}
	}
	return nil
}

// limits of what is neither narinfo nor NAR, by what its key starts or ends with.
func otherLimit(key string) int64 {
	if strings.HasPrefix(key, "log/") || strings.HasSuffix(key, ".ls") {
		return 64 << 20
	}
	return 1 << 20
}

// PutOther takes a listing, a log, a realisation or debuginfo's index. The
// caller has checked the key. All but logs must be JSON.
func (i *Intake) PutOther(ctx context.Context, key string, body io.Reader) error {
	limit := otherLimit(key)
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return err
	}
	if int64(len(data)) > limit {
		return &RefusalError{TooLarge: true, Reason: fmt.Sprintf("%s is larger than %d bytes", key, limit)}
	}
	if !strings.HasPrefix(key, "log/") && !json.Valid(data) {
		return refuse("%s is no JSON (if it is compressed: send it as it is)", key)
	}
	if err := i.init(ctx); err != nil {
		return err
	}
	if err := i.o.Store.Put(ctx, key, bytes.NewReader(data), int64(len(data))); err != nil {
		return fmt.Errorf("write %s to cache %s: %w", key, i.o.Name, err)
	}
	return nil
}

// PutInfo takes a nix-cache-info, as clients send it to a new cache. It must
// be of the same store; what else it says is this cache's own affair.
func (i *Intake) PutInfo(ctx context.Context, data []byte) error {
	info, err := binarycache.ParseInfo(data)
	if err != nil {
		return refuse("nix-cache-info: %v", err)
	}
	if info.StoreDir != i.o.StoreDir {
		return &RefusalError{Conflict: true, Reason: fmt.Sprintf("this cache is for paths of %s, not of %s", i.o.StoreDir, info.StoreDir)}
	}
	return i.init(ctx)
}

// init makes a new cache one.
func (i *Intake) init(ctx context.Context) error {
	i.initMu.Lock()
	defer i.initMu.Unlock()
	if i.initDone {
		return nil
	}
	p, err := binarycache.ReadPublished(ctx, i.o.Store, i.o.Name)
	if err != nil {
		return err
	}
	put := func(key string, data []byte) error {
		if err := i.o.Store.Put(ctx, key, bytes.NewReader(data), int64(len(data))); err != nil {
			return fmt.Errorf("write %s to cache %s: %w", key, i.o.Name, err)
		}
		return nil
	}
	if p.Keys == nil && len(i.o.Sign) > 0 {
		var keys []nix.PublicKey
		for _, k := range i.o.Sign {
			keys = append(keys, k.Public())
		}
		if err := put("public-keys", binarycache.MarshalPublicKeys(keys)); err != nil {
			return err
		}
	}
	if p.IsCache && p.Info.StoreDir != i.o.StoreDir {
		return &binarycache.RefusedError{Cache: i.o.Name, Reason: fmt.Sprintf("it holds paths of the store %s, and this server is for %s", p.Info.StoreDir, i.o.StoreDir)}
	}
	if !p.IsCache {
		if err := put("nix-cache-info", binarycache.Info{StoreDir: i.o.StoreDir, WantMassQuery: true, Priority: i.o.Priority}.Marshal()); err != nil {
			return err
		}
	}
	i.initDone = true
	return nil
}

// pathLock is held by one of those who publish the same path.
type pathLock struct {
	sync.Mutex
	users int
}

func (i *Intake) lock(key string) (unlock func()) {
	i.mu.Lock()
	l, ok := i.locks[key]
	if !ok {
		l = new(pathLock)
		i.locks[key] = l
	}
	l.users++
	i.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		i.mu.Lock()
		if l.users--; l.users == 0 {
			delete(i.locks, key)
		}
		i.mu.Unlock()
	}
}
