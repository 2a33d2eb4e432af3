package s3_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/s3test"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// parts counts the parts that went up since the last Rule. One that a busy
// machine had to send twice is one.
func (b *behind) parts() int {
	sent := make(map[string]bool)
	for _, line := range b.proxy.Seen() {
		method, uri, _ := strings.Cut(line, " ")
		if u, err := url.Parse(uri); err == nil && method == http.MethodPut && u.Query().Has("partNumber") {
			sent[u.Query().Get("partNumber")] = true
		}
	}
	return len(sent)
}

// cut begins an upload of eight parts, whose network goes after some of them.
func (b *behind) cut(t *testing.T, key, data string, after int) {
	t.Helper()
	var n atomic.Int64
	b.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
		if r.Method == http.MethodPut && r.URL.Query().Has("partNumber") && n.Add(1) <= int64(after) || n.Load() == 0 {
			return s3test.Fault{}
		}
		return s3test.Fault{Reset: true}
	})
	if err := b.store.Put(t.Context(), key, strings.NewReader(data), -1); err == nil {
		t.Fatal("an upload whose network went succeeded")
	}
	b.proxy.Rule(nil)
	if n := b.server.Uploads(t, b.bucket); n != 1 {
		t.Fatalf("%d uploads were left, want 1", n)
	}
}

const (
	partSize = 5 << 20
	eight    = 7*partSize + 1000
)

func (b *behind) direct(t *testing.T) minio.Core {
	t.Helper()
	client, err := minio.New(b.server.Addr, &minio.Options{Creds: credentials.NewStaticV4(b.server.AccessKey, b.server.SecretKey, ""), Region: "us-east-1", Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return minio.Core{Client: client}
}

// again is a store as another process of the same machine would have it.
func (b *behind) again(t *testing.T) *behind {
	c := *b
	c.store = open(t, "s3://"+b.bucket+"?scheme=http&endpoint="+b.proxy.Addr, impatient, state(b.state))
	return &c
}

func state(dir string) func(*s3.Config) { return func(c *s3.Config) { c.State = dir } }

// eachResuming is eachBehind with a folder for locks.
func eachResuming(t *testing.T, test func(t *testing.T, b *behind)) {
	eachBehind(t, func(t *testing.T, b *behind) {
		b.state = filepath.Join(t.TempDir(), "state")
		test(t, b.again(t))
	})
}

func TestUploadGoesOn(t *testing.T) {
	eachResuming(t, func(t *testing.T, b *behind) {
		data := large(eight)
		b.cut(t, "nar/x", data, 6)
		b = b.again(t)
		existed, err := b.store.PutNew(t.Context(), "nar/x", strings.NewReader(data), -1)
		if err != nil || existed {
			t.Fatalf("existed %v, %v", existed, err)
		}
		if n := b.parts(); n < 1 || n > 4 {
			t.Errorf("%d of 8 parts were sent, 6 had arrived or nearly so", n)
		}
		b.want(t, "nar/x", data)
		if n := b.server.Uploads(t, b.bucket); n != 0 {
			t.Errorf("%d uploads are left", n)
		}
	})
}

// Parts of other bytes do not get into the object.
func TestUploadOfOtherBytesGoesOn(t *testing.T) {
	eachResuming(t, func(t *testing.T, b *behind) {
		data := large(eight)
		b.cut(t, "nar/x", data, 6)
		b = b.again(t)
		// The first two parts are the same, in the others a byte differs; and
		// there are fewer.
		other := []byte(data[:5*partSize+17])
		for i := 2 * partSize; i < len(other); i += partSize {
			other[i] ^= 1
		}
		if err := b.store.Put(t.Context(), "nar/x", bytes.NewReader(other), -1); err != nil {
			t.Fatal(err)
		}
		if n := b.parts(); n < 4 {
			t.Errorf("%d parts were sent, 4 differ", n)
		}
		b.want(t, "nar/x", string(other))
	})
}

// A source that fails leaves nothing to go on with, and neither does an upload
// that has hardly begun.
func TestUploadsThatAreTakenBack(t *testing.T) {
	eachResuming(t, func(t *testing.T, b *behind) {
		broken := errors.New("the disk is broken")
		source := &failing{data: large(eight), err: broken}
		if err := b.store.Put(t.Context(), "nar/x", source, -1); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		b.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
			if r.URL.Query().Has("partNumber") {
				cancel()
			}
			return s3test.Fault{}
		})
		if err := b.store.Put(ctx, "nar/y", strings.NewReader(large(eight)), -1); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if n := b.server.Uploads(t, b.bucket); n != 0 {
			t.Errorf("%d uploads are left", n)
		}
	})
}

