package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/journal"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

func store(t *testing.T) blob.Store {
	t.Helper()
	s, err := dir.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// each runs a test with a store in a directory and one in a bucket.
func each(t *testing.T, test func(t *testing.T, s blob.Store)) {
	t.Helper()
	t.Run("directory", func(t *testing.T) { test(t, store(t)) })
	t.Run("bucket", func(t *testing.T) {
		server := s3test.Start(t, s3test.Versitygw)
		server.Environ(t)
		config, _, err := s3.ParseAddress(server.Address(server.Bucket(t)))
		if err != nil {
			t.Fatal(err)
		}
		s, err := s3.New(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		test(t, s)
	})
}

func content(name, text string) journal.Content {
	return journal.Content{
		File: journal.File{Name: name, Size: int64(len(text))},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

func run(i int) string { return fmt.Sprintf("202603%02dT023000Z-%04d", 1+i/24, i) }

func files(i int) []journal.Content {
	return []journal.Content{content(journal.Summary, fmt.Sprintf(`{ "n": %d }`, i)), content("report.html", "<p>")}
}

func names(x journal.Index) string {
	var list []string
	for _, r := range x.Runs {
		list = append(list, r.Name+string(r.Summary))
	}
	return strings.Join(list, " ")
}

// sums reports whether a run has the files of files and says of each what is in
// it.
func sums(r journal.Run) bool {
	var known []string
	for _, f := range r.Files {
		known = append(known, f.Name)
		if f.SHA256 == "" {
			return false
		}
	}
	return slices.Equal(known, []string{"report.html", journal.Summary, journal.Sums})
}

// The newest runs stay, whatever the order in which they come.
func TestPut(t *testing.T) { each(t, testPut) }

func testPut(t *testing.T, s blob.Store) {
	ctx := t.Context()
	for _, i := range []int{1, 3, 0, 2} {
		if _, err := journal.Put(ctx, s, run(i), files(i), 3); err != nil {
			t.Fatal(err)
		}
	}
	want := fmt.Sprintf(`%s{"n":3} %s{"n":2} %s{"n":1}`, run(3), run(2), run(1))
	for what, read := range map[string]func() (journal.Index, error){
		"listing": func() (journal.Index, error) { return journal.List(ctx, s) },
		"index":   func() (journal.Index, error) { return journal.List(ctx, struct{ blob.Reader }{s}) },
	} {
		x, err := read()
		if err != nil || names(x) != want || !sums(x.Runs[0]) {
			t.Errorf("%s: %v, %s; want %s", what, err, names(x), want)
		}
	}
	if _, err := s.Stat(ctx, journal.Key(run(0), "report.html")); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("a run beyond the bound is there: %v", err)
	}
	// A run that is put again has its new summary.
	x, err := journal.Put(ctx, s, run(2), files(7), 3)
	if err != nil || !strings.Contains(names(x), `{"n":7}`) {
		t.Errorf("%v, %s", err, names(x))
	}
	// A damaged index is made again.
	if err := s.Put(ctx, journal.IndexKey, strings.NewReader("{"), 1); err != nil {
		t.Fatal(err)
	}
	if x, err := journal.Put(ctx, s, run(4), files(4), 3); err != nil || len(x.Runs) != 3 || !strings.Contains(names(x), `{"n":7}`) {
		t.Errorf("%v, %s", err, names(x))
	}
}

// What a writer that died left is in no index, and goes when it is old.
func TestPutHalf(t *testing.T) { each(t, testPutHalf) }

func testPutHalf(t *testing.T, s blob.Store) {
	ctx := t.Context()
	if err := s.Put(ctx, journal.Key(run(1), "report.html"), strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	if x, err := journal.Put(ctx, s, run(0), files(0), 1); err != nil || len(x.Runs) != 1 || x.Runs[0].Name != run(0) {
		t.Errorf("%v, %s", err, names(x))
	}
	for i := 2; i < 4; i++ {
		if _, err := journal.Put(ctx, s, run(i), files(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Stat(ctx, journal.Key(run(1), "report.html")); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("what was left of a run is still there: %v", err)
	}
}

func TestPutConcurrently(t *testing.T) { each(t, testPutConcurrently) }

func testPutConcurrently(t *testing.T, s blob.Store) {
	ctx := t.Context()
	const n = 12
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := journal.Put(ctx, s, run(i), files(i), 100); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	x, err := journal.ReadIndex(ctx, s)
	if err != nil || len(x.Runs) != n {
		t.Errorf("the index has %d of %d runs: %v", len(x.Runs), n, err)
	}
}

// failing fails at one of its writes.
type failing struct {
	blob.Store
	left int
}

func (f *failing) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if f.left--; f.left < 0 {
		return errors.New("no route to host")
	}
	return f.Store.Put(ctx, key, r, size)
}

func TestPutFails(t *testing.T) {
	for at := range 4 {
		s := store(t)
		if _, err := journal.Put(t.Context(), s, run(0), files(0), 5); err != nil {
			t.Fatal(err)
		}
		_, err := journal.Put(t.Context(), &failing{s, at}, run(1), files(1), 5)
		if err == nil || !strings.Contains(err.Error(), "no route to host") || !strings.Contains(err.Error(), "write reports/") {
			t.Errorf("a failure of write %d: %v", at, err)
		}
		x, err := journal.List(t.Context(), s)
		if want := 1 + at/3; err != nil || len(x.Runs) != want { // the fourth write is the index
			t.Errorf("after it: %v, %d runs, want %d", err, len(x.Runs), want)
		}
	}
}

func TestRefused(t *testing.T) {
	s, ctx := store(t), t.Context()
	for _, name := range []string{"", "../x", "20260302T023000Z", "20261302T023000Z-abcd", "20260302T023000Z-ABCD", "20260302T023000Z-ab/cd"} {
		if _, err := journal.Put(ctx, s, name, files(0), 5); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
	for _, file := range []string{"", ".x", "a/b", "a\nb"} {
		if _, err := journal.Put(ctx, s, run(0), append(files(0), content(file, "x")), 5); err == nil {
			t.Errorf("%q is taken for a file", file)
		}
	}
	if _, err := journal.Put(ctx, s, run(0), []journal.Content{content("report.json", "{}")}, 5); err == nil {
		t.Error("a run without a summary was put")
	}
	for _, index := range []string{
		`{"schema":"pantheros.reports/2","runs":[]}`,
		`{"schema":"pantheros.reports/1","runs":[{"name":"../../etc"}]}`,
		`{"schema":"pantheros.reports/1","runs":[{"name":"` + run(0) + `","files":[{"name":"../passwd"}]}]}`,
		`{"schema":"pantheros.reports/1","runs":[{"name":"` + run(0) + `","files":[{"name":"a","sha256":"beef"}]}]}`,
	} {
		if err := s.Put(ctx, journal.IndexKey, bytes.NewReader([]byte(index)), int64(len(index))); err != nil {
			t.Fatal(err)
		}
		if _, err := journal.ReadIndex(ctx, s); err == nil {
			t.Errorf("an index is taken: %s", index)
		}
	}
}
