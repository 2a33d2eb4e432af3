package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/s3test"

	"github.com/google/go-cmp/cmp"
)

// A body that never comes whole is an error, and not the end of the object.
func TestTruncatedBodies(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		data := large(300_000)
		b.put(t, "k", data)
		for name, f := range map[string]s3test.Fault{"truncated": {Truncate: 5000}, "cut": {CutBody: 5000}} {
			// Some of it comes each time: it is read on until it is whole.
			b.proxy.Rule(func(int, *http.Request) s3test.Fault {
				f := f
				if f.Truncate > 0 {
					f.Truncate = 70_000
				} else {
					f.CutBody = 70_000
				}
				return f
			})
			b.want(t, "k", data)
			if n := b.proxy.Count("GET"); n < 3 {
				t.Errorf("%s: it took %d requests only", name, n)
			}
			// Too little of it comes each time.
			b.proxy.Rule(func(int, *http.Request) s3test.Fault { return f })
			got, err := blob.ReadAll(t.Context(), b.store, "k", 1<<20)
			if err == nil {
				t.Errorf("%s: %d bytes were taken for %d", name, len(got), len(data))
			}
			if n := len(b.proxy.Seen()); n > 10 {
				t.Errorf("%s: %d requests", name, n)
			}
		}
	})
}

// An object that is replaced while it is read must not come back as a mixture.
func TestReplacedWhileRead(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		b.put(t, "k", strings.Repeat("a", 300_000))
		b.proxy.Rule(func(n int, _ *http.Request) s3test.Fault {
			if n == 1 {
				return s3test.Fault{CutBody: 70_000}
			}
			return s3test.Fault{}
		})
		r, err := b.store.Open(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b.server.Put(t, b.bucket, "k", strings.Repeat("b", 300_000), "", "")
		got, err := io.ReadAll(r)
		if err == nil || bytes.ContainsRune(got, 'b') {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// The last request of an upload in parts is where servers say OK too early.
func TestCompleteThatLies(t *testing.T) {
	failed := `<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>`
	denied := `<?xml version="1.0"?><Error><Code>EntityTooSmall</Code><Message>no</Message></Error>`
	eachBehind(t, func(t *testing.T, b *behind) {
		data := large(6 << 20)
		for name, tt := range map[string]struct {
			first, always s3test.Fault
			want          string // of the error; empty: none
		}{
			"error once":                {first: s3test.Fault{Status: 200, Body: &failed}},
			"error once, but it did it": {first: s3test.Fault{Replace: &failed}},
			"answer lost":               {first: s3test.Fault{Lost: true}},
			"garbage, but it did it":    {first: s3test.Fault{Replace: new("<html>oops</html>")}},
			"always an error":           {always: s3test.Fault{Status: 200, Body: &failed}, want: "InternalError"},
			"refusal":                   {always: s3test.Fault{Status: 400, Body: &denied}, want: "EntityTooSmall"},
		} {
			n := 0
			b.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
				if !isComplete(r) {
					return s3test.Fault{}
				}
				if n++; n == 1 && tt.want == "" {
					return tt.first
				}
				return tt.always
			})
			err := b.store.Put(t.Context(), "k", strings.NewReader(data), -1)
			b.proxy.Rule(nil)
			if tt.want == "" {
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				b.want(t, "k", data)
			} else {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: %v", name, err)
				}
				if names := b.server.Names(t, b.bucket); len(names) != 0 {
					t.Errorf("%s: visible are %v", name, names)
				}
			}
			if n := b.server.Uploads(t, b.bucket); n != 0 {
				t.Errorf("%s: %d uploads left", name, n)
			}
			if err := b.store.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
		// The server kept less than was sent.
		b.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
			if r.Method == http.MethodHead {
				return s3test.Fault{SetHeader: map[string]string{"Content-Length": "5242880"}}
			}
			return s3test.Fault{}
		})
		if err := b.store.Put(t.Context(), "k", strings.NewReader(data), -1); err == nil || !strings.Contains(err.Error(), "the server has 5242880") {
			t.Errorf("a part was lost: %v", err)
		}
	})
}