type failing struct {
	data string
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.data == "" {
		return 0, f.err
	}
	n := copy(p, f.data)
	f.data = f.data[n:]
	return n, nil
}

// Whatever another process does to the same upload, nothing wrong is completed,
// and the next try succeeds.
func TestUploadsThatOthersDisturb(t *testing.T) {
	data := large(eight)
	for name, c := range map[string]struct {
		disturb func(ctx context.Context, core minio.Core, bucket, id string) error
		existed bool
	}{
		"another's bytes in a part": {disturb: func(ctx context.Context, core minio.Core, bucket, id string) error {
			other := strings.Repeat("other bytes ", partSize/12+1)[:partSize]
			_, err := core.PutObjectPart(ctx, bucket, "nar/x", id, 2, strings.NewReader(other), partSize, minio.PutObjectPartOptions{})
			return err
		}},
		"taken back": {disturb: func(ctx context.Context, core minio.Core, bucket, id string) error {
			return core.AbortMultipartUpload(ctx, bucket, "nar/x", id)
		}},
		"completed": {existed: true, disturb: func(ctx context.Context, core minio.Core, bucket, id string) error {
			var parts []minio.CompletePart
			for i := range 8 {
				piece := data[i*partSize : min((i+1)*partSize, len(data))]
				p, err := core.PutObjectPart(ctx, bucket, "nar/x", id, i+1, strings.NewReader(piece), int64(len(piece)), minio.PutObjectPartOptions{})
				if err != nil {
					return err
				}
				parts = append(parts, minio.CompletePart{PartNumber: i + 1, ETag: p.ETag})
			}
			_, err := core.CompleteMultipartUpload(ctx, bucket, "nar/x", id, parts, minio.PutObjectOptions{})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			eachResuming(t, func(t *testing.T, b *behind) {
				for _, when := range []string{"before the last part", "before it is completed"} {
					b.proxy.Rule(nil)
					if err := b.store.Delete(t.Context(), "nar/x"); err != nil {
						t.Fatal(err)
					}
					b.cut(t, "nar/x", data, 5)
					b := b.again(t)
					core := b.direct(t)
					var once sync.Once
					b.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
						q := r.URL.Query()
						if id := q.Get("uploadId"); id != "" && (r.Method == http.MethodPost || q.Has("partNumber") && when == "before the last part") && r.Method != http.MethodGet {
							once.Do(func() {
								if err := c.disturb(context.Background(), core, b.bucket, id); err != nil {
									t.Errorf("disturb: %v", err)
								}
							})
						}
						return s3test.Fault{}
					})
					existed, err := b.store.PutNew(t.Context(), "nar/x", strings.NewReader(data), -1)
					if errors.Is(err, blob.ErrAgain) {
						existed, err = b.store.PutNew(t.Context(), "nar/x", strings.NewReader(data), -1)
					}
					// A server may take a second completion of the same parts
					// for the first one.
					same := c.existed && when == "before it is completed"
					if err != nil || existed != c.existed && !same {
						t.Errorf("%s: existed %v, %v", when, existed, err)
					}
					b.want(t, "nar/x", data)
				}
			})
		})
	}
}

