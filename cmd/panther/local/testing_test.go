package local

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// removable is a temporary folder that may hold a Nix store, whose folders are
// read-only.
func removable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o755)
			}
			return nil
		})
	})
	return dir
}
