package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
)

// address is where a cache is.
type address struct {
	name  string // for messages and reports, without credentials
	store blob.Store
	level binarycache.Level // from ?compression=, empty if not said
}

// openAddress understands the addresses of caches as Nix has them, so that
// one address serves both.
func openAddress(text string) (address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return address{}, usagef("cache %q has no scheme; for a directory write file://%s", text, absolute(text))
	}
	if scheme != "file" {
		return address{}, usagef("cache %q: the scheme %s:// is not known; file:///dir is", text, scheme)
	}
	path, query, _ := strings.Cut(rest, "?")
	if path == "" {
		return address{}, usagef("cache %q names no directory", text)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return address{}, usagef("cache %q: %v", text, err)
	}
	a := address{}
	for key, values := range params {
		switch value := values[len(values)-1]; key {
		case "compression":
			switch value {
			case "none":
				a.level = binarycache.None
			case "zstd":
				a.level = binarycache.Default
			default:
				return address{}, usagef("cache %q: pcache writes zstd or none, not %s", text, value)
			}
		case "priority", "want-mass-query", "trusted", "path-info-cache-size", "local-nar-cache", "write-nar-listing", "index-debug-info", "parallel-compression":
			// Nix's own; they do not concern what is written here.
		default:
			return address{}, usagef("cache %q: parameter %s is not known (signing keys: --secret-key-file; level: --compression)", text, key)
		}
	}
	// As Nix does: a space or # in the path is written %20 or %23.
	if path, err = url.PathUnescape(path); err != nil {
		return address{}, usagef("cache %q: %v", text, err)
	}
	path = absolute(path)
	store, err := dir.New(path)
	if err != nil {
		return address{}, &binarycache.RefusedError{Cache: text, Reason: err.Error()}
	}
	a.name, a.store = "file://"+(&url.URL{Path: path}).EscapedPath(), store
	return a, nil
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// namedPath is a --root: a name and, unless the command's paths are meant, the
// path it stands for.
type namedPath struct{ name, path string }

func parseRoots(flags []string) ([]namedPath, error) {
	var roots []namedPath
	for _, f := range flags {
		name, path, _ := strings.Cut(f, "=")
		if err := binarycache.CheckRootName(name); err != nil {
			return nil, usageError{fmt.Errorf("--root %s: %v", f, err)}
		}
		roots = append(roots, namedPath{name, path})
	}
	return roots, nil
}
