// Package blobtest holds the conformance suite that every blob.Store passes,
// and a store that fails on purpose.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
)

// Run runs the suite against stores that newStore makes, each empty.
func Run(t *testing.T, newStore func(t *testing.T) blob.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s blob.Store)
	}{
		{"RoundTrip", roundTrip},
		{"Absent", absent},
		{"Replace", replace},
		{"FailedPutLeavesNothing", failedPut},
		{"CancelledPutLeavesNothing", cancelledPut},
		{"WrongSize", wrongSize},
		{"List", list},
		{"ListStops", listStops},
		{"Delete", deleting},
		{"BadKeys", badKeys},
		{"ConcurrentPutsOfOneKey", concurrentPuts},
		{"ReadersSeeWholeObjects", wholeObjects},
		{"CancelledReads", cancelledReads},
		{"Digest", digest},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newStore(t)) })
	}
}

func put(t *testing.T, s blob.Store, key, data string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func get(t *testing.T, s blob.Store, key string) string {
	t.Helper()
	data, err := blob.ReadAll(t.Context(), s, key, 1<<30)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return string(data)
}

func keys(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	found := []string{}
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		found = append(found, info.Key)
	}
	return found
}

func random(n int) string {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = r.Read(b)
	return string(b)
}

// onlyReader hides every method but Read.
type onlyReader struct{ io.Reader }

// writesItself is a source as pipe.Reader is: it can be read, and it can write
// itself, and a store may do either.
type writesItself struct {
	io.Reader
	data string
}

func (w writesItself) WriteTo(dst io.Writer) (int64, error) {
	n, err := io.WriteString(dst, w.data)
	return int64(n), err
}

func roundTrip(t *testing.T, s blob.Store) {
	for _, size := range []int{0, 1, 4095, 1 << 20, 9<<20 + 7} {
		for _, known := range []bool{true, false} {
			key := fmt.Sprintf("nar/%d-%v.nar.zst", size, known)
			data := random(size)
			length := int64(-1)
			if known {
				length = int64(size)
			}
			if err := s.Put(t.Context(), key, onlyReader{strings.NewReader(data)}, length); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if get(t, s, key) != data {
				t.Errorf("%s: other bytes came back", key)
			}
			info, err := s.Stat(t.Context(), key)
			if err != nil || info.Key != key || info.Size != int64(size) || info.Modified.IsZero() {
				t.Errorf("%s: stat says %+v, %v", key, info, err)
			}
		}
	}
	for _, key := range []string{"a+b=c?d", "sha256:abc!out.doi", "sp ace", "ünï", "per%20cent", "a&b"} {
		put(t, s, "odd/"+key, key)
		if get(t, s, "odd/"+key) != key {
			t.Errorf("%q: other bytes came back", key)
		}
	}
}

func absent(t *testing.T, s blob.Store) {
	put(t, s, "dir/file", "x")
	for _, key := range []string{"nothing", "dir", "dir/file/below", "di"} {
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("stat %s: %v", key, err)
		}
		if _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("open %s: %v", key, err)
		}
	}
	if found := keys(t, s, "no/such/prefix"); len(found) != 0 {
		t.Errorf("listed %v", found)
	}
}

func replace(t *testing.T, s blob.Store) {
	put(t, s, "k", "long first content")
	put(t, s, "k", "second")
	if got := get(t, s, "k"); got != "second" {
		t.Errorf("got %q", got)
	}
}

var errSource = errors.New("the source broke")

