package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"

	"golang.org/x/sync/errgroup"
)

// target is the file of a NAR and the paths that have it: none if it is an
// orphan.
type target struct {
	key      string
	size     int64 // as listed
	modified time.Time
	paths    []census.ID // with the same compression, NAR hash and size
}

// files looks whether the NARs of all paths are there, and returns them.
func (a *auditor) files(ctx context.Context) ([]*target, error) {
	c := a.Census
	type claim struct {
		key, compression string
		hash             nix.Hash
		size             int64
	}
	byClaim := make(map[claim]*target)
	var targets []*target
	for i := range c.Paths {
		p := &c.Paths[i]
		if !p.Good() {
			continue
		}
		id := census.ID(i)
		key, ok := p.NAR()
		if !ok {
			a.find(NARMissing, p.Key(), string(p.Path), "its NAR is at %q, which is no place in this cache", p.URL)
			a.breaks(id, NARMissing)
			continue
		}
		k := claim{key, p.Compression, p.NARHash, p.NARSize}
		t := byClaim[k]
		if t == nil {
			t = &target{key: key, size: -1}
			byClaim[k] = t
			targets = append(targets, t)
		}
		t.paths = append(t.paths, id)
	}
	if err := a.locate(ctx, targets); err != nil {
		return nil, err
	}
	there := targets[:0]
	for _, t := range targets {
		if t.size < 0 {
			for _, id := range t.paths {
				a.find(NARMissing, c.Paths[id].Key(), string(c.Paths[id].Path), "%s is not there", t.key)
				a.breaks(id, NARMissing)
			}
			continue
		}
		// What is not read must at least have the size that is stated.
		if a.o.Level == Listing {
			a.checkFile(t, t.size, nix.Hash{})
		}
		there = append(there, t)
	}
	if a.o.Level == Full {
		for _, o := range orphans(c) {
			there = append(there, &target{key: o.Key, size: o.Size, modified: o.Modified})
		}
	}
	// Large ones first, so that none of them is left alone at the end.
	slices.SortStableFunc(there, func(x, y *target) int { return int(min(max(y.size-x.size, -1), 1)) })
	return there, nil
}