// Answers without what every S3 server says are of something else.
func TestNotAnS3Server(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		b.put(t, "k", "x")
		b.proxy.Rule(func(int, *http.Request) s3test.Fault { return s3test.Fault{SetHeader: map[string]string{"ETag": ""}} })
		if err := b.store.Put(t.Context(), "k", strings.NewReader("y"), 1); err == nil || !strings.Contains(err.Error(), "ETag") {
			t.Errorf("put: %v", err)
		}
		if _, err := b.store.Open(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "ETag") {
			t.Errorf("open: %v", err)
		}
		// Everything is absent at an address where there is no bucket.
		nothing := "<html>404</html>"
		b.store = open(t, "s3://"+b.bucket+"?scheme=http&endpoint="+b.proxy.Addr, impatient)
		b.proxy.Rule(func(int, *http.Request) s3test.Fault { return s3test.Fault{Status: 404, Body: &nothing} })
		if _, err := b.store.Open(t.Context(), "k"); err == nil || errors.Is(err, blob.ErrNotExist) || !strings.Contains(err.Error(), "NoSuchBucket") {
			t.Errorf("open: %v", err)
		}
	})
}

// A listing that is old is a listing. What it says is asked for by name.
func TestStaleListing(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		b.put(t, "old", "x")
		b.list(t, "")
		b.put(t, "new", "x")
		if err := b.store.Delete(t.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		b.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
			return s3test.Fault{Stale: r.URL.Query().Get("list-type") != ""}
		})
		if diff := cmp.Diff([]string{"old"}, b.list(t, "")); diff != "" {
			t.Fatalf("the test's own listing is not stale: %s", diff)
		}
		if _, err := b.store.Stat(t.Context(), "old"); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("old: %v", err)
		}
		if _, err := b.store.Stat(t.Context(), "new"); err != nil {
			t.Errorf("new: %v", err)
		}
	})
}

// A listing of several pages goes on where it broke, and says so if it cannot.
func TestListingThatBreaks(t *testing.T) {
	eachBehind(t, func(t *testing.T, b *behind) {
		var want []string
		for i := range 2100 {
			want = append(want, fmt.Sprintf("k/%04d", i))
		}
		b.server.Fill(t, b.bucket, want)
		b.server.Put(t, b.bucket, "k/.hidden", "", "", "") // not a key of ours
		b.proxy.Rule(every(2, s3test.Fault{Status: 503, Code: "SlowDown"}))
		if diff := cmp.Diff(want, b.list(t, "k/")); diff != "" {
			t.Error(diff)
		}
		for name, f := range map[string]s3test.Fault{
			"always 503":    {Status: 503, Code: "SlowDown"},
			"error with OK": {Replace: new("<Error><Code>InternalError</Code></Error>")},
			"garbage":       {Replace: new("<html></html>")},
			"truncated":     {Truncate: 5000},
			"cut":           {CutBody: 5000},
			"backwards":     {Replace: new(`<ListBucketResult><Contents><Key>k/b</Key></Contents><Contents><Key>k/a</Key></Contents></ListBucketResult>`)},
			"elsewhere":     {Replace: new(`<ListBucketResult><Contents><Key>other/b</Key></Contents></ListBucketResult>`)},
			"endless":       {Replace: new(`<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken><Contents><Key>k/a</Key></Contents></ListBucketResult>`)},
		} {
			pages := 0
			b.proxy.Rule(func(int, *http.Request) s3test.Fault {
				if pages++; pages < 2 {
					return s3test.Fault{}
				}
				return f
			})
			var last error
			n := 0
			for info, err := range b.store.List(t.Context(), "k/") {
				if last = err; err == nil {
					if n++; n <= len(want) && name != "backwards" && name != "endless" && info.Key != want[n-1] {
						t.Fatalf("%s: key %d is %s", name, n, info.Key)
					}
				}
			}
			if last == nil {
				t.Errorf("%s: after %d keys the listing ends as if that were all", name, n)
			}
			if n := len(b.proxy.Seen()); n > 12 || n > 3 && (name == "backwards" || name == "elsewhere" || name == "endless") {
				t.Errorf("%s: %d requests", name, n)
			}
		}
	})
}
