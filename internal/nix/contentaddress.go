package nix

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// ContentAddress is what the hash part of a content-addressed path is made
// from, as narinfos write it: text:ALGO:HASH or fixed:[r:]ALGO:HASH.
type ContentAddress struct {
	Method    ContentMethod
	Algorithm string // md5, sha1, sha256 or sha512
	Hash      []byte
}

// ContentMethod says what a ContentAddress's hash is of.
type ContentMethod string

// Text and Flat hash the contents of a path that is one file, Archive its NAR:
// if the path refers to itself, with its own hash part blanked.
const (
	Text    ContentMethod = "text"
	Flat    ContentMethod = "flat"
	Archive ContentMethod = "archive"
)

var contentHashes = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// NewHash makes a hash of the address's algorithm.
func (c ContentAddress) NewHash() hash.Hash { return contentHashes[c.Algorithm]() }

// ParseContentAddress reads a content address. That of a Git tree is not known
// here.
func ParseContentAddress(s string) (c ContentAddress, err error) {
	rest, isText := strings.CutPrefix(s, "text:")
	c.Method = Text
	if !isText {
		var fixed, recursive bool
		rest, fixed = strings.CutPrefix(s, "fixed:")
		if rest, recursive = strings.CutPrefix(rest, "r:"); !fixed {
			return c, fmt.Errorf("%q is no content address that is known here (text: or fixed:)", clip(s))
		}
		c.Method = Flat
		if recursive {
			c.Method = Archive
		}
	}
	algorithm, digits, _ := strings.Cut(rest, ":")
	newHash, ok := contentHashes[algorithm]
	if !ok {
		return c, fmt.Errorf("content address %q: its hash is not md5, sha1, sha256 or sha512", clip(s))
	}
	c.Algorithm = algorithm
	if size := newHash().Size(); len(digits) == hex.EncodedLen(size) {
		c.Hash, err = hex.DecodeString(digits)
	} else if c.Hash, err = DecodeBase32(digits); err == nil && len(c.Hash) != size {
		err = fmt.Errorf("it has %d bytes, want %d", len(c.Hash), size)
	}
	if err != nil {
		return c, fmt.Errorf("content address %q: %v", clip(s), err)
	}
	return c, nil
}

// path is the store path of what has the address (Nix's manual, "Store path
// specification"). ok is false for what no path has.
func (c ContentAddress) path(p PathInfo) (base string, ok bool) {
	refs := slices.Clone(p.References)
	slices.Sort(refs)
	kind := "source"
	switch {
	case c.Method == Text && c.Algorithm == "sha256":
		kind = "text"
	case c.Method == Archive && c.Algorithm == "sha256":
	case c.Method == Text, len(refs) > 0:
		return "", false
	default:
		prefix := ""
		if c.Method == Archive {
			prefix = "r:"
		}
		inner := sha256.Sum256([]byte("fixed:out:" + prefix + c.Algorithm + ":" + hex.EncodeToString(c.Hash) + ":"))
		return storePathBase("output:out", inner[:], p), true
	}
	self := false
	for _, r := range refs {
		if r == p.Path {
			self = true
			continue
		}
		kind += ":" + string(r)
	}
	if self {
		kind += ":self"
	}
	return storePathBase(kind, c.Hash, p), true
}

func storePathBase(kind string, sum []byte, p PathInfo) string {
	full := sha256.Sum256([]byte(kind + ":sha256:" + hex.EncodeToString(sum) + ":" + p.Path.Dir() + ":" + p.Path.Name()))
	var short [20]byte
	for i, b := range full {
		short[i%len(short)] ^= b
	}
	return EncodeBase32(short[:]) + "-" + p.Path.Name()
}

// ContentAddressed checks a path's claim to be content-addressed: such a path
// needs no signature, since its name says what is in it. The error says why the
// claim does not hold. Whether the contents are what the address says is left
// to be compared, but where the NAR's hash shows it; whoever adds the path to a
// store of Nix has Nix compare it.
func (p PathInfo) ContentAddressed() (ContentAddress, error) {
	c, err := ParseContentAddress(p.CA)
	if err != nil {
		return c, err
	}
	base, ok := c.path(p)
	if !ok || base != p.Path.Base() {
		return c, fmt.Errorf("%s claims the content address %s, which is another path's", p.Path, clip(p.CA))
	}
	if c.Method == Archive && c.Algorithm == "sha256" && !slices.Contains(p.References, p.Path) && !bytes.Equal(c.Hash, p.NARHash[:]) {
		return c, fmt.Errorf("%s has not the contents that its address %s says", p.Path, clip(p.CA))
	}
	return c, nil
}
