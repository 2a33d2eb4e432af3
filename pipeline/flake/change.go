package flake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/inventory"
)

// Change is a file that is to be written.
type Change struct {
	Dir    string // the flake's folder
	Path   string // the file, below Dir and with slashes
	Before []byte // nil if there is no such file
	After  []byte
}

// maxFile bounds a flake.nix that is read for comparison, in bytes. A
// generated one takes some hundred for each input.
const maxFile = 4 << 20

// Plan compares the flake's folder with the inventory and returns what would
// have to be written: flake.nix if it differs, and a first version of each
// file that a host's folder lacks. Files in the hosts' folders are never
// replaced. Scaffolded files come first, in the order of the hosts.
//
// Symbolic links that lead out of dir are refused, and so is a flake.nix that
// is one.
func Plan(dir string, inv *inventory.Inventory) ([]Change, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the flake's folder %s: %v", dir, cause(err))
	}
	defer func() { _ = root.Close() }()

	var changes []Change
	for _, h := range inv.Hosts {
		for _, file := range inventory.HostFiles() {
			name := path.Join("hosts", h.Name, file)
			// Stat and not Lstat: it fails for links that lead nowhere.
			switch info, err := root.Stat(name); {
			case err == nil && !info.Mode().IsRegular():
				return nil, fmt.Errorf("%s is not a regular file", filepath.Join(dir, name))
			case err == nil:
				continue
			case !errors.Is(err, fs.ErrNotExist):
				return nil, fmt.Errorf("look at %s: %v", filepath.Join(dir, name), cause(err))
			}
			if _, err := root.Lstat(name); err == nil {
				return nil, fmt.Errorf("%s is a symbolic link to nothing; remove it", filepath.Join(dir, name))
			}
			changes = append(changes, Change{Dir: dir, Path: name, After: Scaffold(h, file)})
		}
	}

	before, err := readRegular(root, FileName)
	if err != nil {
		return nil, fmt.Errorf("read %s: %v", filepath.Join(dir, FileName), cause(err))
	}
	if after := Render(inv); before == nil || !bytes.Equal(before, after) {
		changes = append(changes, Change{Dir: dir, Path: FileName, Before: before, After: after})
	}
	return changes, nil
}

// Stray returns the folders below hosts/ that belong to no host of the
// inventory, "hosts/old" say, sorted. Nothing uses them and nothing deletes
// them: they are worth a warning.
func Stray(dir string, inv *inventory.Inventory) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the flake's folder %s: %v", dir, cause(err))
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), "hosts")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list %s: %v", filepath.Join(dir, "hosts"), cause(err))
	}
	var stray []string
	for _, e := range entries {
		if _, ok := inv.Host(e.Name()); !ok && e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			stray = append(stray, "hosts/"+e.Name())
		}
	}
	sort.Strings(stray)
	return stray, nil
}

// readRegular returns a file's content, nil if there is no such file.
func readRegular(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is generated, and so has to be a regular file; remove what is there")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("it is larger than %d MiB; is it the generated file?", maxFile>>20)
	}
	return content, nil
}

// cause is what an error of package os says without the call and the path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	return err
}
