// Package attic speaks to an Attic server (github.com/zhaofengli/attic): a
// cache that chunks, compresses and signs on the server, which clients read as
// a binary cache and write by an API of its own.
//
// The API is the one of the server's source, api/v1: cache-config,
// get-missing-paths and upload-path. A path that was uploaded is visible at
// once, so paths go up references first.
package attic

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"
)

// Config says which cache of which server, and how to reach it.
type Config struct {
	Endpoint string // URL of the server: http(s)://HOST[:PORT][/PATH]
	Cache    string // its name on the server
	// Token authorizes requests; nil: none, which suits reading public caches.
	// It is sent over plain HTTP to this machine only, unless Insecure.
	Token    *remote.Token
	Insecure bool

	Requests int           // under way at once; 0: 32
	Stall    time.Duration // how long no byte may move; 0: 90 s, since a server may take long over a NAR
	Retry    remote.Retry
	CAFile   string // authorities of the server's certificate, PEM; empty: $NIX_SSL_CERT_FILE, the system's
}

// cacheName is what servers accept: attic/src/cache.rs.
var cacheName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9\-+_]{0,49}$`)

// CheckName refuses names that no server accepts for a cache.
func CheckName(name string) error {
	if !cacheName.MatchString(name) {
		return fmt.Errorf("%q is no name for a cache of Attic: letters, digits, - _ +, at most 50, the first no sign", name)
	}
	return nil
}

// String is the cache's address.
func (c Config) String() string {
	return "attic+" + strings.TrimRight(c.Endpoint, "/") + "/" + c.Cache
}

// ParseAddress reads the address of a cache,
//
//	attic+https://HOST[:PORT][/PATH]/CACHE
//	attic:[SERVER:]CACHE
//
// the second with the name of a server in Attic's own configuration. A server
// of it that an address of the first kind belongs to lends its token.
func ParseAddress(address string, known *Servers) (Config, error) {
	c, err := parseAddress(address, known)
	if err != nil {
		return Config{}, fmt.Errorf("cache address %q: %v", withoutUser(address), err)
	}
	return c, nil
}

func parseAddress(address string, known *Servers) (Config, error) {
	if rest, ok := strings.CutPrefix(address, "attic:"); ok {
		server, cache, qualified := strings.Cut(rest, ":")
		if !qualified {
			server, cache = "", rest
		}
		if err := CheckName(cache); err != nil {
			return Config{}, err
		}
		s, err := known.lookup(server)
		if err != nil {
			return Config{}, err
		}
		return Config{Endpoint: s.Endpoint, Cache: cache, Token: s.token()}, nil
	}
	rest, ok := strings.CutPrefix(address, "attic+")
	if !ok {
		return Config{}, errors.New("it is not of the form attic+https://HOST/CACHE or attic:SERVER:CACHE")
	}
	u, err := url.Parse(rest)
	switch {
	case err != nil:
		return Config{}, errors.New("it is no URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return Config{}, errors.New("it is not of the form attic+https://HOST/CACHE")
	case u.User != nil:
		return Config{}, errors.New("a token does not belong in an address, which others can read: name a file that holds it")
	case u.RawQuery != "" || u.Fragment != "":
		return Config{}, errors.New("an Attic address has no parameters")
	}
	dir, cache, _ := cutLast(strings.TrimRight(u.Path, "/"))
	if cache == "" {
		return Config{}, fmt.Errorf("it names no cache: attic+%s://%s/CACHE", u.Scheme, u.Host)
	}
	if err := CheckName(cache); err != nil {
		return Config{}, err
	}
	u.Path, u.RawPath = dir, ""
	c := Config{Endpoint: strings.TrimRight(u.String(), "/"), Cache: cache}
	if s, ok := known.at(c.Endpoint); ok {
		c.Token = s.token()
	}
	return c, nil
}

func cutLast(path string) (dir, last string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

func withoutUser(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	authority, _, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		return scheme + "://…" + rest[i:]
	}
	return address
}
