// Package mirror keeps store paths of other caches in a directory, bounded in
// bytes: what was not used for longest goes first, and what a root manifest in
// the directory names stays. The directory is a binary cache of the layout of
// package binarycache, but need not hold the closures of its paths.
package mirror

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Options of a Mirror.
type Options struct {
	StoreDir string // of its paths; empty: nix.DefaultStoreDir
	// Max bounds the bytes of NARs that are kept, and those that are on their
	// way. Pinned ones count, and are kept even when they alone exceed it.
	Max int64
	// Evicted, if not nil, is called for every NAR that made room.
	Evicted func(key string, size int64)
}

// Mirror is a directory of kept paths. One process at a time has it open;
// others may add to it as to any cache, and read it.
type Mirror struct {
	root string
	o    Options
	lock *os.File

	mu       sync.Mutex
	nars     map[string]*object // by key
	infos    map[string]*object // by hash part
	order    list.List          // of *object, used most recently first
	used     int64              // bytes of nars
	coming   int64              // bytes reserved for those on their way
	pins     pins
	evicted  int64
	evictedN int64
}

// object is a NAR that is kept.
type object struct {
	key    string
	size   int64
	infos  []string // hash parts of the paths whose NAR it is
	used   time.Time
	noted  time.Time // the use that the file's time tells
	pinned bool
	place  *list.Element
}

const (
	incomingDir = ".incoming"
	lockFile    = ".lock"
	narDir      = "nar"
	// noteUse is how much later than its file says an object must have been
	// used for the file to be told.
	noteUse = 10 * time.Minute
)

// Errors of Open, wrapped.
var (
	ErrInUse     = errors.New("another pcache keeps its paths there")
	ErrNotMirror = errors.New("it is a cache that is not for fetched paths alone: what is in it would be deleted to make room")
)

// markFile tells a mirror, from which paths may be deleted since others have
// them, from a cache that may be the only one to have its own.
const markFile = ".mirror"

// Is says whether a directory is a mirror.
func Is(root string) bool {
	_, err := os.Stat(filepath.Join(root, markFile))
	return err == nil
}

// Open makes the directory if there is none, removes what an earlier process
// left unfinished, and looks at what is kept.
func Open(root string, o Options) (*Mirror, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("directory %q: %v", root, err)
	}
	if o.StoreDir == "" {
		o.StoreDir = nix.DefaultStoreDir
	}
	if _, err := os.Stat(abs + "/nix-cache-info"); err == nil && !Is(abs) {
		return nil, fmt.Errorf("local directory %s: %w", abs, ErrNotMirror)
	}
	for _, dir := range []string{abs, abs + "/" + narDir, abs + "/" + incomingDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("prepare the local directory: %w", err)
		}
	}
	m := &Mirror{root: abs, o: o, nars: make(map[string]*object), infos: make(map[string]*object)}
	if m.lock, err = lock(abs + "/" + lockFile); err != nil {
		return nil, fmt.Errorf("local directory %s: %w", abs, err)
	}
	if err := m.clean(); err != nil {
		m.lock.Close()
		return nil, err
	}
	if err := os.WriteFile(abs+"/"+markFile, []byte("Paths here come from other caches, and are deleted to make room.\n"), 0o644); err != nil {
		m.lock.Close()
		return nil, fmt.Errorf("write to the local directory: %w", err)
	}
	if err := m.writeInfo(); err != nil {
		m.lock.Close()
		return nil, fmt.Errorf("write to the local directory: %w", err)
	}
	if err := m.Scan(); err != nil {
		m.lock.Close()
		return nil, err
	}
	return m, nil
}

// Close lets others open the directory.
func (m *Mirror) Close() error { return m.lock.Close() }

// Root is the directory.
func (m *Mirror) Root() string { return m.root }

// clean removes what was not finished. Nobody else writes there.
func (m *Mirror) clean() error {
	entries, err := os.ReadDir(m.root + "/" + incomingDir)
	if err != nil {
		return fmt.Errorf("read the local directory: %w", err)
	}
	for _, e := range entries {
		if err := os.Remove(m.root + "/" + incomingDir + "/" + e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what an earlier run left: %w", err)
		}
	}
	return nil
}

