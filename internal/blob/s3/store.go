// Package s3 is a blob.Store in a bucket: Amazon's, or that of another server
// that speaks its protocol.
//
// Everything that goes up is in memory first, in parts from a bounded budget,
// so that every request can be sent again; every request is tried again while
// that can help, and bounded by a limit that follows the server's complaints.
//
// A Store is no blob.Digester: S3 tells the SHA-256 of an object only if it
// went up in one piece. For a large one it has a hash of its parts' hashes.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Store keeps each object under its key below the prefix.
type Store struct {
	config      Config
	region      string
	chain       *chain
	credentials *credentials.Credentials
	transport   *remote.Transport
	client      *minio.Client
	core        minio.Core
	budget      *budget
	meter       remote.Meter
	verify      bool // uploads have their hash with them

	bucketMu   sync.Mutex
	bucketSeen atomic.Int64 // when the bucket was last known to exist and to be open to us, Unix nanoseconds; 0: never

	noResume  atomic.Bool // the server does not tell of unfinished uploads
	restartMu sync.Mutex
	restarts  map[string]bool // keys whose next upload is to be a new one

	createMu   sync.Mutex
	createOnly *bool // whether the server honours If-None-Match; nil: not asked
}

var (
	_ blob.Store   = (*Store)(nil)
	_ blob.Creator = (*Store)(nil)
	_ blob.Uplink  = (*Store)(nil)
)

// New prepares a store. Nothing is asked of the server before the first
// operation, and no credentials are looked for.
func New(c Config) (*Store, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	roots, err := remote.Roots(c.CAFile, getenv, "AWS_CA_BUNDLE", "NIX_SSL_CERT_FILE")
	if err != nil {
		return nil, err
	}
	host := c.Endpoint
	if host == "" {
		host = "s3.amazonaws.com"
	}
	lookup := minio.BucketLookupAuto
	switch c.Addressing {
	case "path":
		lookup = minio.BucketLookupPath
	case "virtual":
		if lookup = minio.BucketLookupDNS; !c.HTTP && strings.Contains(c.Bucket, ".") {
			return nil, fmt.Errorf("bucket %s: no certificate covers a host name with the dots of its name: say addressing-style=path", c.Bucket)
		}
	}
	s := &Store{config: c, budget: newBudget(c.Buffer, c.PartSize)}
	s.verify = c.VerifyUploads || c.HTTP && !remote.Loopback(host)
	s.chain = &chain{config: c, getenv: getenv, timeout: time.Minute, retry: remote.Retry{Attempts: 4, Base: c.Retry.Base}}
	s.transport = remote.NewTransport(remote.TransportOptions{Roots: roots, Stall: c.Stall, Requests: c.Requests, Dial: c.dial})
	s.chain.client = &http.Client{Transport: s.transport, Timeout: 30 * time.Second}
	s.credentials = credentials.New(s.chain)
	options := &minio.Options{
		Creds:        s.credentials,
		Secure:       !c.HTTP,
		Transport:    &wire{next: s.transport},
		BucketLookup: lookup,
		MaxRetries:   1, // trying again is done here
	}
	probe, err := minio.New(host, options)
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %v", host, err)
	}
	s.chain.amazon = s3utils.IsAmazonEndpoint(*probe.EndpointURL())
	if s.region, err = regionOf(c, s.chain.amazon, getenv); err != nil {
		return nil, err
	}
	// A region that is known is not asked for.
	s.chain.region, options.Region = s.region, s.region
	if s.client, err = minio.New(host, options); err != nil {
		return nil, fmt.Errorf("endpoint %s: %v", host, err)
	}
	s.core = minio.Core{Client: s.client}
	return s, nil
}

// The client sleeps after a failure even when it is not to try again itself.
// This variable, which is all that the client offers for it, is nobody else's:
// no other package uses the client.
func init() { minio.DefaultRetryUnit = time.Microsecond }

// Close ends idle connections.
func (s *Store) Close() { s.transport.Close() }

// String is the bucket's address, without credentials.
func (s *Store) String() string { return s.config.String() }

// name is the key in the bucket.
func (s *Store) name(key string) string {
	if s.config.Prefix == "" {
		return key
	}
	return s.config.Prefix + "/" + key
}

// object names an object, or all of them ("*"), in messages.
func (s *Store) object(key string) string { return "s3://" + s.config.Bucket + "/" + s.name(key) }

