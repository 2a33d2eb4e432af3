package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// compressions of NARs, by the end of their names.
var compressions = map[string]string{".nar": "none", ".zst": "zstd", ".xz": "xz", ".bz2": "bzip2", ".gz": "gzip"}

// readOrphan compares a NAR that no narinfo names with its name, which is the
// hash of the NAR or, as Nix has it, of its file. A push finds a NAR by its name
// and uses it as it is: a damaged one would come to be a path's.
func (a *auditor) readOrphan(ctx context.Context, t *target) error {
	base := path.Base(t.key)
	name, _, _ := strings.Cut(base, ".")
	named, err := nix.ParseHash("sha256:" + name)
	compression, ok := compressions[path.Ext(base)]
	if err != nil || !ok {
		return nil // neither pcache nor Nix would take it for anything
	}
	var sum nix.Hash
	f, err := a.compute(ctx, t, func(file io.Reader) error {
		plain, err := binarycache.Decompress(compression, file)
		if err != nil {
			return err
		}
		defer plain.Close()
		hash := sha256.New()
		_, err = io.Copy(hash, plain)
		hash.Sum(sum[:0])
		return err
	})
	if errors.Is(err, blob.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.NARs++
	a.Bytes += f.size
	switch {
	case f.hash == named, f.wrong == nil && sum == named:
		return nil
	case f.wrong != nil:
		a.find(OrphanDamaged, t.key, "", "no narinfo names it, and it cannot be unpacked (%v): a push of its path would use it as it is", f.wrong)
	default:
		a.find(OrphanDamaged, t.key, "", "no narinfo names it, and what is in it has not the hash of its name: a push of its path would use it as it is")
	}
	a.BadFiles[t.key] = true
	return nil
}
