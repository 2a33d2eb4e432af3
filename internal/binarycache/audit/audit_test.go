package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"
)

func put(t *testing.T, s blob.Store, key string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

// filled is an unsigned cache with n paths, uncompressed.
func filled(t *testing.T, n int) (s *dir.Store, nars []string) {
	t.Helper()
	s, err := dir.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "nix-cache-info", []byte("StoreDir: /nix/store\n"))
	for i := range n {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, fmt.Appendf(nil, "file %d", i), 0o644); err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer
		if err := nar.Dump(&data, file); err != nil {
			t.Fatal(err)
		}
		path := nix.StorePath(fmt.Sprintf("/nix/store/%032d-p%d", i, i))
		sum := nix.Hash(sha256.Sum256(data.Bytes()))
		info := nix.NARInfo{
			PathInfo: nix.PathInfo{Path: path, NARHash: sum, NARSize: int64(data.Len())},
			URL:      "nar/" + sum.Base32() + ".nar", Compression: "none", FileHash: sum, FileSize: int64(data.Len()),
		}
		put(t, s, info.URL, data.Bytes())
		put(t, s, path.HashPart()+".narinfo", info.Marshal())
		nars = append(nars, info.URL)
	}
	return s, nars
}

// cutOff is a store that has the audit interrupted at the n-th NAR.
type cutOff struct {
	*dir.Store
	n      int32
	opened atomic.Int32
	cancel context.CancelFunc
}

func (c *cutOff) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if strings.HasPrefix(key, "nar/") && c.opened.Add(1) > c.n {
		c.cancel()
		return nil, context.Canceled
	}
	return c.Store.Open(ctx, key)
}

func TestJournal(t *testing.T) {
	s, nars := filled(t, 20)
	file := filepath.Join(t.TempDir(), "j", "journal")
	open := func(restart bool) *Journal {
		j, err := OpenJournal(file, "test", Full, restart)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	ctx, cancel := context.WithCancel(t.Context())
	j := open(false)
	cut := &cutOff{Store: s, n: 12, cancel: cancel}
	if _, err := Run(ctx, Options{Name: "test", Reader: cut, Store: cut, Level: Full, Journal: j}); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	if err := j.Close(false); err != nil {
		t.Fatal(err)
	}

	// A line that was cut off, and a NAR that has changed since.
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("{\"key\":\"nar/\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	info, err := s.Stat(t.Context(), nars[0])
	if err != nil {
		t.Fatal(err)
	}
	data, err := blob.ReadAll(t.Context(), s, nars[0], 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	put(t, s, nars[0], data)
	later := info.Modified.Add(time.Hour)
	if err := os.Chtimes(filepath.Join(s.String(), nars[0]), later, later); err != nil {
		t.Fatal(err)
	}
	j = open(false)
	found, err := Run(t.Context(), Options{Name: "test", Reader: s, Store: s, Level: Full, Journal: j})
	if err != nil || found.Damaged != 1 || found.Findings[0].Key != nars[0] {
		t.Errorf("%v, %+v", err, found.Findings)
	}
	if found.Known == 0 || found.Known > 12 || found.Known+found.NARs != 20 {
		t.Errorf("%d known and %d read", found.Known, found.NARs)
	}
	if err := j.Close(false); err != nil {
		t.Fatal(err)
	}
	for _, other := range []struct {
		cache   string
		level   Level
		restart bool
	}{{"test", Full, true}, {"other", Full, false}, {"test", Files, false}} {
		j, err := OpenJournal(file, other.cache, other.level, other.restart)
		if err != nil {
			t.Fatal(err)
		}
		if len(j.known) != 0 {
			t.Errorf("%+v knows %d", other, len(j.known))
		}
		if err := j.Close(false); err != nil {
			t.Fatal(err)
		}
	}
	j = open(false)
	if err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a journal that is done with is still there: %v", err)
	}
}

// stale lists what is not there.
type stale struct {
	*dir.Store
	key string
}

func (s stale) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		all := []blob.Info{{Key: s.key, Size: 7, Modified: time.Now()}}
		for info, err := range s.Store.List(ctx, prefix) {
			if err != nil {
				yield(info, err)
				return
			}
			all = append(all, info)
		}
		slices.SortFunc(all, func(a, b blob.Info) int { return strings.Compare(a.Key, b.Key) })
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func TestStaleListing(t *testing.T) {
	s, nars := filled(t, 3)
	if err := s.Delete(t.Context(), nars[1]); err != nil {
		t.Fatal(err)
	}
	lister := stale{s, nars[1]}
	for level, kind := range map[Level]Kind{Listing: FileDamaged, Files: NARMissing, Full: NARMissing} {
		found, err := Run(t.Context(), Options{Name: "test", Reader: lister, Store: lister, Level: level})
		if err != nil || found.Damaged != 1 || found.Findings[0].Kind != kind {
			t.Errorf("%s: %v, %+v", level, err, found.Findings)
		}
	}
	// A narinfo that is listed and gone is none.
	gone := stale{s, fmt.Sprintf("%032d.narinfo", 9)}
	put(t, s, nars[1], nil)
	found, err := Run(t.Context(), Options{Name: "test", Reader: gone, Store: gone, Level: Listing})
	if err != nil || found.Paths != 3 {
		t.Errorf("%v, %d paths", err, found.Paths)
	}
}
