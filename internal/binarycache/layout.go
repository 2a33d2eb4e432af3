// Package binarycache is a Nix binary cache on a blob.Store: what a stock Nix
// client reads, and beside it what pcache needs to take care of it.
//
//	nix-cache-info            store directory, priority
//	<hash part>.narinfo       one per store path
//	nar/<nar hash>.nar[.zst]  NARs, named by the hash of their uncompressed bytes
//	public-keys               the keys that paths of this cache are signed with
//	upstream-keys             the keys of caches that this one leaves paths to
//	roots/<name>/<generation>.json  manifests: what keeps closures alive
//
// docs/cache-layout.md describes the formats.
package binarycache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

const (
	cacheInfoKey  = "nix-cache-info"
	publicKeysKey = "public-keys"
	// upstreamKeysKey lists the keys of the caches that this one relies on.
	upstreamKeysKey = "upstream-keys"
	rootsPrefix     = "roots/"
	// metadataLimit bounds what is read whole, apart from narinfos.
	metadataLimit = 1 << 20
)

func narInfoKey(p nix.StorePath) string { return p.HashPart() + ".narinfo" }

// RefusedError says why a cache cannot be used as was asked. Nothing has been
// written to it.
type RefusedError struct {
	Cache  string
	Reason string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("cache %s: %s", e.Cache, e.Reason) }

// Info is a cache's nix-cache-info.
type Info struct {
	StoreDir      string
	WantMassQuery bool
	Priority      int // lower is asked first; cache.nixos.org has 40
}

// DefaultPriority puts one's own cache before cache.nixos.org.
const DefaultPriority = 30

// Marshal writes all three fields: without WantMassQuery Nix does not ask a
// cache for many paths at once, without Priority it comes last but one.
func (i Info) Marshal() []byte {
	mass := 0
	if i.WantMassQuery {
		mass = 1
	}
	return fmt.Appendf(nil, "StoreDir: %s\nWantMassQuery: %d\nPriority: %d\n", i.StoreDir, mass, i.Priority)
}

// ParseInfo reads a nix-cache-info. Unknown fields are ignored, missing ones
// are as Nix takes them.
func ParseInfo(data []byte) (Info, error) {
	info := Info{StoreDir: nix.DefaultStoreDir, Priority: 50}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch key {
		case "StoreDir":
			info.StoreDir = strings.TrimRight(value, "/")
			if !strings.HasPrefix(info.StoreDir, "/") {
				return info, fmt.Errorf("its StoreDir %q is not the absolute path of a directory", value)
			}
		case "WantMassQuery":
			info.WantMassQuery = value == "1"
		case "Priority":
			n, err := strconv.Atoi(value)
			if err != nil {
				return info, fmt.Errorf("its Priority %q is not a number", value)
			}
			info.Priority = n
		}
	}
	return info, lines.Err()
}

// readInfo returns the cache's info; ok is false if it has none.
func readInfo(ctx context.Context, s blob.Reader, name string) (info Info, ok bool, err error) {
	data, err := blob.ReadAll(ctx, s, cacheInfoKey, metadataLimit)
	if errors.Is(err, blob.ErrNotExist) {
		return info, false, nil
	}
	if err != nil {
		return info, false, fmt.Errorf("read nix-cache-info of cache %s: %w", name, err)
	}
	if info, err = ParseInfo(data); err != nil {
		return info, false, &RefusedError{Cache: name, Reason: "its nix-cache-info is damaged: " + err.Error()}
	}
	return info, true, nil
}

// readPublicKeys returns the keys that the cache says its paths are signed
// with. ok is false if it has no list.
func readPublicKeys(ctx context.Context, s blob.Reader, name string) (keys []nix.PublicKey, ok bool, err error) {
	return readKeys(ctx, s, name, publicKeysKey)
}

// readKeys reads a list of public keys, one per line, "#" starts a comment.
func readKeys(ctx context.Context, s blob.Reader, name, key string) (keys []nix.PublicKey, ok bool, err error) {
	data, err := blob.ReadAll(ctx, s, key, metadataLimit)
	if errors.Is(err, blob.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s of cache %s: %w", key, name, err)
	}
	if keys, err = parseKeys(data); err != nil {
		return nil, false, &RefusedError{Cache: name, Reason: "its list " + key + " is damaged: " + err.Error()}
	}
	return keys, true, nil
}

func parseKeys(data []byte) (keys []nix.PublicKey, err error) {
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := nix.ParsePublicKey(line)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

const (
	publicKeysComment   = "Paths in this cache are signed with these keys (nix.conf: trusted-public-keys)."
	upstreamKeysComment = "Paths in this cache may refer to paths that only caches signing with these keys have."
)

func marshalKeys(comment string, keys []nix.PublicKey) []byte {
	var b bytes.Buffer
	b.WriteString("# " + comment + "\n")
	for _, k := range keys {
		b.WriteString(k.String() + "\n")
	}
	return b.Bytes()
}
