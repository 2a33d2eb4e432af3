package binarycache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"
)

// Extras say what a push writes beside what a substituter needs. Keys and
// formats are Nix's, for its settings write-nar-listing and index-debug-info.
type Extras struct {
	// Listings: <hash part>.ls, what is in a path, for programs that look for
	// files without fetching NARs. It is left out for the rare path that
	// cannot be listed (nar.ErrNoListing).
	Listings bool
	// DebugInfo: debuginfo/<build ID>, where the debug symbols of a program
	// are, for paths that have lib/debug/.build-id.
	DebugInfo bool
}

func (e Extras) any() bool { return e.Listings || e.DebugInfo }

func listingKey(p nix.StorePath) string  { return p.HashPart() + ".ls" }
func debugInfoKey(buildID string) string { return "debuginfo/" + buildID }
func logKey(drv nix.StorePath) string    { return "log/" + drv.Base() }

// inspection looks into a NAR that passes by, on its way from one reader to
// whoever reads the inspection.
type inspection struct {
	nar    io.Reader
	parser *nar.Parser
	lister nar.Lister
	debug  []string // paths of debug symbols in the NAR
}

var debugSymbols = regexp.MustCompile(`^lib/debug/\.build-id/([0-9a-f]{2})/([0-9a-f]{38})\.debug$`)

func newInspection(e Extras, r io.Reader) *inspection {
	i := &inspection{nar: r}
	var visit nar.Visitor
	if e.Listings {
		visit = i.lister.Visitor()
	}
	list := visit.Enter
	visit.Enter = func(n nar.Node) error {
		if e.DebugInfo && n.Kind == nar.Regular && debugSymbols.MatchString(n.Path) {
			i.debug = append(i.debug, n.Path)
		}
		if list != nil {
			return list(n)
		}
		return nil
	}
	i.parser = nar.NewParser(visit)
	return i
}

func (i *inspection) Read(p []byte) (int, error) {
	n, err := i.nar.Read(p)
	if _, perr := i.parser.Write(p[:n]); perr != nil {
		return 0, perr
	}
	if err == io.EOF {
		if perr := i.parser.Close(); perr != nil {
			return n, perr
		}
	}
	return n, err
}

// WriteTo keeps the way without goroutines open: the NAR writes itself to w.
func (i *inspection) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(writerFunc(func(p []byte) (int, error) {
		if n, err := i.parser.Write(p); err != nil {
			return n, err
		}
		return w.Write(p)
	}), i.nar)
	if err == nil {
		err = i.parser.Close()
	}
	return n, err
}

// putExtras writes what the inspection of p's whole NAR has found. url is
// where the NAR is.
func (s *Sink) putExtras(ctx context.Context, p nix.PathInfo, url string, i *inspection) error {
	if s.o.Listings {
		listing, err := i.lister.JSON()
		if err == nil {
			err = s.putBytes(ctx, listingKey(p.Path), listing)
		}
		if err != nil && !errors.Is(err, nar.ErrNoListing) {
			return err
		}
	}
	for _, member := range i.debug {
		id := debugSymbols.FindStringSubmatch(member)
		data, err := json.Marshal(struct {
			Archive string `json:"archive"`
			Member  string `json:"member"`
		}{"../" + url, member})
		if err != nil {
			return err
		}
		// The first one stays, as with Nix: symbols of one build ID are equal.
		if _, err := blob.PutNew(ctx, s.store, debugInfoKey(id[1]+id[2]), strings.NewReader(string(data)), int64(len(data))); err != nil {
			return err
		}
	}
	return nil
}

// interruptedExtras is for a NAR that another push stored while this one was
// on its way, so that perhaps not all of it was read.
func (s *Sink) interruptedExtras(ctx context.Context, info nix.NARInfo, i *inspection) error {
	if err := i.parser.Close(); err != nil {
		return &cache.AgainError{Err: fmt.Errorf("list %s, which another push was sending too: %v", info.Path, err)}
	}
	return s.putExtras(ctx, info.PathInfo, info.URL, i)
}

// lateExtras is for a path whose NAR was in the cache before: the NAR is read
// for the extras alone, if the cache does not have them.
func (s *Sink) lateExtras(ctx context.Context, info nix.NARInfo, r io.Reader) error {
	if !s.o.any() {
		return nil
	}
	if !s.o.DebugInfo { // of which it is not known what there should be
		_, err := s.store.Stat(ctx, listingKey(info.Path))
		if !errors.Is(err, blob.ErrNotExist) {
			return err
		}
	}
	i := newInspection(s.o.Extras, cache.Peek(r))
	if _, err := io.Copy(io.Discard, i); err != nil {
		return err
	}
	return s.putExtras(ctx, info.PathInfo, info.URL, i)
}

// PutLog stores the log of a build where `nix log` looks for it, unless the
// cache has one. open is called if it has none.
func (s *Sink) PutLog(ctx context.Context, drv nix.StorePath, open func() (io.ReadCloser, error)) (stored bool, err error) {
	key := logKey(drv)
	if _, err := s.store.Stat(ctx, key); !errors.Is(err, blob.ErrNotExist) {
		if err != nil {
			err = fmt.Errorf("ask cache %s for %s: %w", s.o.Name, key, err)
		}
		return false, err
	}
	r, err := open()
	if err != nil {
		return false, err
	}
	defer r.Close()
	existed, err := blob.PutNew(ctx, s.store, key, r, -1)
	return !existed && err == nil, err
}
