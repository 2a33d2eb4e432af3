package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/pcache/config"
	"gitlab.com/pantheros/pantheros/internal/attic"
	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/blob/httpread"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/substituter"
)

// address is a cache that a command was given, by its address or by its name
// in the configuration. Copies go through source and sink, whatever kind of
// cache it is; what looks at a cache's objects needs reader or store.
type address struct {
	name   string // for messages and reports, without credentials
	config config.Cache
	level  binarycache.Level // from ?compression= or the configuration, empty if not said
	extras extras            // the same

	reader blob.Reader // nil if the cache is no heap of files
	store  blob.Store  // the same, for writing; nil if it can only be read

	// For caches that are no heap of files; nil: a binary cache on the above.
	openSource func(context.Context, binarycache.SourceOptions) (cache.Source, error)
	openSink   func(context.Context, sinkOptions) (cache.Sink, error)
	attic      *attic.Client // of a cache on an Attic server, for its API
}

// published is what a cache says of itself, with the keys that its paths are
// signed with: those that it lists, those of an Attic server's configuration,
// or those that everybody knows. The cache must have a reader.
func (a address) published(ctx context.Context) (binarycache.Published, error) {
	p, err := binarycache.ReadPublished(ctx, a.reader, a.name)
	if err != nil || p.Keys != nil {
		return p, err
	}
	if a.attic != nil {
		p.Keys, err = a.attic.PublicKeys(ctx)
		return p, err
	}
	if key, ok := substituter.WellKnownKey(a.name); ok {
		p.Keys = []nix.PublicKey{key}
	}
	return p, nil
}

// sinkOptions say how a cache of any kind is written.
type sinkOptions struct {
	binarycache.SinkOptions
	full   bool // leave nothing to upstreams
	verify bool // make sure of every path
}

// source opens the cache to copy from. The cache's name and the keys of the
// configuration are filled in where o has none.
func (a address) source(ctx context.Context, o binarycache.SourceOptions) (cache.Source, error) {
	o.Name = a.name
	if a.openSource != nil {
		return a.openSource(ctx, o)
	}
	return binarycache.OpenSource(ctx, a.reader, o)
}

// sink opens the cache to copy to. One that keeps root manifests is a
// rootKeeper too.
func (a address) sink(ctx context.Context, o sinkOptions) (cache.Sink, error) {
	o.Name = a.name
	if a.openSink != nil {
		return a.openSink(ctx, o)
	}
	return binarycache.OpenSink(ctx, a.store, o.SinkOptions)
}

// rootKeeper is a sink in which generations of names keep closures alive.
type rootKeeper interface {
	PutRoot(ctx context.Context, r binarycache.Root, now time.Time) (binarycache.Root, error)
	LeftUpstream(ps []nix.PathInfo) []string
}

// release gives up what a sink holds in its cache while paths are copied.
func release(ctx context.Context, s cache.Sink) {
	if r, ok := s.(interface{ Release(context.Context) error }); ok {
		_ = r.Release(ctx) // it ends by itself, too
	}
}

// cacheOf splits a command's arguments into the cache, as openAddress wants
// it, and the rest. Where the first one is neither an address nor a name, it
// is a path of the default cache.
func cacheOf(args []string) (text string, rest []string, err error) {
	if len(args) > 0 && (strings.Contains(args[0], "://") || isAttic(args[0]) || config.IsName(args[0])) {
		return args[0], args[1:], nil
	}
	file, err := config.Load(os.Getenv)
	if err != nil {
		return "", nil, usageError{err}
	}
	if file.Default == "" && len(args) > 0 && args[0] != "-" {
		return "", nil, usagef("cache %q has no scheme; for a directory write file://%s", args[0], absolute(args[0]))
	}
	if _, err := file.Lookup(""); err != nil {
		return "", nil, usageError{err}
	}
	return file.Default, args, nil
}

