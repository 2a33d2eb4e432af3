// Package nar writes and reads Nix archives, the one serialization of a file tree that
// Nix hashes, signs and stores in binary caches.
//
// The format is that of Nix's manual, "Nix Archive (NAR) format": strings with
// a 64-bit little-endian length and zero padding to eight bytes; a node is
// "(", "type", its kind, its fields, ")"; directory entries are sorted by
// their bytes. It has no owner, time or permission but the executable bit.
package nar

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	magic = "nix-archive-1"
	// bufferSize is how much is handed to the underlying writer at once. Most
	// files of a closure are smaller: a whole run of them goes in one write.
	bufferSize = 256 << 10
)

// Dump writes the NAR of the tree at path to w. Symlinks are archived, never
// followed; path itself may be one. A file that changes its size while it is
// read, and anything but regular files, directories and symlinks, is an error.
// What was written before an error is not a NAR.
func Dump(w io.Writer, path string) error {
	d := dumpers.Get().(*dumper)
	defer d.release()
	d.w = w
	d.string(magic)
	if err := d.root(path); err != nil {
		return err
	}
	return d.flush()
}

// dumper gathers output in buf. err is the first write error; it is looked at
// between files, so that a failed writer stops a dump soon.
type dumper struct {
	w   io.Writer
	buf []byte
	err error
}

var dumpers = sync.Pool{New: func() any { return &dumper{buf: make([]byte, 0, bufferSize)} }}

func (d *dumper) release() {
	d.w, d.err, d.buf = nil, nil, d.buf[:0]
	dumpers.Put(d)
}

func (d *dumper) flush() error {
	if d.err == nil && len(d.buf) > 0 {
		_, d.err = d.w.Write(d.buf)
	}
	d.buf = d.buf[:0]
	return d.err
}

// room makes sure that n more bytes fit, n being far below bufferSize.
func (d *dumper) room(n int) {
	if cap(d.buf)-len(d.buf) < n {
		_ = d.flush()
	}
}

func (d *dumper) string(s string) {
	if len(s) > bufferSize/4 { // no name or target is; PATH_MAX is 4096
		d.err = fmt.Errorf("a name of %d bytes", len(s))
		return
	}
	d.room(8 + len(s) + 8)
	d.buf = binary.LittleEndian.AppendUint64(d.buf, uint64(len(s)))
	d.buf = append(d.buf, s...)
	d.pad(int64(len(s)))
}

func (d *dumper) pad(size int64) {
	var zeros [8]byte
	d.buf = append(d.buf, zeros[:(8-size%8)%8]...)
}

func (d *dumper) root(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("archive: %v", err)
	}
	return d.node(path, info.Mode().Type())
}

func (d *dumper) node(path string, kind fs.FileMode) error {
	d.string("(")
	d.string("type")
	var err error
	switch kind {
	case 0:
		err = d.regular(path)
	case fs.ModeDir:
		err = d.directory(path)
	case fs.ModeSymlink:
		err = d.symlink(path)
	default:
		err = fmt.Errorf("archive %s: it is neither a regular file, a directory nor a symlink", path)
	}
	if err != nil {
		return err
	}
	d.string(")")
	return d.err
}

func (d *dumper) symlink(path string) error {
	target, err := os.Readlink(path)
	if err != nil {
		return fmt.Errorf("archive: %v", err)
	}
	d.string("symlink")
	d.string("target")
	d.string(target)
	return nil
}

func (d *dumper) directory(path string) error {
	// ReadDir sorts by name as Go compares strings: by bytes, as NARs want it.
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("archive: %v", err)
	}
	d.string("directory")
	for _, e := range entries {
		d.string("entry")
		d.string("(")
		d.string("name")
		d.string(e.Name())
		d.string("node")
		if err := d.node(path+"/"+e.Name(), e.Type()); err != nil {
			return err
		}
		d.string(")")
	}
	return nil
}

// regular uses file descriptors without os.File: a closure has tens of
// thousands of small files, and registering each with the runtime's poller
// costs more than reading it.
func (d *dumper) regular(path string) error {
	fd, err := openFile(path)
	if err != nil {
		return fmt.Errorf("archive %s: open: %v", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("archive %s: stat: %v", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("archive %s: it stopped being a regular file", path)
	}
	d.string("regular")
	if st.Mode&0o100 != 0 { // the owner's bit alone, as Nix does
		d.string("executable")
		d.string("")
	}
	d.string("contents")
	d.room(8)
	d.buf = binary.LittleEndian.AppendUint64(d.buf, uint64(st.Size))
	for left := st.Size; left > 0; {
		if len(d.buf) == cap(d.buf) {
			if err := d.flush(); err != nil {
				return err
			}
		}
		free := d.buf[len(d.buf):cap(d.buf)]
		if int64(len(free)) > left {
			free = free[:left]
		}
		n, err := unix.Read(fd, free)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("archive %s: read: %v", path, err)
		}
		if n == 0 {
			return fmt.Errorf("archive %s: it became %d bytes shorter while it was read", path, left)
		}
		d.buf = d.buf[:len(d.buf)+n]
		left -= int64(n)
	}
	d.room(8)
	d.pad(st.Size)
	return d.err
}

func openFile(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
