// Package config reads pcache's configuration file, which gives caches names.
//
// docs/pcache.md describes the format for its readers.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/pelletier/go-toml/v2"
)

// maxSize bounds a configuration, in bytes.
const maxSize = 1 << 20

// File is a configuration. The zero value is that of a machine without one.
type File struct {
	Path    string // where it is, or would be; empty: there is no place for it
	Default string // the cache that is meant where none is named; empty: none
	Caches  map[string]Cache
}

// Cache is what is known of a cache that has a name. What is empty is not
// said, and the command's own default holds.
type Cache struct {
	Address        string
	SecretKeyFiles []string        // that pushes sign with
	PublicKeys     []nix.PublicKey // that pulled paths must be signed with
	SkipSignedBy   []nix.PublicKey // upstream keys: what they signed is not pushed
	Compression    binarycache.Level
	NetrcFile      string   // with the login for the server
	TokenFile      string   // with a bearer token for the server
	TokenCommand   []string // that prints such a token
	CAFile         string   // with the authorities of the server's certificate
	Listings       *bool
	DebugInfo      *bool
	Logs           *bool
}

// Path is where the configuration is: $PCACHE_CONFIG, or pcache/config.toml
// below $XDG_CONFIG_HOME or ~/.config. must says that somebody named the file,
// so that it has to exist.
func Path(getenv func(string) string) (file string, must bool) {
	if file := getenv("PCACHE_CONFIG"); file != "" {
		return file, true
	}
	dir := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) { // the specification wants others ignored
		if dir = getenv("HOME"); dir == "" {
			return "", false
		}
		dir = filepath.Join(dir, ".config")
	}
	return filepath.Join(dir, "pcache/config.toml"), false
}

// Load reads the configuration of this user. Without a file it is empty.
// Errors name file and line.
func Load(getenv func(string) string) (File, error) {
	path, must := Path(getenv)
	if path == "" {
		return File{}, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return File{Path: path}, nil
	}
	if err != nil {
		return File{}, fmt.Errorf("read the configuration: %v", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return File{}, fmt.Errorf("read the configuration: %v", err)
	}
	if len(data) > maxSize {
		return File{}, fmt.Errorf("the configuration %s has more than %d bytes", path, maxSize)
	}
	return Parse(path, data, getenv("HOME"))
}

// The file as TOML has it.
type (
	document struct {
		Default string           `toml:"default"`
		Cache   map[string]entry `toml:"cache"`
	}
	entry struct {
		Address        string      `toml:"address"`
		SecretKeyFile  filename    `toml:"secret-key-file"`
		SecretKeyFiles []filename  `toml:"secret-key-files"`
		PublicKeys     []publicKey `toml:"public-keys"`
		SkipSignedBy   []publicKey `toml:"skip-signed-by"`
		Compression    level       `toml:"compression"`
		NetrcFile      filename    `toml:"netrc-file"`
		TokenFile      filename    `toml:"token-file"`
		TokenCommand   []string    `toml:"token-command"`
		CAFile         filename    `toml:"ca-file"`
		Listings       *bool       `toml:"listings"`
		DebugInfo      *bool       `toml:"debug-info"`
		Logs           *bool       `toml:"logs"`
	}
)

// Keys that there can be, for suggestions.
var (
	topKeys   = []string{"default", "cache"}
	entryKeys = []string{
		"address", "secret-key-file", "secret-key-files", "public-keys", "skip-signed-by", "compression",
		"netrc-file", "token-file", "token-command", "ca-file", "listings", "debug-info", "logs",
	}
)

// Values check themselves, so that an error has the line. They are structs
// because a string would not be asked.
type (
	filename  struct{ name string }
	level     struct{ binarycache.Level }
	publicKey nix.PublicKey
)

func (f *filename) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("the name of a file is empty")
	}
	f.name = string(text)
	return nil
}

func (k *publicKey) UnmarshalText(text []byte) error {
	key, err := nix.ParsePublicKey(string(text))
	*k = publicKey(key)
	return err
}

func (l *level) UnmarshalText(text []byte) (err error) {
	l.Level, err = binarycache.ParseLevel(string(text))
	return err
}

// Names have nothing that a path or an address could start with or must have.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// IsName says whether s can be the name of a cache.
func IsName(s string) bool { return name.MatchString(s) }

