package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// journalVersion is of the lines that are written here. A journal of another
// version, cache or level counts as none.
const journalVersion = 1

// journalAge is how long what was found good is believed. A journal is for
// going on with an audit that was cut off, not for leaving out what was read.
const journalAge = 7 * 24 * time.Hour

// Journal is a file that remembers, line by line, which NARs an audit has found
// good, so that the next one of the same cache and level goes on where it was
// cut off. What is damaged is not in it. A nil Journal remembers nothing.
type Journal struct {
	path string

	mu    sync.Mutex
	known map[identity]entry
	file  *os.File
}

// header is the first line.
type header struct {
	Version int       `json:"version"`
	Cache   string    `json:"cache"`
	Level   string    `json:"level"`
	Began   time.Time `json:"began"`
}

// identity is what an entry is of: an object as it was listed, and what its
// narinfo said of the NAR in it.
type identity struct {
	Key         string `json:"key"`
	Size        int64  `json:"size"`
	Modified    int64  `json:"modified"` // nanoseconds since 1970
	Compression string `json:"compression"`
	NARHash     string `json:"nar_hash"`
	NARSize     int64  `json:"nar_size"`
}

// entry is a line: an object that was read, and what was computed.
type entry struct {
	identity
	FileSize int64  `json:"file_size"`
	FileHash string `json:"file_hash"`
}

func entryOf(t *target, p *census.Path) entry {
	return entry{identity: identity{
		Key: t.key, Size: t.size, Modified: t.modified.UnixNano(),
		Compression: p.Compression, NARHash: p.NARHash.String(), NARSize: p.NARSize,
	}}
}

// OpenJournal opens the journal of an audit of a cache, or starts one. With
// restart it forgets what there is. The file is private to its user: whoever
// writes it decides what is not read.
func OpenJournal(path, cache string, level Level, restart bool) (*Journal, error) {
	j := &Journal{path: path, known: make(map[identity]entry)}
	if !restart {
		if err := j.read(cache, level); err != nil {
			return nil, fmt.Errorf("read the journal %s: %w", path, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if len(j.known) == 0 {
		flags |= os.O_TRUNC
	}
	var err error
	if j.file, err = os.OpenFile(path, flags, 0o600); err != nil {
		return nil, err
	}
	if len(j.known) == 0 {
		if err := j.write(header{journalVersion, cache, level.String(), time.Now().UTC()}); err != nil {
			return nil, errors.Join(err, j.file.Close())
		}
	}
	return j, nil
}

// read loads the journal, if it is one of this audit. A line that was cut off
// is left out.
func (j *Journal) read(cache string, level Level) error {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<16)
	if !lines.Scan() {
		return lines.Err()
	}
	var h header
	if json.Unmarshal(lines.Bytes(), &h) != nil || h.Version != journalVersion || h.Cache != cache || h.Level != level.String() || time.Since(h.Began) > journalAge {
		return nil
	}
	for lines.Scan() {
		var e entry
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			j.known[e.identity] = e
		}
	}
	return lines.Err()
}

// good returns the size and hash of a file that was read before.
func (j *Journal) good(e entry) (size int64, hash nix.Hash, ok bool) {
	if j == nil {
		return 0, hash, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	known, ok := j.known[e.identity]
	if !ok {
		return 0, hash, false
	}
	hash, err := nix.ParseHash(known.FileHash)
	return known.FileSize, hash, err == nil
}

func (j *Journal) add(e entry) error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.write(e)
}

// write appends a line in one call, so that none is ever half of another's.
func (j *Journal) write(line any) error {
	data, err := json.Marshal(line)
	if err == nil {
		_, err = j.file.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the journal %s: %w", j.path, err)
	}
	return nil
}

// Close ends the use of the journal. done removes it: the audit came to its
// end, and the next one reads everything.
func (j *Journal) Close(done bool) error {
	if j == nil {
		return nil
	}
	err := j.file.Close()
	if done {
		err = errors.Join(err, os.Remove(j.path))
	}
	return err
}
