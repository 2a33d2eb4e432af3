// Package journal keeps the reports of runs in a cache's own storage, below
// reports/: a folder of files for each run, and an index of the newest, which
// is made from the listing and can be made again.
package journal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
)

const (
	// Prefix is that of all keys of this package. Garbage collection leaves
	// them alone.
	Prefix = "reports/"
	// Summary is the file that says in a few lines what a run came to. It is
	// written last and deleted first: a run without one is not whole.
	Summary = "run.json"
	// IndexKey is the index's, IndexPage that of the page made from it.
	IndexKey  = Prefix + "index.json"
	IndexPage = Prefix + "index.html"
	// Schema is the index's.
	Schema = "pantheros.reports/1"
)

// Bounds on what is read.
const (
	maxSummary = 4 << 20
	maxIndex   = 256 << 20
)

// Index lists runs, the newest first.
type Index struct {
	Schema string `json:"schema"`
	Runs   []Run  `json:"runs"`
}

// Run is the record of a run.
type Run struct {
	Name    string          `json:"name"` // sorts by time, see CheckName
	Files   []File          `json:"files"`
	Summary json.RawMessage `json:"summary"` // the content of run.json
}

// File is a file of a run.
type File struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Key is the key of a run's file.
func Key(run, file string) string { return Prefix + run + "/" + file }

