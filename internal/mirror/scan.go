package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Scan looks at the directory, notes what others added to it and forgets what
// they removed. It may be called while the mirror is in use.
func (m *Mirror) Scan() error {
	files, err := os.ReadDir(m.root + "/" + narDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the local directory: %w", err)
	}
	type found struct {
		key  string
		size int64
		used time.Time
	}
	all := make([]found, 0, len(files))
	there := make(map[string]bool, len(files))
	for _, e := range files {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !narKey(narDir+"/"+e.Name()) {
			continue
		}
		key := narDir + "/" + e.Name()
		there[key] = true
		all = append(all, found{key, info.Size(), info.ModTime()})
	}
	// The oldest first: each goes to the front of the order.
	sort.Slice(all, func(i, j int) bool { return all[i].used.Before(all[j].used) })
	now := time.Now()
	m.mu.Lock()
	for _, f := range all {
		if f.used.After(now) {
			f.used = now // a clock that was wrong
		}
		m.add(f.key, f.size, "", f.used)
	}
	for key, o := range m.nars {
		if there[key] {
			continue
		}
		// Kept since the directory was read, or gone.
		if _, err := os.Stat(m.root + "/" + key); errors.Is(err, fs.ErrNotExist) {
			m.remove(o)
		}
	}
	m.mu.Unlock()
	return m.scanInfos(now)
}

// scanInfos reads the narinfos that are not known yet.
func (m *Mirror) scanInfos(now time.Time) error {
	dir, err := os.Open(m.root)
	if err != nil {
		return fmt.Errorf("read the local directory: %w", err)
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			hashPart, ok := strings.CutSuffix(name, ".narinfo")
			if !ok || !nix.IsHashPart(hashPart) {
				continue
			}
			m.mu.Lock()
			_, known := m.infos[hashPart]
			m.mu.Unlock()
			if known {
				continue
			}
			data, err := os.ReadFile(m.root + "/" + name)
			if err != nil {
				continue
			}
			n, err := nix.ParseNARInfo(m.o.StoreDir, data)
			if err != nil || n.Path.HashPart() != hashPart || !narKey(n.URL) {
				continue // asked for, it is removed
			}
			m.mu.Lock()
			// Without its NAR it is asked for in vain, and removed then.
			if o, ok := m.nars[n.URL]; ok {
				m.add(n.URL, o.size, hashPart, now)
			}
			m.mu.Unlock()
		}
		if len(names) == 0 || err != nil {
			break
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pins.seen = ""
	m.refreshPins()
	m.room(0)
	return nil
}

// pins are the paths that root manifests keep.
type pins struct {
	seen  string // the manifests that paths comes from
	paths map[string]bool
}

// refreshPins reads the manifests if they are others than before. A manifest
// that cannot be read pins nothing: what is kept here is elsewhere too. m.mu
// is held.
func (m *Mirror) refreshPins() {
	var manifests []string
	var seen strings.Builder
	names, _ := os.ReadDir(m.root + "/roots")
	for _, name := range names {
		files, _ := os.ReadDir(m.root + "/roots/" + name.Name())
		for _, f := range files {
			if file := name.Name() + "/" + f.Name(); strings.HasSuffix(file, ".json") && !strings.HasPrefix(f.Name(), ".") {
				manifests = append(manifests, file)
				seen.WriteString(file + "\n")
			}
		}
	}
	if seen.String() == m.pins.seen {
		return
	}
	m.pins = pins{seen: seen.String(), paths: make(map[string]bool)}
	var stack []nix.StorePath
	for _, file := range manifests {
		data, err := os.ReadFile(m.root + "/roots/" + file)
		if err != nil {
			continue
		}
		if r, err := binarycache.ParseRoot(m.o.StoreDir, data); err == nil {
			stack = append(stack, r.Paths...)
		}
	}
	for len(stack) > 0 {
		h := stack[len(stack)-1].HashPart()
		stack = stack[:len(stack)-1]
		if m.pins.paths[h] {
			continue
		}
		m.pins.paths[h] = true
		data, err := os.ReadFile(m.root + "/" + h + ".narinfo")
		if err != nil {
			continue // not kept, so far
		}
		if n, err := nix.ParseNARInfo(m.o.StoreDir, data); err == nil {
			stack = append(stack, n.References...)
		}
	}
	for _, o := range m.nars {
		o.pinned = false
		for _, h := range o.infos {
			o.pinned = o.pinned || m.pins.paths[h]
		}
	}
}