// do makes a request until it succeeds or there is no more hope.
func (s *Store) do(ctx context.Context, op, key string, k kind, request func(ctx context.Context) error) error {
	return s.config.Retry.Do(ctx, func(ctx context.Context) error {
		ctx, x := withExchange(ctx, k)
		return s.judge(ctx, op, key, request(ctx), x)
	})
}

// Open starts to read an object. A connection that breaks is replaced by
// another, which goes on where the first was, of the same version of the
// object.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	var body io.ReadCloser
	var info minio.ObjectInfo
	var encoding string
	err := s.do(ctx, "get", key, anObject, func(ctx context.Context) (err error) {
		var header http.Header
		body, info, header, err = s.core.GetObject(ctx, s.config.Bucket, s.name(key), minio.GetObjectOptions{})
		if err == nil && info.ETag == "" {
			body.Close()
			return errNoETag
		}
		encoding = header.Get("Content-Encoding")
		return err
	})
	if err != nil {
		return nil, s.absent(ctx, err)
	}
	b := remote.NewBody(ctx, body, info.Size, s.config.Retry, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return s.openFrom(ctx, key, offset, info)
	})
	return remote.Decode(key, encoding, &namedBody{Body: b, name: s.object(key)})
}

// errNoETag is an answer that no S3 server gives.
var errNoETag = errors.New("the answer has no ETag, so it is not from an S3 server")

// namedBody says in its errors what was read.
type namedBody struct {
	*remote.Body
	name string
}

func (b *namedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read %s: %w", b.name, err)
	}
	return n, err
}

// openFrom opens the same version of an object at an offset.
func (s *Store) openFrom(ctx context.Context, key string, offset int64, was minio.ObjectInfo) (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if offset > 0 {
		if err := o.SetRange(offset, 0); err != nil {
			return nil, err
		}
	}
	if err := o.SetMatchETag(was.ETag); err != nil {
		return nil, err
	}
	ctx, x := withExchange(ctx, anObject)
	body, info, _, err := s.core.GetObject(ctx, s.config.Bucket, s.name(key), o)
	if err != nil {
		return nil, s.judge(ctx, "get", key, err, x)
	}
	if info.ETag != was.ETag || offset > 0 && x.status != http.StatusPartialContent || was.Size >= 0 && info.Size != was.Size-offset {
		body.Close()
		return nil, &Error{Op: "get", Object: s.object(key), Err: errors.New("it was changed while it was read")}
	}
	return body, nil
}

// Stat asks for an object's size.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}
	info, err := s.stat(ctx, key)
	if err != nil {
		return blob.Info{}, s.absent(ctx, err)
	}
	return blob.Info{Key: key, Size: info.Size, Modified: info.LastModified}, nil
}

func (s *Store) stat(ctx context.Context, key string) (info minio.ObjectInfo, err error) {
	err = s.config.Retry.Do(ctx, func(ctx context.Context) error {
		inner, x := withExchange(ctx, aDocument)
		info, err = s.client.StatObject(inner, s.config.Bucket, s.name(key), minio.StatObjectOptions{})
		if err == nil && (info.ETag == "" || info.Size < 0) {
			err = errNoETag
		}
		err = s.judge(inner, "stat", key, err, x)
		if err != nil && (x.status == http.StatusForbidden || x.status == http.StatusBadRequest) {
			return s.explain(ctx, key, err)
		}
		return err
	})
	return info, err
}

// explain finds out why a HEAD was refused: its answer has no body to say so. A
// GET of the same is refused for the same reason, and says it.
func (s *Store) explain(ctx context.Context, key string, refusal error) error {
	ctx, x := withExchange(ctx, anObject)
	var o minio.GetObjectOptions
	if err := o.SetRange(0, 1); err != nil {
		return refusal
	}
	body, _, _, err := s.core.GetObject(ctx, s.config.Bucket, s.name(key), o)
	if err == nil {
		body.Close()
		return refusal
	}
	return s.judge(ctx, "stat", key, err, x)
}

// proofTime is for how long an answer that only this bucket gives proves that
// it is there and that the credentials hold.
const proofTime = 5 * time.Second

// proven notes such an answer.
func (s *Store) proven() { s.bucketSeen.Store(time.Now().UnixNano()) }

func (s *Store) isProven() bool {
	seen := s.bucketSeen.Load()
	return seen != 0 && time.Since(time.Unix(0, seen)) < proofTime
}