// Parse reads a configuration. Files are named relative to the folder of path,
// or with ~/ to home.
func Parse(path string, data []byte, home string) (File, error) {
	var doc document
	dec := toml.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return File{}, explain(path, err)
	}
	file := File{Path: path, Default: doc.Default, Caches: make(map[string]Cache, len(doc.Cache))}
	abs := func(f filename) string {
		s := f.name
		if rest, ok := strings.CutPrefix(s, "~/"); ok && home != "" {
			return filepath.Join(home, rest)
		}
		if s == "" || filepath.IsAbs(s) {
			return s
		}
		return filepath.Join(filepath.Dir(path), s)
	}
	for _, key := range slices.Sorted(maps.Keys(doc.Cache)) {
		e := doc.Cache[key]
		if !IsName(key) {
			return File{}, fmt.Errorf("%s: cache name %q: want letters, digits, dots, dashes and underscores, at most 64, starting with a letter or digit", path, key)
		}
		if !strings.Contains(e.Address, "://") && !strings.HasPrefix(e.Address, "attic:") {
			return File{}, fmt.Errorf("%s: cache %s: its address %q is none: want file:///dir, s3://bucket or https://host", path, key, e.Address)
		}
		c := Cache{
			Address: e.Address, Compression: e.Compression.Level,
			NetrcFile: abs(e.NetrcFile), TokenFile: abs(e.TokenFile), TokenCommand: e.TokenCommand, CAFile: abs(e.CAFile),
			Listings: e.Listings, DebugInfo: e.DebugInfo, Logs: e.Logs,
		}
		if e.SecretKeyFile.name != "" {
			c.SecretKeyFiles = append(c.SecretKeyFiles, abs(e.SecretKeyFile))
		}
		for _, f := range e.SecretKeyFiles {
			c.SecretKeyFiles = append(c.SecretKeyFiles, abs(f))
		}
		for _, k := range e.PublicKeys {
			c.PublicKeys = append(c.PublicKeys, nix.PublicKey(k))
		}
		for _, k := range e.SkipSignedBy {
			c.SkipSignedBy = append(c.SkipSignedBy, nix.PublicKey(k))
		}
		file.Caches[key] = c
	}
	if _, ok := file.Caches[file.Default]; !ok && file.Default != "" {
		return File{}, fmt.Errorf("%s: default = %q: there is no [cache.%s]%s", path, file.Default, file.Default, remote.Suggest(file.Default, slices.Collect(maps.Keys(file.Caches))))
	}
	return file, nil
}

// explain makes one line of what is wrong in a file.
func explain(path string, err error) error {
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		first := unknown.Errors[0]
		key := first.Key()
		word, known := key[0], topKeys
		if slices.Contains(topKeys, word) {
			word, known = key[min(len(key), 3)-1], entryKeys
		}
		line, _ := first.Position()
		return fmt.Errorf("%s:%d: key %q is not known%s", path, line, word, remote.Suggest(word, known))
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		reason := strings.TrimPrefix(wrong.Error(), "toml: ")
		reason = strings.TrimPrefix(reason, "error calling UnmarshalText: ")
		if key := wrong.Key(); len(key) > 0 {
			reason = strings.Join(key, ".") + ": " + reason
		}
		return fmt.Errorf("%s:%d: %s", path, line, remote.Printable(reason))
	default:
		return fmt.Errorf("%s: %v", path, err)
	}
}

// Lookup finds a cache by its name, or the default one if name is empty.
func (f File) Lookup(name string) (Cache, error) {
	if name == "" {
		name = f.Default
		if name == "" {
			return Cache{}, fmt.Errorf("no cache is named, and the configuration (%s) has no default", f.place())
		}
	}
	c, ok := f.Caches[name]
	if !ok {
		hint := ""
		if len(f.Caches) > 0 {
			hint = remote.Suggest(name, slices.Sorted(maps.Keys(f.Caches)))
		}
		return Cache{}, fmt.Errorf("no cache has the name %q in %s%s", name, f.place(), hint)
	}
	return c, nil
}

func (f File) place() string {
	if f.Path == "" {
		return "~/.config/pcache/config.toml"
	}
	return f.Path
}
