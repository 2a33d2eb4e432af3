package main

import (
	"net/url"
	"path/filepath"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/blob/httpread"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
)

// address is where a cache is.
type address struct {
	name   string // for messages and reports, without credentials
	reader blob.Reader
	store  blob.Store        // the same, for writing; nil if it can only be read
	level  binarycache.Level // from ?compression=, empty if not said
}

// openCache opens a cache to write to.
func openCache(text string) (address, error) {
	a, err := openAddress(text)
	if err == nil && a.store == nil {
		err = usagef("cache %q can only be read: push to the storage behind it, file:///dir or s3://bucket", text)
	}
	return a, err
}

// openAddress understands the addresses of caches as Nix has them, so that
// one address serves both.
func openAddress(text string) (address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return address{}, usagef("cache %q has no scheme; for a directory write file://%s", text, absolute(text))
	}
	switch scheme {
	case "file":
		return openDirectory(text, rest)
	case "s3":
		return openBucket(text)
	case "http", "https":
		return openServer(text)
	default:
		return address{}, usagef("cache %q: the scheme %s:// is not known; file:///dir, s3://bucket and https://host are", text, scheme)
	}
}

func openDirectory(text, rest string) (address, error) {
	path, query, _ := strings.Cut(rest, "?")
	if path == "" {
		return address{}, usagef("cache %q names no directory", text)
	}
	_, settings, err := remote.Params(query, nil)
	if err != nil {
		return address{}, usagef("cache %q: %v", text, err)
	}
	a := address{}
	if a.level, err = nixLevel(settings); err != nil {
		return address{}, usagef("cache %q: %v", text, err)
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
	a.name, a.store, a.reader = "file://"+(&url.URL{Path: path}).EscapedPath(), store, store
	return a, nil
}

func openBucket(text string) (address, error) {
	config, settings, err := s3.ParseAddress(text)
	if err != nil {
		return address{}, usageError{err}
	}
	a := address{name: config.String()}
	if a.level, err = nixLevel(settings); err != nil {
		return address{}, usagef("cache %q: %v", text, err)
	}
	store, err := s3.New(config)
	if err != nil {
		return address{}, usageError{err}
	}
	a.store, a.reader = store, store
	return a, nil
}

func openServer(text string) (address, error) {
	config, _, err := httpread.ParseAddress(text)
	if err != nil {
		return address{}, usageError{err}
	}
	reader, err := httpread.New(config)
	if err != nil {
		return address{}, usageError{err}
	}
	return address{name: reader.String(), reader: reader}, nil
}

// nixLevel reads the settings of Nix in an address that say how to write. The
// others concern only Nix. What would be ignored though it was meant, such as
// a signing key, is refused.
func nixLevel(settings map[string]string) (binarycache.Level, error) {
	for _, key := range []string{"secret-key", "secret-keys", "compression-level", "store"} {
		if _, ok := settings[key]; ok {
			return "", usagef("parameter %s is not for pcache (signing keys: --secret-key-file; level: --compression)", key)
		}
	}
	switch value := settings["compression"]; value {
	case "":
		return "", nil
	case "none":
		return binarycache.None, nil
	case "zstd":
		return binarycache.Default, nil
	default:
		return "", usagef("pcache writes zstd or none, not %s", value)
	}
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