// absent makes sure, where an object is not there and the answer does not say
// that it is the object that is missing (wire does), that its bucket is there:
// in a misspelt bucket, or at an address that is no S3 server at all, everything
// is missing; and versitygw says so of everything when it does not know the key,
// as after a key was revoked. An answer of the last seconds proves it.
// It asks for a listing, because that answer has a body to say what is wrong.
func (s *Store) absent(ctx context.Context, err error) error {
	if !errors.Is(err, blob.ErrNotExist) {
		return err
	}
	if s.isProven() {
		return err
	}
	s.bucketMu.Lock()
	defer s.bucketMu.Unlock()
	if s.isProven() {
		return err
	}
	asked := s.do(ctx, "list", "", aListing, func(ctx context.Context) error {
		for object := range s.client.ListObjectsIter(ctx, s.config.Bucket, minio.ListObjectsOptions{
			Prefix: s.name(""), Recursive: true, MaxKeys: 1, FetchOwner: new(false),
		}) {
			return object.Err
		}
		return ctx.Err()
	})
	var refused *Error
	if asked == nil || errors.As(asked, &refused) && refused.Status == http.StatusForbidden {
		s.proven() // a bucket that may not be listed is there
		return err
	}
	return asked
}

// List asks for pages of 1,000 keys. When a page fails for good the sequence
// ends with the error; what has come is right. Keys that no Store could hold,
// such as the markers that some tools make for folders, are left out.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		l := &listing{store: s, prefix: prefix, yield: yield}
		for !l.done {
			came := l.last
			var again *remote.TemporaryError
			err := s.config.Retry.Do(ctx, func(ctx context.Context) error {
				err := l.pages(ctx)
				if again = nil; errors.As(err, &again) && l.last != came {
					return nil // there was progress: as many tries again
				}
				return err
			})
			if again != nil && l.last != came && !l.done {
				continue
			}
			if err != nil && !l.done {
				yield(blob.Info{}, err)
			}
			return
		}
	}
}

type listing struct {
	store  *Store
	prefix string
	yield  func(blob.Info, error) bool
	last   string // the last name that came, where another try goes on
	done   bool   // the receiver wants no more
}

// pages yields from after the last name on, until the end or an error.
func (l *listing) pages(ctx context.Context) error {
	s := l.store
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, x := withExchange(ctx, aListing)
	if err := ctx.Err(); err != nil {
		return s.judge(ctx, "list", l.prefix, err, x)
	}
	below := s.name("")
	for object := range s.client.ListObjectsIter(ctx, s.config.Bucket, minio.ListObjectsOptions{
		Prefix: s.name(l.prefix), Recursive: true, StartAfter: l.last, MaxKeys: 1000, FetchOwner: new(false),
	}) {
		if object.Err != nil {
			return s.judge(ctx, "list", l.prefix, object.Err, x)
		}
		if object.Key <= l.last || !strings.HasPrefix(object.Key, s.name(l.prefix)) {
			return &Error{Op: "list", Object: s.object(l.prefix), Err: fmt.Errorf("the listing has %q where it does not belong; it cannot be relied on", remote.Printable(object.Key))}
		}
		l.last = object.Key
		key := strings.TrimPrefix(object.Key, below)
		if blob.CheckKey(key) != nil {
			continue
		}
		if !l.yield(blob.Info{Key: key, Size: object.Size, Modified: object.LastModified}, nil) {
			l.done = true
			return nil
		}
	}
	// The iterator also ends, without a word, when ctx does.
	return s.judge(ctx, "list", l.prefix, ctx.Err(), x)
}

// Delete removes an object. In a bucket with versions it hides it.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	err := s.do(ctx, "delete", key, aDocument, func(ctx context.Context) error {
		return s.client.RemoveObject(ctx, s.config.Bucket, s.name(key), minio.RemoveObjectOptions{})
	})
	if err = s.absent(ctx, err); errors.Is(err, blob.ErrNotExist) {
		return nil
	}
	return err
}

// Requests is how many requests may wait for their answer at present.
func (s *Store) Requests() int { return s.transport.Limiter().Limit() }

// Uplink is how fast the link to the server has lately taken uploads, in bytes
// per second. 0: not known yet.
func (s *Store) Uplink() float64 { return s.meter.Rate() }

// Uploaded is how many bytes of objects the link has taken in all.
func (s *Store) Uploaded() int64 { return s.meter.Taken() }
