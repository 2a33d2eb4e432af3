// Package journal keeps the reports of runs in a cache's own storage, below
// reports/: a folder of files for each run, and an index of the newest, which
// is made from the listing and can be made again.
package journal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	// Sums has the SHA-256 of a run's other files, as sha256sum writes it, so
	// that whoever has a copy can tell whether it is the same. Put makes it.
	Sums = "sha256sums"
	// IndexKey is the index's key.
	IndexKey = Prefix + "index.json"
	// IndexPage is that of the page made from it.
	IndexPage = Prefix + "index.html"
	// Schema is the index's.
	Schema = "pantheros.reports/1"
)

// Bounds on what is read.
const (
	maxSummary = 4 << 20
	maxSums    = 1 << 20
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
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"` // in hex; empty where that is not known
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
	// Sums is made here; one that came along is of another run.
	files = slices.DeleteFunc(slices.Clone(files), func(f Content) bool { return f.Name == Sums })
	slices.SortFunc(files, func(a, b Content) int { // the summary last
		return cmp.Or(cmp.Compare(btoi(a.Name == Summary), btoi(b.Name == Summary)), cmp.Compare(a.Name, b.Name))
	})
	if len(files) == 0 || files[len(files)-1].Name != Summary {
		return Index{}, fmt.Errorf("a run needs a file %s, which says what it came to", Summary)
	}
	var sums strings.Builder
	for _, f := range files {
		if err := CheckFile(f.Name); err != nil {
			return Index{}, err
		}
		sum, err := digest(f)
		if err != nil {
			return Index{}, err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, f.Name)
	}
	text := sums.String()
	files = slices.Insert(files, len(files)-1, Content{
		File: File{Name: Sums, Size: int64(len(text))},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	})
	for _, f := range files {
		if err := putFile(ctx, s, Key(name, f.Name), f); err != nil {
			return Index{}, err
		}
	}
	return reindex(ctx, s, name, keep)
}

// digest is the SHA-256 of a file, in hex.
func digest(f Content) (string, error) {
	r, err := f.Open()
	if err != nil {
		return "", fmt.Errorf("read %s: %w", f.Name, err)
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", fmt.Errorf("read %s: %w", f.Name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
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
	old, err := ReadIndex(ctx, s)
	if err != nil {
		old = Index{} // it is a hint: a damaged one is made again
	}
	known := old.byName()
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
		known = index.byName()
	}
}

// byName are the runs of an index.
func (x Index) byName() map[string]Run {
	m := make(map[string]Run, len(x.Runs))
	for _, r := range x.Runs {
		m[r.Name] = r
	}
	return m
}

// list reads what is there, removing all but the newest keep runs. Of runs that
// are known with files of the same names and sizes nothing is read.
func list(ctx context.Context, s blob.Store, known map[string]Run, keep int) (Index, error) {
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
		if was, ok := known[r.Name]; ok && was.Summary != nil && slices.EqualFunc(was.Files, r.Files, func(a, b File) bool {
			return a.Name == b.Name && a.Size == b.Size
		}) {
			index.Runs = append(index.Runs, was)
			continue
		}
		err := complete(ctx, s, &r)
		if errors.Is(err, blob.ErrNotExist) {
			continue // somebody removes it
		}
		if err != nil {
			return index, err
		}
		index.Runs = append(index.Runs, r)
	}
	return index, nil
}

// complete reads a run's summary and sums.
func complete(ctx context.Context, s blob.Reader, r *Run) error {
	data, err := blob.ReadAll(ctx, s, Key(r.Name, Summary), maxSummary)
	if err != nil {
		return fmt.Errorf("read the summary of run %s: %w", r.Name, err)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, data) != nil {
		compact.Reset()
		compact.WriteString("null") // one damaged record does not cost all others
	}
	r.Summary = compact.Bytes()
	if !slices.ContainsFunc(r.Files, func(f File) bool { return f.Name == Sums }) {
		return nil // an older version put it
	}
	data, err = blob.ReadAll(ctx, s, Key(r.Name, Sums), maxSums)
	if err != nil {
		return fmt.Errorf("read %s of run %s: %w", Sums, r.Name, err)
	}
	own := sha256.Sum256(data)
	sums := map[string]string{Sums: hex.EncodeToString(own[:])}
	for line := range strings.Lines(string(data)) {
		if sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  "); ok && name != Sums && checkSum(sum) {
			sums[name] = sum
		}
	}
	for i := range r.Files {
		r.Files[i].SHA256 = sums[r.Files[i].Name]
	}
	return nil
}

func checkSum(sum string) bool {
	b, err := hex.DecodeString(sum)
	return err == nil && len(b) == sha256.Size
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
		byName[run].Files = append(byName[run].Files, File{Name: file, Size: info.Size})
		whole[run] = whole[run] || file == Summary
	}
	var runs []Run
	for name, r := range byName {
		if whole[name] {
			slices.SortFunc(r.Files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
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
	if err != nil {
		old = Index{}
	}
	return list(ctx, s, old.byName(), 0)
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
			if f.SHA256 != "" && !checkSum(f.SHA256) {
				return Index{}, fmt.Errorf("read %s: %.80q is no SHA-256", IndexKey, f.SHA256)
			}
		}
	}
	return index, nil
}
