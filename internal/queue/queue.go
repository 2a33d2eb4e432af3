// Package queue keeps store paths that wait to be pushed in a directory, so
// that they survive whoever put them there and whoever was pushing them.
//
// An entry is a symbolic link named like its store path and pointing to it.
// Making one is a single atomic step, the same path twice is one entry, and
// the link can be registered with Nix as an indirect garbage collector root.
// Entries that cannot be pushed are moved to the folder "failed", each beside
// a file NAME.reason. Names that start with a dot are the queue's own.
package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sys/unix"
)

const (
	failedDir    = "failed"
	reasonSuffix = ".reason"
	lockFile     = ".lock"
)

// ErrBusy is returned by Lock when another process is working on the queue.
var ErrBusy = errors.New("the queue is being pushed by another process")

// Queue is a queue in a directory. Its methods may be called concurrently, and
// by several processes.
type Queue struct{ dir string }

// Entry is a path that waits.
type Entry struct {
	Path   nix.StorePath
	Since  time.Time // when it was added
	Reason string    // why it failed, for an entry of Failed
}

// Open returns the queue in dir, which is made if it is not there. It refuses
// a directory that others may write to: what is queued is published.
func Open(dir string) (*Queue, error) {
	if err := os.MkdirAll(filepath.Join(dir, failedDir), 0o755); err != nil {
		return nil, fmt.Errorf("make the queue %s: %w", dir, err)
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("open the queue %s: %w", dir, err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("open the queue %s: %w", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open the queue %s: %w", dir, err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("queue %s: others may write to it (mode %#o), and what is queued is published: chmod go-w it: %w",
			dir, info.Mode().Perm(), fs.ErrPermission)
	}
	return &Queue{dir: dir}, nil
}

// Dir is the queue's directory, absolute and without symbolic links.
func (q *Queue) Dir() string { return q.dir }

// Add puts a path at the end of the queue and returns the entry's file, for
// registration as a garbage collector root. A path that waits already stays
// where it is.
func (q *Queue) Add(p nix.StorePath) (file string, err error) {
	file = filepath.Join(q.dir, p.Base())
	if err := os.Symlink(string(p), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("queue %s: %w", p, err)
	}
	return file, nil
}

// Waiting returns what waits, oldest first.
func (q *Queue) Waiting() ([]Entry, error) { return list(q.dir) }

// Failed returns what was given up, oldest first.
func (q *Queue) Failed() ([]Entry, error) {
	dir := filepath.Join(q.dir, failedDir)
	entries, err := list(dir)
	for i := range entries {
		// Written before the entry was moved; without one it is still failed.
		reason, err := os.ReadFile(filepath.Join(dir, entries[i].Path.Base()+reasonSuffix))
		if err == nil {
			entries[i].Reason = strings.TrimSpace(string(reason))
		}
	}
	return entries, err
}

func list(dir string) ([]Entry, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the queue %s: %w", dir, err)
	}
	var entries []Entry
	for _, f := range files {
		if f.Type()&fs.ModeSymlink == 0 {
			continue
		}
		target, err := os.Readlink(filepath.Join(dir, f.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // somebody has just taken it
		} else if err != nil {
			return nil, fmt.Errorf("read the queue %s: %w", dir, err)
		}
		// A link that is not what Add makes is none of ours.
		p, err := nix.ParseStorePath(filepath.Dir(target), target)
		if err != nil || p.Base() != f.Name() {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read the queue %s: %w", dir, err)
		}
		entries = append(entries, Entry{Path: p, Since: info.ModTime()})
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(string(a.Path), string(b.Path)))
	})
	return entries, nil
}

// Done takes a path out of the queue.
func (q *Queue) Done(p nix.StorePath) error {
	if err := os.Remove(filepath.Join(q.dir, p.Base())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take %s out of the queue: %w", p, err)
	}
	return nil
}

// Fail gives a path up, keeping it and the reason for Failed and Retry.
func (q *Queue) Fail(p nix.StorePath, reason string) error {
	to := filepath.Join(q.dir, failedDir, p.Base())
	if err := os.WriteFile(to+reasonSuffix, []byte(reason+"\n"), 0o644); err != nil {
		return fmt.Errorf("keep why %s failed: %w", p, err)
	}
	if err := os.Rename(filepath.Join(q.dir, p.Base()), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give %s up: %w", p, err)
	}
	return nil
}

// Retry queues again what was given up.
func (q *Queue) Retry() (int, error) {
	entries, err := q.Failed()
	if err != nil {
		return 0, err
	}
	for n, e := range entries {
		from := filepath.Join(q.dir, failedDir, e.Path.Base())
		if err := os.Rename(from, filepath.Join(q.dir, e.Path.Base())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return n, fmt.Errorf("queue %s again: %w", e.Path, err)
		}
		if err := os.Remove(from + reasonSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return n, fmt.Errorf("queue %s again: %w", e.Path, err)
		}
	}
	return len(entries), nil
}

// Lock makes the caller the only one to push from the queue, until unlock is
// called or the process ends, however it ends. It returns ErrBusy if somebody
// else is.
func (q *Queue) Lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(q.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the queue: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (%s)", ErrBusy, q.dir)
		}
		return nil, fmt.Errorf("lock the queue %s: %w", q.dir, err)
	}
	return func() { f.Close() }, nil
}

// Sync makes what is in the queue survive a loss of power. Add leaves that to
// whoever pushes: a build must not wait for a disk.
func (q *Queue) Sync() error {
	d, err := os.Open(q.dir)
	if err != nil {
		return fmt.Errorf("sync the queue: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync the queue %s: %w", q.dir, err)
	}
	return nil
}

// Wait returns the entries when there are some, or when ctx ends, its error.
// It looks once a tick: a directory's change needs no more.
func (q *Queue) Wait(ctx context.Context, tick time.Duration) ([]Entry, error) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		entries, err := q.Waiting()
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.C:
		}
	}
}
