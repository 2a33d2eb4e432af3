package binarycache

import (
	"context"
	"crypto/sha256"
	"io"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Published is what a cache says of itself.
type Published struct {
	Info Info
	// IsCache: it has a nix-cache-info; otherwise Info holds what Nix assumes.
	IsCache bool
	Keys    []nix.PublicKey // that its paths are signed with; nil: it does not say
}

// ReadPublished asks a cache what it says of itself. name is for messages.
func ReadPublished(ctx context.Context, s blob.Reader, name string) (p Published, err error) {
	if p.Info, p.IsCache, err = readInfo(ctx, s, name); err != nil {
		return p, err
	}
	if !p.IsCache {
		p.Info = Info{StoreDir: nix.DefaultStoreDir, Priority: 50}
	}
	p.Keys, _, err = readPublicKeys(ctx, s, name)
	return p, err
}

// MarshalPublicKeys is the list of keys as caches have it at public-keys.
func MarshalPublicKeys(keys []nix.PublicKey) []byte { return marshalKeys(publicKeysComment, keys) }

// NewNAR reads the NAR out of file, which is compressed as n says. The reader
// returns io.EOF only if the NAR had n's hash and size, and otherwise an error
// that wraps ErrDamaged; it never yields more bytes than n says. name is
// file's, for messages. Close does not close file.
func NewNAR(n nix.NARInfo, file io.Reader, name string) (io.ReadCloser, error) {
	plain, err := decompress(n.Compression, file)
	if err != nil {
		return nil, err
	}
	return &verifiedNAR{object: io.NopCloser(nil), plain: plain, key: name, want: n.PathInfo, hash: sha256.New()}, nil
}

// Readable says whether NewNAR knows a compression.
func Readable(compression string) bool {
	switch compression {
	case "none", "zstd", "xz", "bzip2", "gzip":
		return true
	}
	return false
}

// Decompress undoes a compression as narinfos name it. Close does not close r.
func Decompress(compression string, r io.Reader) (io.ReadCloser, error) {
	return decompress(compression, r)
}
