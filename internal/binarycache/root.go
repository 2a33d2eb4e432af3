package binarycache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// RootVersion is the version of the manifests that are written.
const RootVersion = 1

// RootLimit bounds a manifest: most of it are the hash parts of upstream paths,
// of which a machine may have tens of thousands.
const RootLimit = 8 << 20

// Root is a manifest: one generation of a name, such as a host. What a
// manifest names, and all that it refers to, is kept by garbage collection.
type Root struct {
	Version    int             `json:"version"`
	Name       string          `json:"name"`
	Generation string          `json:"generation"` // sorts by time
	Time       time.Time       `json:"time"`
	Paths      []nix.StorePath `json:"paths"`
	Commit     string          `json:"commit,omitempty"` // of the configuration
	Pusher     string          `json:"pusher,omitempty"` // user@machine
	ClosureLen int             `json:"closure_paths"`
	NARBytes   int64           `json:"closure_nar_bytes"`
	// Upstream are the hash parts of those paths of the closure that the cache
	// need not hold, since a key of its upstream-keys signed them.
	Upstream []string `json:"upstream,omitempty"`
	// BeyondUpstream are the hash parts of those paths of the closure that the
	// cache holds and that only paths of Upstream refer to: where those are not
	// here, nothing else tells that these are needed.
	BeyondUpstream []string `json:"beyond_upstream,omitempty"`
}

var rootName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckRootName refuses names that could not be part of an object's key.
func CheckRootName(name string) error {
	if !rootName.MatchString(name) {
		return fmt.Errorf("root name %q: want letters, digits, dots, dashes and underscores, at most 64, starting with a letter or digit", name)
	}
	return nil
}

const generationTime = "20060102T150405.000Z"

// newGeneration names a generation: its time, so that names sort, and a part
// of the path's hash, so that two pushes in one millisecond differ.
func newGeneration(t time.Time, p nix.StorePath) string {
	return t.UTC().Format(generationTime) + "-" + p.HashPart()[:8]
}

// PutRoot writes a manifest, whose Version, Generation and Time it fills in.
// Call it last: when all that the paths refer to is published.
func (s *Sink) PutRoot(ctx context.Context, r Root, now time.Time) (Root, error) {
	if err := CheckRootName(r.Name); err != nil {
		return r, err
	}
	if len(r.Paths) == 0 {
		return r, fmt.Errorf("root %s has no path", r.Name)
	}
	if err := s.Held(); err != nil {
		return r, err
	}
	if err := s.init(ctx); err != nil {
		return r, err
	}
	r.Version, r.Time = RootVersion, now.UTC().Truncate(time.Millisecond)
	r.Generation = newGeneration(r.Time, r.Paths[0])
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return r, err
	}
	return r, s.putBytes(ctx, rootsPrefix+r.Name+"/"+r.Generation+".json", append(data, '\n'))
}

// ParseRoot reads a manifest of a cache whose store directory is storeDir.
func ParseRoot(storeDir string, data []byte) (Root, error) {
	var r Root
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("not a root manifest: %v", err)
	}
	if r.Version != RootVersion {
		return r, fmt.Errorf("root manifest of version %d, this program knows %d", r.Version, RootVersion)
	}
	if err := CheckRootName(r.Name); err != nil {
		return r, err
	}
	if len(r.Paths) == 0 {
		return r, errors.New("root manifest without paths")
	}
	for _, p := range r.Paths {
		if _, err := nix.ParseStorePath(storeDir, string(p)); err != nil {
			return r, fmt.Errorf("root manifest: %v", err)
		}
	}
	for _, h := range slices.Concat(r.Upstream, r.BeyondUpstream) {
		if !nix.IsHashPart(h) {
			return r, fmt.Errorf("root manifest: %q of upstream or beyond_upstream is no hash part of a store path", h)
		}
	}
	return r, nil
}

// NewestRoot returns the last generation of a name.
func NewestRoot(ctx context.Context, s blob.Store, cacheName, storeDir, name string) (Root, error) {
	if err := CheckRootName(name); err != nil {
		return Root{}, err
	}
	newest := ""
	for info, err := range s.List(ctx, rootsPrefix+name+"/") {
		if err != nil {
			return Root{}, fmt.Errorf("list the roots of cache %s: %w", cacheName, err)
		}
		if strings.HasSuffix(info.Key, ".json") {
			newest = max(newest, info.Key)
		}
	}
	if newest == "" {
		return Root{}, &RefusedError{Cache: cacheName, Reason: fmt.Sprintf("it has no root %q", name)}
	}
	data, err := blob.ReadAll(ctx, s, newest, RootLimit)
	if err != nil {
		return Root{}, fmt.Errorf("read root %s of cache %s: %w", newest, cacheName, err)
	}
	r, err := ParseRoot(storeDir, data)
	if err != nil {
		return r, &RefusedError{Cache: cacheName, Reason: newest + ": " + err.Error()}
	}
	return r, nil
}

// RootNames lists the names of a cache's roots, sorted. With an error it has
// those that were listed until then.
func RootNames(ctx context.Context, s blob.Store) (names []string, err error) {
	for info, err := range s.List(ctx, rootsPrefix) {
		if err != nil {
			return names, fmt.Errorf("list the roots: %w", err)
		}
		name, _, ok := strings.Cut(strings.TrimPrefix(info.Key, rootsPrefix), "/")
		if ok && CheckRootName(name) == nil && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// newestKey is where a server answers with the newest manifest of a name: who
// reads a cache through a server cannot list.
func newestKey(name string) string { return rootsPrefix + name + "/newest" }

// FindRoot returns a generation of a name, the newest if generation is empty.
// store is nil for a cache that cannot be listed: then a server must answer
// for it, as pcache serve does.
func FindRoot(ctx context.Context, r blob.Reader, store blob.Store, cacheName, storeDir, name, generation string) (Root, error) {
	if generation == "" && store != nil {
		return NewestRoot(ctx, store, cacheName, storeDir, name)
	}
	if err := CheckRootName(name); err != nil {
		return Root{}, err
	}
	key := newestKey(name)
	if generation != "" {
		if err := CheckRootName(generation); err != nil {
			return Root{}, fmt.Errorf("generation: %v", err)
		}
		key = rootsPrefix + name + "/" + generation + ".json"
	}
	data, err := blob.ReadAll(ctx, r, key, RootLimit)
	switch {
	case errors.Is(err, blob.ErrNotExist) && generation != "":
		return Root{}, &RefusedError{Cache: cacheName, Reason: fmt.Sprintf("root %q has no generation %s", name, generation)}
	case errors.Is(err, blob.ErrNotExist):
		return Root{}, &RefusedError{Cache: cacheName, Reason: fmt.Sprintf("it has no root %q, or is a web server that cannot list its roots (pcache serve can)", name)}
	case err != nil:
		return Root{}, fmt.Errorf("read root %s of cache %s: %w", name, cacheName, err)
	}
	root, err := ParseRoot(storeDir, data)
	if err == nil && root.Name != name {
		err = fmt.Errorf("it is of %s", root.Name)
	}
	if err != nil {
		return root, &RefusedError{Cache: cacheName, Reason: key + ": " + err.Error()}
	}
	return root, nil
}
