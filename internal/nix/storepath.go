// Package nix holds the values that Nix's store and binary caches are made of:
// store paths, hashes, path infos, narinfos, signing keys and signatures.
//
// Formats follow Nix's manual, "Protocols and formats", and Nix 2.8 to 2.34 as
// they behave.
package nix

import (
	"fmt"
	"path"
	"strings"
)

// DefaultStoreDir is the store directory of every ordinary Nix.
const DefaultStoreDir = "/nix/store"

// StorePath is the full path of a store object, such as
// /nix/store/7rjqb838snvvxcmpvck1smfxhkwzqal5-hello-2.12.1. Values made by
// ParseStorePath or BaseStorePath are valid; there is no other way to make one
// from text that comes from outside.
type StorePath string

const (
	hashLen    = 32  // characters of the hash part
	maxNameLen = 211 // of the name part, as Nix allows
)

// ParseStorePath checks that s names a store object directly below storeDir.
func ParseStorePath(storeDir, s string) (StorePath, error) {
	base, ok := strings.CutPrefix(s, storeDir+"/")
	if !ok {
		return "", fmt.Errorf("%q is not in the store %s", clip(s), storeDir)
	}
	return BaseStorePath(storeDir, base)
}

// BaseStorePath makes a store path from the base name that narinfos and some
// JSON formats use for references and derivers.
func BaseStorePath(storeDir, base string) (StorePath, error) {
	if len(base) < hashLen+2 || base[hashLen] != '-' {
		return "", fmt.Errorf("%q is not a store path: want <32 characters>-<name>", clip(base))
	}
	for i := range hashLen {
		if alphabetIndex[base[i]] < 0 {
			return "", fmt.Errorf("%q is not a store path: bad character %q in its hash", clip(base), base[i])
		}
	}
	name := base[hashLen+1:]
	if len(name) > maxNameLen {
		return "", fmt.Errorf("%q is not a store path: its name is longer than %d characters", clip(base), maxNameLen)
	}
	// As Nix: a name must not read as "." or "..", alone or before a dash.
	if first, _, _ := strings.Cut(name, "-"); first == "." || first == ".." {
		return "", fmt.Errorf("%q is not a store path: its name starts with %q", clip(base), first)
	}
	for i := range len(name) {
		c := name[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("+-._?=", c) >= 0
		if !ok {
			return "", fmt.Errorf("%q is not a store path: bad character %q in its name", clip(base), c)
		}
	}
	return StorePath(storeDir + "/" + base), nil
}

// Base is the path's last element: hash part, dash, name.
func (p StorePath) Base() string { return path.Base(string(p)) }

// HashPart is the 32 characters by which a binary cache names the narinfo.
func (p StorePath) HashPart() string { return p.Base()[:hashLen] }

// Name is what follows the hash part and the dash.
func (p StorePath) Name() string { return p.Base()[hashLen+1:] }

// Dir is the store directory that the path is in.
func (p StorePath) Dir() string { return path.Dir(string(p)) }

// IsHashPart says whether s could be the hash part of a store path.
func IsHashPart(s string) bool {
	if len(s) != hashLen {
		return false
	}
	for i := range len(s) {
		if alphabetIndex[s[i]] < 0 {
			return false
		}
	}
	return true
}
