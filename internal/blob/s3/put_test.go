package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/s3test"

	"github.com/google/go-cmp/cmp"
)

func TestPutNewHasOneWinner(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		for name, size := range map[string]int{"whole": 1000, "parts": 5<<20 + 1} {
			var winners atomic.Int32
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					data := strings.Repeat(string(rune('a'+i)), size)
					existed, err := b.store.PutNew(t.Context(), name, strings.NewReader(data), -1)
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if !existed {
						winners.Add(1)
					}
				})
			}
			wg.Wait()
			if n := winners.Load(); n != 1 {
				t.Errorf("%s: %d winners", name, n)
			}
			got, err := blob.ReadAll(t.Context(), b.store, name, 1<<30)
			if err != nil || len(got) != size || strings.Trim(string(got), string(got[:1])) != "" {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		// What is there is noticed before much of another is sent.
		b.proxy.Rule(nil)
		if existed, err := b.store.PutNew(t.Context(), "parts", strings.NewReader(large(11<<20)), -1); err != nil || !existed {
			t.Errorf("existed %v, %v", existed, err)
		}
		if diff := cmp.Diff([]string{"HEAD /" + b.bucket + "/parts"}, b.proxy.Seen()); diff != "" {
			t.Error(diff)
		}
		if names := b.server.Names(t, b.bucket); !slices.Equal(names, []string{"parts", "whole"}) {
			t.Errorf("in the bucket: %v", names)
		}
		if n := b.server.Uploads(t, b.bucket); n != 0 {
			t.Errorf("%d uploads left", n)
		}
	})
}

// Whether a server knows the condition is found out once, with as few requests
// as that takes.
func TestPutNewAsksOnce(t *testing.T) {
	refuse := func(status int, code string) func(int, *http.Request) s3test.Fault {
		return func(_ int, r *http.Request) s3test.Fault {
			if r.Header.Get("If-None-Match") != "" {
				return s3test.Fault{Status: status, Code: code}
			}
			return s3test.Fault{}
		}
	}
	ignore := func(int, *http.Request) s3test.Fault {
		return s3test.Fault{DropHeader: "If-None-Match"}
	}
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		for name, tt := range map[string]struct {
			rule      func(int, *http.Request) s3test.Fault
			anonymous bool // signed requests cannot be changed on the way
			probes    int
			later     int // requests of a second PutNew of something new
		}{
			"honours": {nil, false, 2, 1},
			"ignores": {ignore, true, 2, 2},
			"501":     {refuse(501, "NotImplemented"), false, 1, 2},
			"400":     {refuse(400, "InvalidArgument"), false, 1, 2},
		} {
			t.Run(name, func(t *testing.T) {
				b := newBehind(t, server)
				if tt.anonymous {
					b.server.Allow(t, b.bucket, "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket")
					b.store = open(t, "s3://"+b.bucket+"?public=true&scheme=http&endpoint="+b.proxy.Addr, impatient)
				}
				b.proxy.Rule(tt.rule)
				var wg sync.WaitGroup
				for i := range 4 {
					wg.Go(func() {
						key := fmt.Sprintf("k%d", i)
						for _, want := range []bool{false, true} {
							existed, err := b.store.PutNew(t.Context(), key, strings.NewReader(fmt.Sprint(want)), -1)
							if err != nil || existed != want {
								t.Errorf("%s: existed %v, %v", key, existed, err)
							}
						}
						b.want(t, key, "false")
					})
				}
				wg.Wait()
				if n := b.proxy.Count("PUT /" + b.bucket + "/.pcache-probe"); n != tt.probes {
					t.Errorf("%d probes, want %d", n, tt.probes)
				}
				b.proxy.Rule(tt.rule)
				if existed, err := b.store.PutNew(t.Context(), "last", strings.NewReader("x"), 1); err != nil || existed {
					t.Errorf("existed %v, %v", existed, err)
				}
				if n := len(b.proxy.Seen()); n != tt.later {
					t.Errorf("another one took %d requests, want %d: %v", n, tt.later, b.proxy.Seen())
				}
				b.proxy.Rule(nil)
				if names := b.server.Names(t, b.bucket); len(names) != 5 || strings.HasPrefix(names[0], ".") {
					t.Errorf("in the bucket: %v", names)
				}
			})
		}
	})
}

// An answer that is lost makes a second try see the first one's object.
func TestPutNewAfterALostAnswer(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		if _, err := b.store.PutNew(t.Context(), "first", strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		for key, size := range map[string]int{"whole": 10, "parts": 6 << 20} {
			data := large(size)
			n := 0
			b.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
				if r.Method == http.MethodPut && size == 10 || isComplete(r) {
					n++
					return s3test.Fault{Lost: n == 1}
				}
				return s3test.Fault{}
			})
			if existed, err := b.store.PutNew(t.Context(), key, strings.NewReader(data), -1); err != nil || existed {
				t.Errorf("%s: existed %v, %v", key, existed, err)
			}
			if n < 1 {
				t.Errorf("%s: the test lost no answer", key)
			}
			b.proxy.Rule(nil)
			b.want(t, key, data)
		}
	})
}

