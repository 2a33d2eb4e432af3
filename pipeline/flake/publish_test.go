package flake

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A file that appears after everything was staged is not replaced, and what
// was staged goes away.
func TestPublishNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	w := &writer{roots: make(map[string]*os.Root)}
	if err := w.stage(Change{Dir: dir, Path: "hosts/a/home.nix", After: []byte("ours\n")}); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "hosts", "a", "home.nix")
	if err := os.WriteFile(target, []byte("theirs\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.staged[0].publish(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("publish: %v", err)
	}
	w.close(true)
	if content, err := os.ReadFile(target); err != nil || string(content) != "theirs\n" {
		t.Errorf("%q, %v", content, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(target)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A failure before anything was published takes back the folders as well.
func TestCloseRemovesFolders(t *testing.T) {
	dir := t.TempDir()
	w := &writer{roots: make(map[string]*os.Root)}
	if err := w.stage(Change{Dir: dir, Path: "hosts/a/home.nix", After: []byte("ours\n")}); err != nil {
		t.Fatal(err)
	}
	w.close(true)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