// openCache opens a cache to push to.
func openCache(text string) (address, error) {
	a, err := openAddress(text)
	if err == nil && a.store == nil && a.openSink == nil {
		err = usagef("cache %q can only be read: push to the storage behind it, file:///dir or s3://bucket", text)
	}
	return a, err
}

// openAddress opens a cache to read from: one that the configuration names, or
// an address. Addresses are as Nix has them, so that one serves both.
func openAddress(text string) (address, error) {
	if strings.Contains(text, "://") || isAttic(text) {
		return openAt(text, config.Cache{Address: text})
	}
	file, err := config.Load(os.Getenv)
	if err != nil {
		return address{}, usageError{err}
	}
	if text != "" && !config.IsName(text) {
		return address{}, usagef("cache %q has no scheme; for a directory write file://%s", text, absolute(text))
	}
	c, err := file.Lookup(text)
	if err != nil {
		return address{}, usagef("%v; an address has a scheme, such as file://%s", err, absolute(text))
	}
	return openAt(c.Address, c)
}

func openAt(text string, c config.Cache) (a address, err error) {
	scheme, rest, _ := strings.Cut(text, "://")
	if c.TokenFile != "" && c.NetrcFile != "" {
		return a, usagef("cache %q: token-file and netrc-file exclude each other", text)
	}
	if (c.TokenFile != "" || c.NetrcFile != "") && (scheme == "file" || scheme == "s3") {
		return a, usagef("cache %q: token-file and netrc-file are for caches behind a web server", text)
	}
	switch {
	case isAttic(text):
		a, err = openAttic(text, c)
	case scheme == "file":
		a, err = openDirectory(text, rest)
	case scheme == "s3":
		a, err = openBucket(text, c)
	case scheme == "http" || scheme == "https":
		a, err = openServer(text, c)
	default:
		err = usagef("cache %q: the scheme %s:// is not known; file:///dir, s3://bucket, https://host and attic+https://host/cache are", text, scheme)
	}
	a.config = c
	if a.level == "" {
		a.level = c.Compression
	}
	a.extras.orElse(configuredExtras(c))
	return a, err
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
	if err = a.obey(settings); err != nil {
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

func openBucket(text string, c config.Cache) (address, error) {
	bucket, settings, err := s3.ParseAddress(text)
	if err != nil {
		return address{}, usageError{err}
	}
	bucket.CAFile = c.CAFile
	if dir, err := os.UserCacheDir(); err == nil {
		bucket.State = filepath.Join(dir, "pcache", "uploads")
	}
	a := address{name: bucket.String()}
	if err = a.obey(settings); err != nil {
		return address{}, usagef("cache %q: %v", text, err)
	}
	store, err := s3.New(bucket)
	if err != nil {
		return address{}, usageError{err}
	}
	a.store, a.reader = store, store
	return a, nil
}

func openServer(text string, c config.Cache) (address, error) {
	server, _, err := httpread.ParseAddress(text)
	if err != nil {
		return address{}, usageError{err}
	}
	server.CAFile, server.TokenFile = c.CAFile, c.TokenFile
	if c.NetrcFile != "" {
		server.NetrcFiles = []string{c.NetrcFile}
	}
	reader, err := httpread.New(server)
	if err != nil {
		return address{}, usageError{err}
	}
	return address{name: reader.String(), reader: reader}, nil
}

// obey reads the settings of Nix in an address that say how to write. The
// others concern only Nix. What would be ignored though it was meant, such as
// a signing key, is refused.
func (a *address) obey(settings map[string]string) (err error) {
	for _, key := range []string{"secret-key", "secret-keys", "compression-level", "store"} {
		if _, ok := settings[key]; ok {
			return usagef("parameter %s is not for pcache (signing keys: --secret-key-file; level: --compression)", key)
		}
	}
	switch value := settings["compression"]; value {
	case "":
	case "none":
		a.level = binarycache.None
	case "zstd":
		a.level = binarycache.Default
	default:
		return usagef("pcache writes zstd or none, not %s", value)
	}
	a.extras, err = nixExtras(settings)
	return err
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
