// Package dir is a blob.Store in a directory, such as Nix's file:// caches.
package dir

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/blob"
)

// tmpDir holds objects while they are written. Its name starts with a dot, so
// no key reaches into it; it is on the directory's own file system, so that a
// finished object can be renamed into place.
const tmpDir = ".tmp"

// Store keeps each object in the file of its key below a directory.
type Store struct{ root string }

var (
	_ blob.Store    = (*Store)(nil)
	_ blob.Digester = (*Store)(nil)
)

// New returns the store in the directory root, which need not exist before
// the first Put. Nothing is touched.
func New(root string) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("directory %q: %v", root, err)
	}
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", abs)
	}
	return &Store{root: abs}, nil
}

// String is the directory.
func (s *Store) String() string { return s.root }

func (s *Store) file(key string) (string, error) {
	if err := blob.CheckKey(key); err != nil {
		return "", err
	}
	return s.root + "/" + key, nil
}

// notExist turns the file system's word for absence into blob's. A missing
// element of the path (ENOTDIR) is absence too.
func notExist(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || strings.HasSuffix(err.Error(), "not a directory") {
		return fmt.Errorf("%s: %w", key, blob.ErrNotExist)
	}
	return err
}

// Open opens the object's file.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, err := s.file(key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, notExist(key, err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("%s: %w", key, blob.ErrNotExist)
	}
	return &reader{ctx: ctx, File: f}, nil
}

// reader ends with its context. It hides the file's WriteTo, which would not.
type reader struct {
	ctx context.Context
	*os.File
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.File.Read(p)
}

func (r *reader) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 128<<10))
}

// Stat looks at the object's file.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return blob.Info{}, err
	}
	name, err := s.file(key)
	if err != nil {
		return blob.Info{}, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return blob.Info{}, notExist(key, err)
	}
	if !info.Mode().IsRegular() {
		return blob.Info{}, fmt.Errorf("%s: %w", key, blob.ErrNotExist)
	}
	return blob.Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// Put writes to a temporary file and renames it. It does not force the bytes
// to the disk: after a power cut an object can be damaged, which reading it
// tells, since everything in a cache is hashed.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, size int64) (err error) {
	name, err := s.file(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.root+"/"+tmpDir, 0o755); err != nil {
		return err
	}
	tmp := s.root + "/" + tmpDir + "/" + rand.Text()
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(tmp)
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	n, err := io.Copy(&writer{ctx: ctx, f: f}, r)
	if err != nil {
		return err
	}
	if size >= 0 && n != size {
		return fmt.Errorf("got %d bytes of %d", n, size)
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp, name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// writer ends with its context.
type writer struct {
	ctx context.Context
	f   *os.File
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.f.Write(p)
}

// List walks only the directory that prefix points into.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		start := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			start = prefix[:i]
			if err := blob.CheckKey(start); err != nil {
				yield(blob.Info{}, err)
				return
			}
		}
		s.walk(ctx, start, prefix, yield)
	}
}

// walk yields the objects below the directory dir in the order of their keys,
// in which "a/b" comes after "a.b": directories sort as if they ended in "/".
func (s *Store) walk(ctx context.Context, dir, prefix string, yield func(blob.Info, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield(blob.Info{}, err)
		return false
	}
	entries, err := os.ReadDir(s.root + "/" + dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		yield(blob.Info{}, err)
		return false
	}
	sortKey := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	sort.Slice(entries, func(i, j int) bool { return sortKey(entries[i]) < sortKey(entries[j]) })
	for _, e := range entries {
		key := e.Name()
		if dir != "" {
			key = dir + "/" + key
		}
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if e.IsDir() {
			below := key + "/"
			if strings.HasPrefix(below, prefix) || strings.HasPrefix(prefix, below) {
				if !s.walk(ctx, key, prefix, yield) {
					return false
				}
			}
			continue
		}
		if !strings.HasPrefix(key, prefix) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			yield(blob.Info{}, err)
			return false
		}
		if !yield(blob.Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil) {
			return false
		}
	}
	return true
}

// Delete removes the object's file. Empty directories stay.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := s.file(key)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// SHA256 reads the file: on one's own disk that is cheap beside compressing
// its contents again.
func (s *Store) SHA256(ctx context.Context, key string) (sum [32]byte, err error) {
	r, err := s.Open(ctx, key)
	if err != nil {
		return sum, err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return sum, fmt.Errorf("read %s: %w", key, err)
	}
	h.Sum(sum[:0])
	return sum, nil
}
