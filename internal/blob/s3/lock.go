package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// uploadLock is a file of this machine that names the unfinished upload of a
// key and is locked while a process is at work on it: the kernel unlocks it when
// that ends in whatever way. It is a help, so nothing that goes wrong with it is
// an error; a nil uploadLock does nothing.
type uploadLock struct{ file *os.File }

// lockUpload takes the lock of a key. nil: there is no folder for locks, or
// another process has it.
func (s *Store) lockUpload(key string) *uploadLock {
	if s.config.State == "" {
		return nil
	}
	if err := os.MkdirAll(s.config.State, 0o700); err != nil {
		return nil
	}
	sum := sha256.Sum256([]byte(s.config.String() + "\n" + s.name(key)))
	name := filepath.Join(s.config.State, hex.EncodeToString(sum[:16]))
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil
	}
	return &uploadLock{file}
}

// id is the upload that the file names; empty: none.
func (l *uploadLock) id() string {
	if l == nil {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(l.file, 4096))
	if err != nil || strings.ContainsFunc(string(data), func(r rune) bool { return r < ' ' }) {
		return ""
	}
	return string(data)
}

// note names the upload.
func (l *uploadLock) note(id string) {
	if l == nil {
		return
	}
	if err := l.file.Truncate(0); err == nil {
		_, _ = l.file.WriteAt([]byte(id), 0)
	}
}

// release gives the lock back; with done there is no upload to go on with.
func (l *uploadLock) release(done bool) {
	if l == nil {
		return
	}
	if done {
		// Who has opened the file meanwhile locks a file without a name:
		// its upload is then begun anew if it is cut off.
		_ = os.Remove(l.file.Name())
	}
	l.file.Close()
}
