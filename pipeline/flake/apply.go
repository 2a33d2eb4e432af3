package flake

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// Apply writes planned changes. Each file appears whole or not at all, under
// the permissions that it had; and all of them are on disk under temporary
// names before the first gets its own, so that a folder without permission
// or a full disk leaves everything as it was.
//
// It is an error if a file is no longer as it was planned: run Plan again.
func Apply(changes []Change) error {
	w := &writer{roots: make(map[string]*os.Root)}
	err := w.apply(changes)
	w.close(err != nil)
	return err
}

type writer struct {
	roots   map[string]*os.Root
	staged  []staged
	folders []folder // those that were made, outer ones first
}

// staged is a change whose content is in a temporary file beside its target.
type staged struct {
	Change
	root *os.Root
	temp string // "" once the file has its name
}

type folder struct {
	root *os.Root
	name string
}

func (w *writer) apply(changes []Change) error {
	for _, c := range changes {
		if err := w.stage(c); err != nil {
			return fmt.Errorf("write %s: %v; nothing was changed", filepath.Join(c.Dir, c.Path), cause(err))
		}
	}
	for i := range w.staged {
		s := &w.staged[i]
		if err := s.publish(); err != nil {
			return fmt.Errorf("write %s: %v; %d of %d files were written", filepath.Join(s.Dir, s.Path), cause(err), i, len(changes))
		}
	}
	touched := make(map[folder]bool)
	for _, s := range w.staged {
		touched[folder{s.root, path.Dir(s.Path)}] = true
	}
	for _, f := range w.folders {
		touched[folder{f.root, path.Dir(f.name)}] = true
	}
	for f := range touched {
		if err := f.sync(); err != nil {
			return fmt.Errorf("flush %s to disk: %v", filepath.Join(f.root.Name(), f.name), cause(err))
		}
	}
	return nil
}

func (w *writer) root(dir string) (*os.Root, error) {
	if root := w.roots[dir]; root != nil {
		return root, nil
	}
	root, err := os.OpenRoot(dir)
	if err == nil {
		w.roots[dir] = root
	}
	return root, err
}

func (w *writer) stage(c Change) error {
	root, err := w.root(c.Dir)
	if err != nil {
		return err
	}
	have, err := readRegular(root, c.Path)
	switch {
	case err != nil:
		return err
	case (have == nil) != (c.Before == nil) || !bytes.Equal(have, c.Before):
		return errors.New("it changed in the meantime; try again")
	}
	mode := fs.FileMode(0o644)
	if c.Before != nil {
		info, err := root.Lstat(c.Path)
		if err != nil {
			return err
		}
		mode = info.Mode().Perm()
	}
	if err := w.makeFolders(root, path.Dir(c.Path)); err != nil {
		return err
	}

	temp := path.Join(path.Dir(c.Path), "."+path.Base(c.Path)+"."+rand.Text())
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	w.staged = append(w.staged, staged{Change: c, root: root, temp: temp})
	if _, err = f.Write(c.After); err == nil && c.Before != nil {
		err = f.Chmod(mode) // what the umask took away
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (w *writer) makeFolders(root *os.Root, name string) error {
	if name == "." {
		return nil
	}
	if err := w.makeFolders(root, path.Dir(name)); err != nil {
		return err
	}
	err := root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		w.folders = append(w.folders, folder{root, name})
	}
	return err
}

// publish gives a staged file its name.
func (s *staged) publish() error {
	if s.Before == nil {
		// A link, unlike a rename, never replaces a file that appeared since.
		err := s.root.Link(s.temp, s.Path)
		if err == nil {
			_ = s.root.Remove(s.temp)
			s.temp = ""
			return nil
		}
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		// A file system without hard links.
		if _, err := s.root.Lstat(s.Path); err == nil {
			return fs.ErrExist
		}
	}
	if err := s.root.Rename(s.temp, s.Path); err != nil {
		return err
	}
	s.temp = ""
	return nil
}

// close removes what is still temporary, and after a failure the folders that
// were made, if nothing is in them.
func (w *writer) close(failed bool) {
	for _, s := range w.staged {
		if s.temp != "" {
			_ = s.root.Remove(s.temp)
		}
	}
	if failed {
		for i := len(w.folders) - 1; i >= 0; i-- {
			_ = w.folders[i].root.Remove(w.folders[i].name)
		}
	}
	for _, root := range w.roots {
		_ = root.Close()
	}
}

// sync makes the names in a folder durable, where the file system can.
func (f folder) sync() error {
	d, err := f.root.Open(f.name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