// locate finds out which NARs are there: from the listing if there is one.
func (a *auditor) locate(ctx context.Context, targets []*target) error {
	if a.o.Store != nil && len(a.o.Paths) == 0 {
		for _, t := range targets {
			if o, ok := a.Census.Object(t.key); ok {
				t.size, t.modified = o.Size, o.Modified
			}
		}
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(binarycache.Lookups(a.o.Reader))
	for _, t := range targets {
		group.Go(func() error {
			info, err := a.o.Reader.Stat(ctx, t.key)
			switch {
			case errors.Is(err, blob.ErrNotExist):
			case err != nil:
				return fmt.Errorf("ask cache %s for %s: %w", a.o.Name, t.key, err)
			default:
				t.size, t.modified = info.Size, info.Modified
			}
			return nil
		})
	}
	return group.Wait()
}

// checkFile compares a file with what each narinfo says of it. A zero hash is
// not known.
func (a *auditor) checkFile(t *target, size int64, hash nix.Hash) {
	for _, id := range t.paths {
		p := &a.Census.Paths[id]
		switch {
		case p.FileSize > 0 && p.FileSize != size:
			a.find(FileDamaged, t.key, string(p.Path), "it has %d bytes, the narinfo says %d", size, p.FileSize)
		case !hash.IsZero() && !p.FileHash.IsZero() && p.FileHash != hash:
			a.find(FileDamaged, t.key, string(p.Path), "it has hash %s, the narinfo says %s", hash, p.FileHash)
		default:
			continue
		}
		if a.o.Level == Full && !hash.IsZero() {
			a.Files[id] = File{size, hash}
		}
		a.breaks(id, FileDamaged)
	}
}

// readers is how many NARs are read at once: as many as can be unpacked, and
// more where bytes come from a network.
func readers(r blob.Reader) int {
	n := runtime.GOMAXPROCS(0)
	if remote, ok := r.(blob.Remote); ok {
		n = max(n, min(remote.Requests(), 8))
	}
	return n
}

func (a *auditor) readAll(ctx context.Context, targets []*target) error {
	for _, t := range targets {
		a.o.Progress.TotalPaths.Add(1)
		a.o.Progress.TotalBytes.Add(t.size)
	}
	a.o.Progress.Planned.Store(true)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(readers(a.o.Reader))
	for _, t := range targets {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error { return a.read(groupCtx, t) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("verify cache %s: %w", a.o.Name, err)
	}
	return ctx.Err()
}

// facts are what was computed from the bytes of a file.
type facts struct {
	size  int64
	hash  nix.Hash
	wrong error // with the NAR in it
}

func (a *auditor) read(ctx context.Context, t *target) error {
	defer a.o.Progress.Paths.Add(1)
	if len(t.paths) == 0 {
		return a.readOrphan(ctx, t)
	}
	first := &a.Census.Paths[t.paths[0]]
	entry := entryOf(t, first)
	if size, hash, ok := a.o.Journal.good(entry); ok {
		a.o.Progress.Bytes.Add(t.size)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.Known++
		a.checkFile(t, size, hash) // the narinfo may have changed
		return nil
	}
	listed := a.listed(t)
	var listing []byte
	var look func(io.Reader) error
	if a.o.Level == Full {
		look = func(file io.Reader) (err error) {
			listing, err = unpack(first, file, t.key, len(listed) > 0)
			return err
		}
	}
	f, err := a.compute(ctx, t, look)
	if errors.Is(err, blob.ErrNotExist) {
		return a.missing(t)
	}
	if err != nil {
		return err
	}
	var listings []Finding
	if f.wrong == nil && listing != nil {
		if listings, err = a.compareListings(ctx, listed, listing); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.NARs++
	a.Bytes += f.size
	before := a.Damaged
	if f.wrong != nil {
		a.BadFiles[t.key] = true
		for _, id := range t.paths {
			a.find(NARDamaged, t.key, string(a.Census.Paths[id].Path), "%s", strings.TrimSuffix(f.wrong.Error(), ": "+binarycache.ErrDamaged.Error()))
			a.breaks(id, NARDamaged)
		}
	} else {
		a.checkFile(t, f.size, f.hash)
	}
	for _, l := range listings {
		a.find(l.Kind, l.Key, l.Path, "%s", l.Detail)
	}
	if a.Damaged > before {
		return nil
	}
	entry.FileSize, entry.FileHash = f.size, f.hash.String()
	return a.o.Journal.add(entry)
}

// missing is for a NAR that the listing has and the store has not.
func (a *auditor) missing(t *target) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.BadFiles[t.key] = true
	for _, id := range t.paths {
		p := &a.Census.Paths[id]
		a.find(NARMissing, p.Key(), string(p.Path), "%s is listed, and is not there", t.key)
		a.breaks(id, NARMissing)
	}
	return nil
}

// failing remembers whether reading itself failed: that says nothing of the
// bytes.
type failing struct {
	r   io.Reader
	n   *atomic.Int64
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.n.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// compute reads a file to its end; look, if not nil, reads the NAR in it. The error is one of reading; what is wrong
// with the bytes is among the facts.
func (a *auditor) compute(ctx context.Context, t *target, look func(file io.Reader) error) (f facts, err error) {
	object, err := a.o.Reader.Open(ctx, t.key)
	if err != nil {
		return f, err
	}
	defer object.Close()
	stop := context.AfterFunc(ctx, func() { object.Close() })
	defer stop()
	in := &failing{r: object, n: &a.o.Progress.Bytes}
	sum := sha256.New()
	counted := &counter{w: sum}
	file := io.TeeReader(in, counted)
	if look != nil {
		f.wrong = look(file)
	}
	if in.err == nil && ctx.Err() == nil {
		extra, _ := io.Copy(io.Discard, file)
		if look != nil && f.wrong == nil && extra > 0 {
			f.wrong = fmt.Errorf("%d bytes follow the end of the NAR", extra)
		}
	}
	switch {
	case ctx.Err() != nil:
		return f, ctx.Err()
	case in.err != nil:
		if _, remote := a.o.Reader.(blob.Remote); remote {
			return f, fmt.Errorf("read %s: %w", t.key, in.err)
		}
		f.wrong = fmt.Errorf("it cannot be read: %v", in.err) // a disk lost it
	}
	sum.Sum(f.hash[:0])
	f.size = counted.n
	return f, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}

// unpack compares the NAR in a file with what its narinfo says.
func unpack(p *census.Path, file io.Reader, key string, list bool) (listing []byte, err error) {
	if !binarycache.Readable(p.Compression) {
		return nil, fmt.Errorf("its compression, %s, is none that can be read here", p.Compression)
	}
	n := nix.NARInfo{PathInfo: nix.PathInfo{Path: p.Path, NARHash: p.NARHash, NARSize: p.NARSize}, Compression: p.Compression}
	plain, err := binarycache.NewNAR(n, file, key)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	if !list {
		_, err = io.Copy(struct{ io.Writer }{io.Discard}, plain)
		return nil, err
	}
	var lister nar.Lister
	parser := nar.NewParser(lister.Visitor())
	if _, err := io.Copy(struct{ io.Writer }{parser}, plain); err != nil {
		return nil, err
	}
	if err := parser.Close(); err != nil {
		return nil, err
	}
	listing, err = lister.JSON()
	if errors.Is(err, nar.ErrNoListing) {
		return nil, nil
	}
	return listing, err
}

// listed are the listings of a target's paths that are in the cache.
func (a *auditor) listed(t *target) map[string]census.ID {
	if a.o.Level != Full {
		return nil
	}
	keys := make(map[string]census.ID)
	for _, id := range t.paths {
		key := a.Census.Paths[id].Hash.String() + ".ls"
		if _, ok := a.Census.Object(key); ok {
			keys[key] = id
		}
	}
	return keys
}

func (a *auditor) compareListings(ctx context.Context, listed map[string]census.ID, want []byte) (bad []Finding, err error) {
	for key, id := range listed {
		got, err := blob.ReadAll(ctx, a.o.Reader, key, nar.MaxListing)
		if errors.Is(err, blob.ErrNotExist) {
			continue
		}
		if err != nil && !errors.Is(err, blob.ErrTooLarge) {
			return nil, err
		}
		same := err == nil && sameListing(got, want)
		if !same {
			bad = append(bad, Finding{Kind: ListingDamaged, Key: key, Path: string(a.Census.Paths[id].Path), Detail: "it is not the list of the files in the path's NAR"})
		}
	}
	return bad, nil
}

// sameListing compares what two listings say, not how they are written.
func sameListing(x, y []byte) bool {
	if bytes.Equal(x, y) {
		return true
	}
	a, err := nar.ParseListing(x)
	if err != nil {
		return false
	}
	b, err := nar.ParseListing(y)
	return err == nil && slices.EqualFunc(a, b, func(m, n nar.Node) bool {
		if m.Offset == 0 { // harmonia's, say, do not tell
			n.Offset = 0
		}
		return m == n
	})
}
