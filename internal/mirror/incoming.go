package mirror

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// ErrNoRoom is wrapped when a NAR is not kept because the bound, or the disk,
// leaves no room for it.
var ErrNoRoom = errors.New("there is no room for it")

// Incoming is a NAR on its way into the mirror. It is written by one
// goroutine; others may open its file by name and read what is there.
type Incoming struct {
	m        *Mirror
	file     *os.File
	size     int64 // written
	reserved int64
	done     bool
}

// Create begins a NAR of the given size, or of unknown size if it is not
// positive.
func (m *Mirror) Create(size int64) (*Incoming, error) {
	size = max(size, 0)
	m.mu.Lock()
	ok := m.room(size)
	if ok {
		m.coming += size
	}
	m.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrNoRoom, size)
	}
	name := m.root + "/" + incomingDir + "/" + rand.Text()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		m.release(size)
		return nil, err
	}
	return &Incoming{m: m, file: f, reserved: size}, nil
}

func (m *Mirror) release(n int64) {
	m.mu.Lock()
	m.coming -= n
	m.mu.Unlock()
}

// Name is the file's, until Keep or Discard.
func (i *Incoming) Name() string { return i.file.Name() }

// Write adds to the file. When the disk is full it makes room, once.
func (i *Incoming) Write(p []byte) (int, error) {
	if more := i.size + int64(len(p)) - i.reserved; more > 0 {
		// In steps, so that the bound holds for what has no known size.
		more = max(more, 1<<20)
		i.m.mu.Lock()
		ok := i.m.room(more)
		if ok {
			i.m.coming += more
			i.reserved += more
		}
		i.m.mu.Unlock()
		if !ok {
			return 0, ErrNoRoom
		}
	}
	n, err := i.file.Write(p)
	i.size += int64(n)
	if err != nil && full(err) && i.m.shrink(int64(len(p)-n)) {
		var more int
		more, err = i.file.Write(p[n:])
		i.size += int64(more)
		n += more
	}
	if err != nil && full(err) {
		err = fmt.Errorf("%w: %v", ErrNoRoom, err)
	}
	return n, err
}

// shrink evicts at least so many bytes, and some more, because the disk is
// full before the bound is reached. It says whether it evicted enough.
func (m *Mirror) shrink(need int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshPins()
	need = max(need, 16<<20)
	var freed int64
	for e := m.order.Back(); e != nil && freed < need; {
		o := e.Value.(*object)
		e = e.Prev()
		if o.pinned {
			continue
		}
		m.remove(o)
		freed += o.size
		m.evicted += o.size
		m.evictedN++
		if m.o.Evicted != nil {
			m.o.Evicted(o.key, o.size)
		}
	}
	return freed > 0
}

// Keep makes the NAR, whose bytes have been verified, and n, a path's narinfo,
// part of the mirror. n's URL becomes key, and its FileSize what was written.
func (i *Incoming) Keep(key string, n nix.NARInfo) (err error) {
	defer func() {
		if err != nil {
			i.Discard()
		}
	}()
	if !narKey(key) {
		return fmt.Errorf("%q is no key of a NAR", key)
	}
	n.URL, n.FileSize = key, i.size
	tmp, err := i.m.writeNARInfo(n)
	if err != nil {
		return err
	}
	i.m.mu.Lock()
	defer i.m.mu.Unlock()
	if err = i.file.Close(); err == nil {
		err = rename(i.Name(), i.m.root+"/"+key)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	i.done = true
	i.m.coming -= i.reserved
	i.m.add(key, i.size, "", time.Now())
	return i.m.publish(tmp, n)
}

// AddInfo writes the narinfo of a path whose NAR is kept already.
func (m *Mirror) AddInfo(n nix.NARInfo) error {
	tmp, err := m.writeNARInfo(n)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.publish(tmp, n)
}

func (m *Mirror) writeNARInfo(n nix.NARInfo) (string, error) {
	tmp := m.root + "/" + incomingDir + "/" + rand.Text()
	if err := os.WriteFile(tmp, n.Marshal(), 0o644); err != nil {
		os.Remove(tmp)
		return "", err
	}
	return tmp, nil
}

// publish puts a narinfo in its place. m.mu is held.
func (m *Mirror) publish(tmp string, n nix.NARInfo) error {
	hashPart := n.Path.HashPart()
	err := fmt.Errorf("%s was evicted meanwhile", n.URL)
	if _, ok := m.nars[n.URL]; ok {
		err = rename(tmp, m.root+"/"+hashPart+".narinfo")
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	m.add(n.URL, 0, hashPart, time.Now())
	return nil
}

// rename makes the directory if somebody removed it.
func rename(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// Discard removes the file unless it is kept.
func (i *Incoming) Discard() {
	if i.done {
		return
	}
	i.done = true
	i.file.Close()
	os.Remove(i.file.Name())
	i.m.release(i.reserved)
}

// Errors of AddTwin, wrapped.
var (
	ErrOther  = errors.New("the file is that of another NAR")
	ErrOrphan = errors.New("no path is known that brought the file")
)

// AddTwin adds the narinfo of a path whose NAR another path has brought. It is
// ErrOther if n is not of that NAR, and ErrOrphan if that cannot be said.
func (m *Mirror) AddTwin(key string, n nix.NARInfo) error {
	m.mu.Lock()
	var brought string
	if o, ok := m.nars[key]; ok && len(o.infos) > 0 {
		brought = o.infos[0]
	}
	m.mu.Unlock()
	if brought == "" {
		return ErrOrphan
	}
	was, ok := m.NARInfo(brought)
	if !ok {
		return ErrOrphan
	}
	if was.NARHash != n.NARHash || was.NARSize != n.NARSize || was.Compression != n.Compression {
		return fmt.Errorf("%w: %s", ErrOther, was.Path)
	}
	n.URL, n.FileHash, n.FileSize = was.URL, was.FileHash, was.FileSize
	return m.AddInfo(n)
}