// writeInfo makes the directory a cache, for those who read it as one.
func (m *Mirror) writeInfo() error {
	file := m.root + "/nix-cache-info"
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	tmp := m.root + "/" + incomingDir + "/nix-cache-info"
	if err := os.WriteFile(tmp, fmt.Appendf(nil, "StoreDir: %s\nWantMassQuery: 1\nPriority: 30\n", m.o.StoreDir), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// Usage is how much a Mirror keeps, in bytes of NARs.
type Usage struct {
	Used, Pinned, Incoming, Max int64
	Objects                     int
	Evicted, EvictedBytes       int64 // since it was opened
}

// Usage counts what is kept.
func (m *Mirror) Usage() Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := Usage{Used: m.used, Incoming: m.coming, Max: m.o.Max, Objects: len(m.nars), Evicted: m.evictedN, EvictedBytes: m.evicted}
	for _, o := range m.nars {
		if o.pinned {
			u.Pinned += o.size
		}
	}
	return u
}

// Has says whether a path is kept, by its hash part.
func (m *Mirror) Has(hashPart string) bool {
	m.mu.Lock()
	_, ok := m.infos[hashPart]
	m.mu.Unlock()
	if ok {
		return true
	}
	// Somebody else may have added it.
	_, err := os.Stat(m.root + "/" + hashPart + ".narinfo")
	return err == nil
}

// NARInfo reads the narinfo of a path that is kept. One that is damaged, or
// without its NAR, is removed and counts as not there.
func (m *Mirror) NARInfo(hashPart string) (n nix.NARInfo, ok bool) {
	file := m.root + "/" + hashPart + ".narinfo"
	data, err := os.ReadFile(file)
	if err != nil {
		return n, false
	}
	n, err = nix.ParseNARInfo(m.o.StoreDir, data)
	if err != nil || n.Path.HashPart() != hashPart || !narKey(n.URL) {
		os.Remove(file)
		return n, false
	}
	info, err := os.Stat(m.root + "/" + n.URL)
	if err != nil || n.FileSize > 0 && info.Size() != n.FileSize {
		os.Remove(file)
		return n, false
	}
	m.mu.Lock()
	m.add(n.URL, info.Size(), hashPart, time.Now())
	m.mu.Unlock()
	return n, true
}

// narKey says that a narinfo's URL is a file directly in the directory of NARs.
func narKey(url string) bool {
	name, ok := strings.CutPrefix(url, narDir+"/")
	return ok && name != "" && name[0] != '.' && !strings.ContainsAny(name, "/\\?#%") && strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

// OpenNAR opens a NAR that is kept, by its key, and counts it as used. The
// error is fs.ErrNotExist if there is none.
func (m *Mirror) OpenNAR(key string) (*os.File, error) {
	if !narKey(key) {
		return nil, fs.ErrNotExist
	}
	f, err := os.Open(m.root + "/" + key)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	m.mu.Lock()
	o, ok := m.nars[key]
	if !ok {
		if info, err := f.Stat(); err == nil {
			o = m.add(key, info.Size(), "", now)
			ok = true
		}
	}
	tell := false
	if ok {
		o.used = now
		m.order.MoveToFront(o.place)
		if tell = now.Sub(o.noted) > noteUse; tell {
			o.noted = now
		}
	}
	m.mu.Unlock()
	if tell {
		// So that the order outlives the process. If it cannot be told the
		// next process knows less; nothing breaks.
		_ = os.Chtimes(f.Name(), time.Time{}, now)
	}
	return f, nil
}

// add notes a NAR, and the path of hashPart as one of its. m.mu is held.
func (m *Mirror) add(key string, size int64, hashPart string, used time.Time) *object {
	o, ok := m.nars[key]
	if !ok {
		o = &object{key: key, size: size, used: used, noted: used}
		o.place = m.insert(o)
		m.nars[key] = o
		m.used += size
	} else if size > 0 && size != o.size {
		m.used += size - o.size
		o.size = size
	}
	if hashPart != "" && m.infos[hashPart] != o {
		m.infos[hashPart] = o
		o.infos = append(o.infos, hashPart)
		o.pinned = o.pinned || m.pins.paths[hashPart]
	}
	return o
}

// insert puts an object where its last use belongs. New ones are at the front,
// so this is quick but for a scan, which sorts before.
func (m *Mirror) insert(o *object) *list.Element {
	for e := m.order.Front(); e != nil; e = e.Next() {
		if !e.Value.(*object).used.After(o.used) {
			return m.order.InsertBefore(o, e)
		}
	}
	return m.order.PushBack(o)
}

// forget removes what is known of a NAR. m.mu is held.
func (m *Mirror) forget(o *object) {
	m.order.Remove(o.place)
	delete(m.nars, o.key)
	m.used -= o.size
	for _, h := range o.infos {
		if m.infos[h] == o {
			delete(m.infos, h)
		}
	}
}

// Drop removes a NAR and the narinfos of its paths: it turned out to be
// damaged.
func (m *Mirror) Drop(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.nars[key]; ok {
		m.remove(o)
	}
}

// remove deletes the narinfos before the NAR, so that nobody finds the one
// without the other. m.mu is held.
func (m *Mirror) remove(o *object) {
	for _, h := range o.infos {
		os.Remove(m.root + "/" + h + ".narinfo")
	}
	os.Remove(m.root + "/" + o.key)
	m.forget(o)
}

// Forget removes a path, pinned or not, by its hash part: where it came from does
// not have it any more.
func (m *Mirror) Forget(hashPart string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.infos[hashPart]; ok {
		m.remove(o)
		return
	}
	os.Remove(m.root + "/" + hashPart + ".narinfo")
}

// MakeRoom evicts until need bytes more can be kept, but none of the paths of a
// closure, and says whether they can.
func (m *Mirror) MakeRoom(need int64, closure []nix.StorePath) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshPins()
	var held []*object
	for _, p := range closure {
		if o, ok := m.infos[p.HashPart()]; ok && !o.pinned {
			o.pinned = true
			held = append(held, o)
		}
	}
	ok := m.room(need)
	for _, o := range held {
		o.pinned = false
	}
	return ok
}

// room evicts until need bytes more can be kept, and says whether they can.
// m.mu is held.
func (m *Mirror) room(need int64) bool {
	if m.used+m.coming+need <= m.o.Max {
		return true
	}
	if need > m.o.Max {
		return false
	}
	m.refreshPins()
	for e := m.order.Back(); e != nil && m.used+m.coming+need > m.o.Max; {
		o := e.Value.(*object)
		e = e.Prev()
		if o.pinned {
			continue
		}
		m.remove(o)
		m.evicted += o.size
		m.evictedN++
		if m.o.Evicted != nil {
			m.o.Evicted(o.key, o.size)
		}
	}
	return m.used+m.coming+need <= m.o.Max
}