// Two that find the same upload, and two that begin at the same time, all store
// the same object.
func TestUploadsAtOnce(t *testing.T) {
	eachResuming(t, func(t *testing.T, b *behind) {
		data := large(eight)
		b.cut(t, "nar/x", data, 5)
		var wg sync.WaitGroup
		for range 3 {
			b := b.again(t)
			wg.Go(func() {
				for try := 1; ; try++ {
					_, err := b.store.PutNew(t.Context(), "nar/x", strings.NewReader(data), -1)
					if err == nil {
						return
					}
					if !errors.Is(err, blob.ErrAgain) || try == 4 {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		b.want(t, "nar/x", data)
	})
}

// A server that does not tell of unfinished uploads is not asked twice.
func TestUploadsThatAreNotTold(t *testing.T) {
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	b := newBehind(t, server)
	for name, fault := range map[string]s3test.Fault{
		"forbidden":       {Status: 403, Code: "AccessDenied"},
		"not implemented": {Status: 501, Code: "NotImplemented"},
		"a web page":      {Status: 200, Body: new("<html><body>please log in</body></html>")},
		"nonsense":        {Status: 200, Body: new("nonsense")},
	} {
		b := b.again(t)
		b.proxy.Rule(func(_ int, r *http.Request) s3test.Fault {
			if r.Method == http.MethodGet && (r.URL.Query().Has("uploads") || r.URL.Query().Has("uploadId")) {
				return fault
			}
			return s3test.Fault{}
		})
		data := large(partSize + 100)
		b.put(t, "nar/one", data)
		b.put(t, "nar/two", data)
		b.want(t, "nar/two", data)
		asked := 0
		for _, line := range b.proxy.Seen() {
			if strings.HasPrefix(line, "GET ") && strings.Contains(line, "uploads=") {
				asked++
			}
		}
		if fault.Status >= 400 && asked != 1 || asked == 0 {
			t.Errorf("%s: asked %d times", name, asked)
		}
	}
}

// Of an upload that another machine began this one knows nothing: it leaves it
// alone while parts may still come to it, and goes on with it later.
func TestUploadOfAnotherMachine(t *testing.T) {
	eachResuming(t, func(t *testing.T, b *behind) {
		data := large(eight)
		b.cut(t, "nar/x", data, 6)
		sent := func(idle time.Duration) int {
			b := *b
			b.store = open(t, "s3://"+b.bucket+"?scheme=http&endpoint="+b.proxy.Addr, impatient, func(c *s3.Config) { c.SetIdle(idle) })
			b.proxy.Rule(nil)
			if err := b.store.Put(t.Context(), "nar/x", strings.NewReader(data), -1); err != nil {
				t.Fatal(err)
			}
			b.want(t, "nar/x", data)
			return b.parts()
		}
		if n := sent(time.Hour); n != 8 {
			t.Errorf("%d of 8 parts were sent while the upload seemed alive", n)
		}
		if n := sent(-time.Minute); n < 1 || n > 4 {
			t.Errorf("%d of 8 parts were sent, 6 had arrived or nearly so", n)
		}
	})
}

// A lock that names no upload of this server, or nonsense, is overlooked.
func TestUploadLocksThatLie(t *testing.T) {
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	b := newBehind(t, server)
	b.state = t.TempDir()
	for _, lie := range []string{"", "no-such-upload", "\x00\n", strings.Repeat("x", 10000)} {
		b := b.again(t)
		data := large(eight)
		b.cut(t, "nar/x", data, 5)
		locks, err := filepath.Glob(b.state + "/*")
		if err != nil || len(locks) != 1 {
			t.Fatalf("locks %v, %v", locks, err)
		}
		if err := os.WriteFile(locks[0], []byte(lie), 0o600); err != nil {
			t.Fatal(err)
		}
		b = b.again(t)
		if err := b.store.Put(t.Context(), "nar/x", strings.NewReader(data), -1); err != nil {
			t.Fatal(err)
		}
		b.want(t, "nar/x", data)
		if locks, _ = filepath.Glob(b.state + "/*"); len(locks) != 0 {
			t.Errorf("locks are left: %v", locks)
		}
		b.takeBack(t)
	}
}

// takeBack takes back all unfinished uploads of nar/x.
func (b *behind) takeBack(t *testing.T) {
	t.Helper()
	core := b.direct(t)
	listed, err := core.ListMultipartUploads(t.Context(), b.bucket, "nar/x", "", "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range listed.Uploads {
		if err := core.AbortMultipartUpload(t.Context(), b.bucket, u.Key, u.UploadID); err != nil {
			t.Fatal(err)
		}
	}
}
