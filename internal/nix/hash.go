package nix

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// Hash is a SHA-256, the only kind that Nix uses for NARs and files of a
// binary cache. The zero Hash stands for "not known".
type Hash [sha256.Size]byte

// ParseHash reads the forms in which Nix writes a SHA-256:
// "sha256:" with base-32 or hexadecimal digits, and "sha256-" with base-64 (SRI).
func ParseHash(s string) (Hash, error) {
	var h Hash
	var raw []byte
	var err error
	if rest, ok := strings.CutPrefix(s, "sha256-"); ok {
		raw, err = base64.StdEncoding.DecodeString(rest)
	} else if rest, ok := strings.CutPrefix(s, "sha256:"); ok {
		switch len(rest) {
		case hex.EncodedLen(sha256.Size):
			raw, err = hex.DecodeString(rest)
		default:
			raw, err = DecodeBase32(rest)
		}
	} else {
		return h, fmt.Errorf("%q is not a SHA-256 as Nix writes it (sha256:... or sha256-...)", clip(s))
	}
	if err != nil {
		return h, fmt.Errorf("parse hash %q: %v", clip(s), err)
	}
	if len(raw) != len(h) {
		return h, fmt.Errorf("parse hash %q: it has %d bytes, want %d", clip(s), len(raw), len(h))
	}
	copy(h[:], raw)
	return h, nil
}

// String is the hash as narinfos have it: "sha256:" and base-32 digits.
func (h Hash) String() string { return "sha256:" + h.Base32() }

// Base32 is the digits alone, as used in object names.
func (h Hash) Base32() string { return EncodeBase32(h[:]) }

// Hex is the hash in hexadecimal digits, as the daemon protocol wants it.
func (h Hash) Hex() string { return hex.EncodeToString(h[:]) }

// IsZero says that the hash is not known.
func (h Hash) IsZero() bool { return h == Hash{} }