func failedPut(t *testing.T, s blob.Store) {
	put(t, s, "old", "old content")
	for _, size := range []int64{-1, 6 << 20} {
		for _, key := range []string{"new", "old"} {
			broken := io.MultiReader(strings.NewReader(random(5<<20)), errorReader{})
			if err := s.Put(t.Context(), key, broken, size); !errors.Is(err, errSource) {
				t.Errorf("put %s from a source that breaks: %v", key, err)
			}
		}
	}
	if got := get(t, s, "old"); got != "old content" {
		t.Errorf("the object that was there is %d bytes now", len(got))
	}
	if found := keys(t, s, ""); !slices.Equal(found, []string{"old"}) {
		t.Errorf("left: %v", found)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errSource }

func cancelledPut(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &cancelAfter{cancel: cancel, left: 3 << 20}
	if err := s.Put(ctx, "k", r, -1); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if found := keys(t, s, ""); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
}

// cancelAfter is an endless source that cancels its reader.
type cancelAfter struct {
	cancel func()
	left   int
}

func (c *cancelAfter) Read(p []byte) (int, error) {
	if c.left -= len(p); c.left <= 0 {
		c.cancel()
	}
	return len(p), nil
}

func wrongSize(t *testing.T, s blob.Store) {
	for _, size := range []int64{0, 4, 6} {
		if err := s.Put(t.Context(), "k", onlyReader{strings.NewReader("12345")}, size); err == nil {
			t.Errorf("5 bytes were stored as %d", size)
		}
	}
	if found := keys(t, s, ""); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
}

func list(t *testing.T, s blob.Store) {
	all := []string{"a-b", "a.d/x", "a/b", "a/c/d", "a0", "b/1", "roots/yoga/1.json", "roots/yoga/2.json", "roots/yoga2/1.json"}
	for i := len(all) - 1; i >= 0; i-- {
		put(t, s, all[i], "x")
	}
	for _, prefix := range []string{"", "a", "a/", "a/c", "roots/yoga/", "roots/yoga", "roots/yoga/2", "roots", "z"} {
		want := []string{}
		for _, key := range all {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		slices.Sort(want)
		if got := keys(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("list %q:\ngot  %v\nwant %v", prefix, got, want)
		}
	}
}

func listStops(t *testing.T, s blob.Store) {
	for i := range 20 {
		put(t, s, fmt.Sprintf("k/%02d", i), "x")
	}
	n := 0
	for _, err := range s.List(t.Context(), "k/") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range s.List(ctx, "k/") {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("a cancelled list ends with %v", last)
	}
}

func deleting(t *testing.T, s blob.Store) {
	put(t, s, "a/b", "x")
	for range 2 {
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := s.Stat(t.Context(), "a/b"); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("after delete: %v", err)
	}
}

func badKeys(t *testing.T, s blob.Store) {
	for _, key := range []string{"", "/", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".hidden", "a/.b", "a\x00b", "a\nb", `a\b`, strings.Repeat("k", 2000)} {
		if err := s.Put(t.Context(), key, strings.NewReader("x"), 1); err == nil {
			t.Errorf("put %q", key)
		}
		if _, err := s.Open(t.Context(), key); err == nil {
			t.Errorf("open %q", key)
		}
		if _, err := s.Stat(t.Context(), key); err == nil {
			t.Errorf("stat %q", key)
		}
		if err := s.Delete(t.Context(), key); err == nil {
			t.Errorf("delete %q", key)
		}
	}
}

func concurrentPuts(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			data := strings.Repeat(string(rune('a'+i)), 100_000+i)
			if err := s.Put(t.Context(), "same/key", onlyReader{strings.NewReader(data)}, -1); err != nil {
				t.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	got := get(t, s, "same/key")
	if len(got) != 100_000+int(got[0]-'a') || strings.Trim(got, got[:1]) != "" {
		t.Errorf("a mixture of %d bytes", len(got))
	}
	if found := keys(t, s, ""); len(found) != 1 {
		t.Errorf("left: %v", found)
	}
}

func wholeObjects(t *testing.T, s blob.Store) {
	put(t, s, "k", strings.Repeat("0", 200_000))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; i < 30; i++ {
			put(t, s, "k", strings.Repeat(string(rune('0'+i)), 200_000))
		}
		close(stop)
	})
	for done := false; !done; {
		select {
		case <-stop:
			done = true
		default:
		}
		if got := get(t, s, "k"); len(got) != 200_000 || strings.Trim(got, got[:1]) != "" {
			t.Fatalf("a reader saw a mixture of %d bytes", len(got))
		}
	}
	wg.Wait()
}

func cancelledReads(t *testing.T, s blob.Store) {
	put(t, s, "k", random(8<<20))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); err == nil {
		t.Error("a cancelled reader went on to the end")
	}
	if _, err := s.Stat(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("stat: %v", err)
	}
}

func digest(t *testing.T, s blob.Store) {
	if err := s.Put(t.Context(), "k", writesItself{strings.NewReader("abc"), "abc"}, -1); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "k"); got != "abc" {
		t.Errorf("what wrote itself came back as %q", got)
	}
	d, ok := s.(blob.Digester)
	if !ok {
		return
	}
	sum, err := d.SHA256(t.Context(), "k")
	if err != nil || !bytes.HasPrefix(sum[:], []byte{0xba, 0x78, 0x16, 0xbf}) {
		t.Errorf("digest %x, %v", sum, err)
	}
	if _, err := d.SHA256(t.Context(), "absent"); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("digest of nothing: %v", err)
	}
}

// Benchmark measures a store with objects of the sizes that a cache has.
func Benchmark(b *testing.B, newStore func(b *testing.B) blob.Store) {
	for _, size := range []int{600, 60_000, 6_000_000} {
		data := random(size)
		b.Run(fmt.Sprintf("Put%d", size), func(b *testing.B) {
			s := newStore(b)
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				if err := s.Put(b.Context(), fmt.Sprintf("k/%d", i%64), strings.NewReader(data), int64(size)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("Get%d", size), func(b *testing.B) {
			s := newStore(b)
			if err := s.Put(b.Context(), "k", strings.NewReader(data), int64(size)); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := blob.ReadAll(b.Context(), s, "k", 1<<30); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
