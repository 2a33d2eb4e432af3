package nixstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"
	"gitlab.com/pantheros/pantheros/internal/pipe"

	"golang.org/x/sys/unix"
)

// CorruptError says that a path's files are not what the store's database
// says they are: disk damage, or somebody wrote to the store.
type CorruptError struct {
	Path      nix.StorePath
	Want, Got nix.Hash
	WantSize  int64
	GotSize   int64
}

func (e *CorruptError) Error() string {
	if e.WantSize != e.GotSize {
		return fmt.Sprintf("%s is corrupt in the local store: its NAR has %d bytes, the database says %d (nix-store --repair-path mends it)", e.Path, e.GotSize, e.WantSize)
	}
	return fmt.Sprintf("%s is corrupt in the local store: its NAR hash is %s, the database says %s (nix-store --repair-path mends it)", e.Path, e.Got, e.Want)
}

// OpenNAR returns the path's NAR, made as it is read. At its end the hash and
// size are compared with p's: instead of io.EOF a CorruptError comes, so that
// whoever reads to the end knows the bytes to be right. The reader has a
// WriteTo that needs no goroutine; a Read starts one, which Close ends.
func (s *Store) OpenNAR(ctx context.Context, p nix.PathInfo) (io.ReadCloser, error) {
	return &pipe.Reader{Source: pipe.Func(func(w io.Writer) (int64, error) {
		v := &verifyingWriter{ctx: ctx, w: w, hash: sha256.New()}
		if err := nar.Dump(v, s.realPath(p.Path)); err != nil {
			return v.n, err
		}
		return v.n, v.check(p)
	})}, nil
}

// verifyingWriter hashes what it passes on and stops when ctx ends.
type verifyingWriter struct {
	ctx  context.Context
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (v *verifyingWriter) Write(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}
	v.hash.Write(p)
	n, err := v.w.Write(p)
	v.n += int64(n)
	return n, err
}

func (v *verifyingWriter) check(p nix.PathInfo) error {
	var got nix.Hash
	v.hash.Sum(got[:0])
	if v.n != p.NARSize || got != p.NARHash {
		return &CorruptError{Path: p.Path, Want: p.NARHash, Got: got, WantSize: p.NARSize, GotSize: v.n}
	}
	return nil
}

func canConnect(socket string) bool {
	info, err := os.Stat(socket)
	return err == nil && info.Mode()&os.ModeSocket != 0
}

func writable(dir string) bool { return unix.Access(dir+"/db", unix.W_OK) == nil }