// slowly yields random pieces and counts.
type slowly struct {
	r    io.Reader
	rand *rand.Rand
}

func (s *slowly) Read(p []byte) (int, error) {
	return s.r.Read(p[:1+s.rand.IntN(len(p))])
}

// Many uploads at once, of all sizes, with room for hardly more than two parts:
// they must not wait for one another forever, and all must be right.
func TestManyUploadsInLittleMemory(t *testing.T) {
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	bucket := server.Bucket(t)
	store := open(t, server.Address(bucket), func(c *s3.Config) { c.PartSize, c.Buffer = 5<<20, 10<<20 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	whole := large(12 << 20)
	sizes := []int{0, 1, 600, 256<<10 - 1, 256 << 10, 256<<10 + 1, 700_000, 2 << 20, 5<<20 - 1, 5 << 20, 5<<20 + 1, 10 << 20, 12 << 20}
	var wg sync.WaitGroup
	for round := range 3 {
		for i, size := range sizes {
			for _, known := range []bool{false, true} {
				wg.Go(func() {
					data := whole[:size]
					length := int64(-1)
					if known {
						length = int64(size)
					}
					key := fmt.Sprintf("%d/%d-%v", round, size, known)
					source := &slowly{r: strings.NewReader(data), rand: rand.New(rand.NewPCG(uint64(round), uint64(i)))}
					if err := store.Put(ctx, key, source, length); err != nil {
						t.Errorf("%s: %v", key, err)
						return
					}
					got, err := blob.ReadAll(ctx, store, key, 1<<30)
					if err != nil || string(got) != data {
						t.Errorf("%s: %d bytes came back, %v", key, len(got), err)
					}
				})
			}
		}
	}
	wg.Wait()
	if n := server.Uploads(t, bucket); n != 0 {
		t.Errorf("%d uploads left", n)
	}
}

// writes is a source that writes itself and meets its error there.
type writes struct {
	pieces []string
	err    error
}

func (w *writes) Read([]byte) (int, error) { return 0, errors.New("it was read instead") }

func (w *writes) WriteTo(dst io.Writer) (int64, error) {
	var n int64
	for _, p := range w.pieces {
		m, err := io.WriteString(dst, p)
		n += int64(m)
		if err != nil {
			return n, errors.New("something else went wrong") // as a source may
		}
	}
	return n, w.err
}

func TestSourceThatWritesItself(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		data := large(6 << 20)
		if err := b.store.Put(t.Context(), "k", &writes{pieces: []string{data[:100], data[100 : 5<<20], data[5<<20:]}}, -1); err != nil {
			t.Fatal(err)
		}
		b.want(t, "k", data)
		broken := errors.New("the disk is broken")
		for _, pieces := range [][]string{nil, {"x"}, {data}} {
			if err := b.store.Put(t.Context(), "bad", &writes{pieces: pieces, err: broken}, -1); !errors.Is(err, broken) {
				t.Errorf("%v", err)
			}
		}
		// A part that fails ends the upload, with its own error.
		b.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
			if r.URL.Query().Get("partNumber") == "1" {
				return s3test.Fault{Status: 403, Code: "AccessDenied"}
			}
			return s3test.Fault{}
		})
		var refused *s3.Error
		if err := b.store.Put(t.Context(), "bad", &writes{pieces: []string{data, data, data, data, data}}, -1); !errors.As(err, &refused) || refused.Code != "AccessDenied" {
			t.Errorf("%v", err)
		}
		b.proxy.Rule(nil)
		if names := b.server.Names(t, b.bucket); !slices.Equal(names, []string{"k"}) {
			t.Errorf("visible: %v", names)
		}
		if n := b.server.Uploads(t, b.bucket); n != 0 {
			t.Errorf("%d uploads left", n)
		}
	})
}

func TestTooLarge(t *testing.T) {
	s3test.CleanEnviron(t)
	store, err := s3.New(s3.Config{Bucket: "bucket", PartSize: 5 << 20, Buffer: 20 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int64]string{6 << 40: "more than S3 holds", 1 << 40: "give it"} {
		if err := store.Put(t.Context(), "k", strings.NewReader(""), size); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", size, err)
		}
	}
	for _, c := range []s3.Config{{PartSize: 1}, {PartSize: 6 << 30}, {PartSize: 8 << 20, Buffer: 9 << 20}} {
		c.Bucket = "bucket"
		if _, err := s3.New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