var (
	runName  = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-z]{4,40}$`)
	fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

// CheckName refuses what is no name of a run: a time, which orders them, and
// something that tells apart those of one second, "20260302T023000Z-1f0c2a".
func CheckName(name string) error {
	at, _, _ := strings.Cut(name, "-")
	if _, err := time.Parse(timeForm, at); err != nil || !runName.MatchString(name) {
		return fmt.Errorf("%.60q is no name of a run: it has to be like 20260302T023000Z-1f0c2a", name)
	}
	return nil
}

const timeForm = "20060102T150405Z"

// CheckFile refuses what cannot be the name of a run's file.
func CheckFile(name string) error {
	if !fileName.MatchString(name) {
		return fmt.Errorf("%.120q cannot be a file of a report: letters, digits, dots, dashes", name)
	}
	return nil
}

// Content is a file to be put.
type Content struct {
	File
	Open func() (io.ReadCloser, error)
}

// Put adds a run of that name, or replaces it, then removes all but the newest
// keep runs, and writes the index, which it returns. files must have a Summary.
// Runs may be put at the same time: each looks after writing the index whether
// it still says what is there, so that the last of them leaves it complete.
func Put(ctx context.Context, s blob.Store, name string, files []Content, keep int) (Index, error) {
	if err := CheckName(name); err != nil {
		return Index{}, err
	}
	if keep < 1 {
		return Index{}, fmt.Errorf("keep %d runs: it has to be 1 or more", keep)
	}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b Content) int { // the summary last
		return cmp.Or(cmp.Compare(btoi(a.Name == Summary), btoi(b.Name == Summary)), cmp.Compare(a.Name, b.Name))
	})
	if len(files) == 0 || files[len(files)-1].Name != Summary {
		return Index{}, fmt.Errorf("a run needs a file %s, which says what it came to", Summary)
	}
	for _, f := range files {
		if err := CheckFile(f.Name); err != nil {
			return Index{}, err
		}
		if err := putFile(ctx, s, Key(name, f.Name), f); err != nil {
			return Index{}, err
		}
	}
	return reindex(ctx, s, name, keep)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func putFile(ctx context.Context, s blob.Store, key string, f Content) error {
	for try := 0; ; try++ {
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		err = s.Put(ctx, key, r, f.Size)
		_ = r.Close()
		if err == nil {
			return nil
		}
		if !errors.Is(err, blob.ErrAgain) || try == 3 {
			return fmt.Errorf("write %s: %w", key, err)
		}
	}
}

// reindex removes what is too old and writes the index until it says what is
// there. fresh is the run whose summary must not be taken from the old index.
func reindex(ctx context.Context, s blob.Store, fresh string, keep int) (Index, error) {
	known := map[string]json.RawMessage{}
	if old, err := ReadIndex(ctx, s); err == nil { // a hint: a damaged one is made again
		for _, r := range old.Runs {
			known[r.Name] = r.Summary
		}
	}
	delete(known, fresh)
	for try := 0; ; try++ {
		index, err := list(ctx, s, known, keep)
		if err != nil {
			return index, err
		}
		data, err := json.Marshal(index)
		if err != nil {
			return index, fmt.Errorf("write %s: %v", IndexKey, err)
		}
		err = s.Put(ctx, IndexKey, bytes.NewReader(data), int64(len(data)))
		if err != nil && !errors.Is(err, blob.ErrAgain) {
			return index, fmt.Errorf("write %s: %w", IndexKey, err)
		}
		now, err2 := listing(ctx, s)
		if err2 != nil {
			return index, err2
		}
		if err == nil && slices.EqualFunc(index.Runs, now[:min(len(now), keep)], func(a Run, b Run) bool { return a.Name == b.Name }) {
			return index, nil
		}
		if try == 20 {
			return index, fmt.Errorf("write %s: others add runs at the same time without end", IndexKey)
		}
		for _, r := range index.Runs {
			known[r.Name] = r.Summary
		}
	}
}

// list reads what is there, removing all but the newest keep runs.
func list(ctx context.Context, s blob.Store, known map[string]json.RawMessage, keep int) (Index, error) {
	index := Index{Schema: Schema, Runs: []Run{}}
	runs, err := listing(ctx, s)
	if err != nil {
		return index, err
	}
	if keep > 0 && len(runs) > keep {
		if err := remove(ctx, s, runs[keep-1].Name); err != nil {
			return index, err
		}
		runs = runs[:keep]
	}
	for _, r := range runs {
		if r.Summary = known[r.Name]; r.Summary == nil {
			data, err := blob.ReadAll(ctx, s, Key(r.Name, Summary), maxSummary)
			if errors.Is(err, blob.ErrNotExist) {
				continue // somebody removes it
			}
			if err != nil {
				return index, fmt.Errorf("read the summary of run %s: %w", r.Name, err)
			}
			if !json.Valid(data) {
				data = []byte("null") // one damaged record does not cost all others
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, data); err != nil {
				return index, fmt.Errorf("read the summary of run %s: %v", r.Name, err)
			}
			r.Summary = compact.Bytes()
		}
		index.Runs = append(index.Runs, r)
	}
	return index, nil
}

// listing lists the runs that are whole, the newest first, without summaries.
func listing(ctx context.Context, s blob.Store) ([]Run, error) {
	byName := map[string]*Run{}
	whole := map[string]bool{}
	for info, err := range s.List(ctx, Prefix) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", Prefix, err)
		}
		run, file, ok := strings.Cut(strings.TrimPrefix(info.Key, Prefix), "/")
		if !ok || CheckName(run) != nil || CheckFile(file) != nil {
			continue
		}
		if byName[run] == nil {
			byName[run] = &Run{Name: run}
		}
		byName[run].Files = append(byName[run].Files, File{file, info.Size})
		whole[run] = whole[run] || file == Summary
	}
	var runs []Run
	for name, r := range byName {
		if whole[name] {
			runs = append(runs, *r)
		}
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(b.Name, a.Name) })
	return runs, nil
}

// remove deletes the runs that are older than oldest, also what is left of runs
// that were never whole.
func remove(ctx context.Context, s blob.Store, oldest string) error {
	var keys []string
	for info, err := range s.List(ctx, Prefix) {
		if err != nil {
			return fmt.Errorf("list %s: %w", Prefix, err)
		}
		run, _, ok := strings.Cut(strings.TrimPrefix(info.Key, Prefix), "/")
		if ok && CheckName(run) == nil && run < oldest {
			keys = append(keys, info.Key)
		}
	}
	slices.SortStableFunc(keys, func(a, b string) int { // summaries first
		return cmp.Compare(btoi(!strings.HasSuffix(a, "/"+Summary)), btoi(!strings.HasSuffix(b, "/"+Summary)))
	})
	for _, key := range keys {
		if err := s.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	return nil
}

// List says which runs a cache's storage has: by its listing where it can be
// listed, else by the index, which a web server serves too.
func List(ctx context.Context, r blob.Reader) (Index, error) {
	old, err := ReadIndex(ctx, r)
	s, ok := r.(blob.Store)
	if !ok {
		if errors.Is(err, blob.ErrNotExist) {
			return Index{Schema: Schema, Runs: []Run{}}, nil
		}
		return old, err
	}
	known := map[string]json.RawMessage{}
	if err == nil {
		for _, r := range old.Runs {
			known[r.Name] = r.Summary
		}
	}
	return list(ctx, s, known, 0)
}

// ReadIndex reads the index. It checks the names in it, which become those of
// files.
func ReadIndex(ctx context.Context, r blob.Reader) (Index, error) {
	data, err := blob.ReadAll(ctx, r, IndexKey, maxIndex)
	if err != nil {
		return Index{}, fmt.Errorf("read %s: %w", IndexKey, err)
	}
	var index Index
	if err := json.Unmarshal(data, &index); err != nil {
		return Index{}, fmt.Errorf("read %s: %v", IndexKey, err)
	}
	if index.Schema != Schema {
		return Index{}, fmt.Errorf("read %s: its schema is %.40q, only %q is understood", IndexKey, index.Schema, Schema)
	}
	for _, run := range index.Runs {
		if err := CheckName(run.Name); err != nil {
			return Index{}, fmt.Errorf("read %s: %v", IndexKey, err)
		}
		for _, f := range run.Files {
			if err := CheckFile(f.Name); err != nil {
				return Index{}, fmt.Errorf("read %s: %v", IndexKey, err)
			}
		}
	}
	return index, nil
}
