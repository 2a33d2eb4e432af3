package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"gitlab.com/pantheros/pantheros/internal/blob"
)

var _ blob.Leaver = (*Store)(nil)

// Leftovers are the files of objects that were not finished.
func (s *Store) Leftovers(ctx context.Context) iter.Seq2[blob.Leftover, error] {
	return func(yield func(blob.Leftover, error) bool) {
		entries, err := os.ReadDir(filepath.Join(s.root, tmpDir))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				yield(blob.Leftover{}, err)
			}
			return
		}
		for _, e := range entries {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
				continue // it was finished meanwhile, or is nothing of ours
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(blob.Leftover{}, err)
				return
			}
			name := tmpDir + "/" + e.Name()
			if !yield(blob.Leftover{Key: name, ID: e.Name(), Size: info.Size(), Modified: info.ModTime()}, nil) {
				return
			}
		}
	}
}

// Discard removes one. Whoever is writing it fails when it is to be renamed into
// place.
func (s *Store) Discard(_ context.Context, l blob.Leftover) error {
	if l.ID == "" || l.ID != filepath.Base(l.ID) || l.ID == ".." {
		return fmt.Errorf("%q is no unfinished object", l.ID)
	}
	err := os.Remove(filepath.Join(s.root, tmpDir, l.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
