package s3

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// Put sends what fits into one part in one request, and more in several at
// once, of which nothing is visible before the last request puts them
// together. An upload whose source fails, or of which little has arrived, is
// taken back. What else is cut off stays on the server, invisible, and the next
// Put of the key goes on with it; if none comes it costs room until the bucket's
// lifecycle rule removes it (docs/s3.md).
func (s *Store) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	_, err := s.put(ctx, key, r, size, false)
	return err
}

func (s *Store) put(ctx context.Context, key string, r io.Reader, size int64, onlyNew bool) (existed bool, err error) {
	if err := blob.CheckKey(key); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	u := &upload{store: s, ctx: ctx, key: key, size: size, onlyNew: onlyNew}
	u.source, _ = r.(blob.Digested)
	defer u.close()
	if u.partSize, err = s.config.plan(size); err != nil {
		return false, fmt.Errorf("put %s: %w", s.object(key), err)
	}
	if _, err := io.Copy(u, r); errors.Is(u.err, errExists) {
		u.useless.Store(true)
		return true, nil
	} else if u.err != nil {
		u.broken = true
		return false, u.err // through whatever the source made of it
	} else if err != nil {
		u.broken = u.ctx.Err() != nil
		return false, fmt.Errorf("put %s: %w", s.object(key), err)
	}
	if size >= 0 && u.n != size {
		return false, fmt.Errorf("put %s: got %d bytes of %d", s.object(key), u.n, size)
	}
	if existed, err = u.finish(); errors.Is(err, errExists) {
		u.useless.Store(true)
		return true, nil
	}
	u.broken = err != nil
	return existed, err
}

// equalParts is how many parts of an object of unknown size are of one size.
// Cloudflare's R2 wants all parts equal, but for the last: half of the parts
// that there may be, 39 GiB if they have 8 MiB, can be had there.
const equalParts = maxParts / 2

// plan chooses the size of the parts, so that there are not too many. Those of
// an object of unknown size that turns out very large grow, by half a thousand.
func (c *Config) plan(size int64) (func(number int) int64, error) {
	largest := min(maxPart, c.Buffer-c.PartSize)
	if size < 0 {
		return func(number int) int64 {
			if number <= equalParts {
				return c.PartSize
			}
			return min(c.PartSize<<((number-1-equalParts)/500+1), largest)
		}, nil
	}
	if size > maxObject {
		return nil, fmt.Errorf("%d bytes are more than S3 holds in an object", size)
	}
	part := max(c.PartSize, (size+maxParts-1)/maxParts)
	if part > largest {
		return nil, fmt.Errorf("%d bytes need parts of %d, and the buffer allows for %d: give it %d", size, part, largest, part+c.PartSize)
	}
	return func(int) int64 { return part }, nil
}

// upload takes an object's bytes and sends them. It is written to by one
// goroutine.
type upload struct {
	store    *Store
	ctx      context.Context
	key      string
	size     int64 // -1: not known
	onlyNew  bool
	source   blob.Digested // nil: it is none
	partSize func(number int) int64

	n   int64 // bytes that came
	cur *part // being filled
	err error // of the upload, not of the source

	// Of an upload in parts:
	broken  bool        // it failed, and its source did not
	useless atomic.Bool // nobody is to go on with it
	done    bool        // put together
	started int         // parts
	group   *errgroup.Group
	sending context.Context // ends when a part fails
	parts   []*minio.ObjectPart

	// What the server was asked for before the first part can go; set when
	// begun is closed, or the group has ended.
	begun   chan struct{}
	id      string
	lock    *uploadLock
	earlier map[int]minio.ObjectPart // that the server has, of another Put's upload; nil: it is this one's
}

var _ io.ReaderFrom = (*upload)(nil)

// Write takes the next bytes.
func (u *upload) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		room, err := u.room()
		if err != nil {
			u.err = err
			return written, err
		}
		n := copy(room, p)
		u.took(n)
		written, p = written+n, p[n:]
	}
	return written, nil
}

// ReadFrom reads straight into the parts.
func (u *upload) ReadFrom(r io.Reader) (int64, error) {
	start := u.n
	for {
		if u.cur == nil || u.cur.size == u.cur.limit {
			// A new part is begun, and an object split, only if there is
			// another byte.
			var next [1]byte
			n, err := r.Read(next[:])
			if n > 0 {
				if _, err := u.Write(next[:]); err != nil {
					return u.n - start, err
				}
			}
			if err != nil {
				return u.n - start, withoutEOF(err)
			}
			continue
		}
		room, err := u.room()
		if err != nil {
			u.err = err
			return u.n - start, err
		}
		n, err := r.Read(room)
		u.took(n)
		if err != nil {
			return u.n - start, withoutEOF(err)
		}
	}
}

func withoutEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // the contract of io.Reader
		return nil
	}
	return err
}

func (u *upload) took(n int) {
	if n > 0 {
		u.cur.filled(n)
		u.n += int64(n)
	}
}

// room returns where the next byte goes. It sends a part that is full, and
// waits for memory.
func (u *upload) room() ([]byte, error) {
	object := u.store.object(u.key)
	ctx := u.ctx
	if u.sending != nil {
		ctx = u.sending
	}
	if ctx.Err() != nil {
		return nil, u.ended(ctx, nil)
	}
	if u.size >= 0 && u.n == u.size {
		return nil, fmt.Errorf("put %s: got more than %d bytes", object, u.size)
	}
	if u.cur != nil && u.cur.size == u.cur.limit {
		u.send()
		ctx = u.sending
	}
	if u.cur == nil {
		if err := u.begin(ctx); err != nil {
			return nil, u.ended(ctx, err)
		}
	}
	room, err := u.cur.room(ctx)
	if err != nil {
		return nil, u.ended(ctx, err)
	}
	return room, nil
}

// ended is the error of an upload that cannot take more: that of its context,
// or of a part that failed meanwhile, or err.
func (u *upload) ended(ctx context.Context, err error) error {
	if u.ctx.Err() != nil {
		err = u.ctx.Err()
	} else if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("put %s: %w", u.store.object(u.key), err)
}

// begin starts a part: with all its memory if it is known how much that is, or
// likely that it will be filled.
func (u *upload) begin(ctx context.Context) error {
	number := u.started + 1
	if number > maxParts {
		return fmt.Errorf("it has more than %d parts; a larger buffer allows for larger ones", maxParts)
	}
	limit := u.partSize(number)
	hold := limit
	switch {
	case u.size >= 0:
		limit = min(limit, u.size-u.n)
		hold = limit
	case number == 1:
		hold = chunk
	}
	if err := u.store.budget.take(ctx, hold); err != nil {
		return err
	}
	u.cur = &part{budget: u.store.budget, limit: limit, held: hold}
	return nil
}

func (u *upload) options() minio.PutObjectOptions {
	o := minio.PutObjectOptions{
		ContentType:          blob.ContentType(u.key),
		StorageClass:         u.store.config.StorageClass,
		DisableContentSha256: true, // a hash, if there is to be one, is given
	}
	return o
}

// sum is a part's SHA-256 for the server to compare, or empty: what is sent
// then is UNSIGNED-PAYLOAD.
func (u *upload) sum(p *part) string {
	if !u.store.verify {
		return ""
	}
	sum := p.sum()
	return hex.EncodeToString(sum[:])
}

// send has the current part sent. The first makes it an upload in parts, which
// takes several round trips: whoever makes the bytes does not wait for them.
func (u *upload) send() {
	if u.group == nil {
		u.group, u.sending = errgroup.WithContext(u.ctx)
		u.begun = make(chan struct{})
		u.group.Go(u.start)
	}
	p := u.cur
	u.cur = nil
	u.started++
	number, sent := u.started, new(minio.ObjectPart)
	u.parts = append(u.parts, sent)
	u.group.Go(func() error {
		defer p.free()
		select {
		case <-u.begun:
		case <-u.sending.Done():
			return u.ended(u.sending, nil)
		}
		var there bool
		if *sent, there = u.arrived(number, p); there {
			return nil
		}
		return u.sendPart(number, p, sent)
	})
}

// start begins an upload in parts, or finds the one to go on with.
func (u *upload) start() error {
	s := u.store
	if u.onlyNew {
		// The condition is checked at the end: look before much is sent in
		// vain.
		switch _, err := s.Stat(u.sending, u.key); {
		case err == nil:
			return errExists
		case !errors.Is(err, blob.ErrNotExist):
			return err
		}
	}
	u.lock = s.lockUpload(u.key)
	if found := s.unfinished(u.sending, u.key, u.lock); found != nil {
		u.id, u.earlier = found.id, found.parts
	} else if err := u.initiate(); err != nil {
		return err
	}
	u.lock.note(u.id)
	close(u.begun)
	return nil
}

// initiate begins an upload in parts.
func (u *upload) initiate() error {
	if u.sending.Err() != nil {
		return u.ended(u.sending, nil)
	}
	s := u.store
	// Who cancels now would leave an upload behind whose name nobody has
	// heard: the answer is waited for, if not for long.
	patient, cancel := linger(u.sending, abortHaste)
	defer cancel()
	err := s.do(patient, "put", u.key, aDocument, func(ctx context.Context) (err error) {
		u.id, err = s.core.NewMultipartUpload(ctx, s.config.Bucket, s.name(u.key), u.options())
		if err == nil && u.id == "" {
			return errors.New("the answer names no upload, so it is not from an S3 server")
		}
		return err
	})
	if u.sending.Err() != nil {
		return u.ended(u.sending, nil)
	}
	if err != nil {
		return u.refused(err)
	}
	return nil
}

// sendPart sends a part and notes what the server says of it.
func (u *upload) sendPart(number int, p *part, sent *minio.ObjectPart) error {
	s := u.store
	sum := u.sum(p)
	*sent = minio.ObjectPart{}
	measured := s.meter.Send(p.size)
	defer func() { measured.Done(sent.ETag != "") }()
	err := s.do(u.sending, "put", u.key, aDocument, func(ctx context.Context) error {
		got, err := s.core.PutObjectPart(ctx, s.config.Bucket, s.name(u.key), u.id, number, measured.Reader(p.reader()), p.size, minio.PutObjectPartOptions{
			Sha256Hex: sum, DisableContentSha256: true,
		})
		if err == nil && got.ETag == "" {
			err = errNoETag
		}
		if err == nil {
			*sent = got
		}
		return err
	})
	if disturbed(err) {
		return u.vanished(err)
	}
	return err
}

// linger is a context that ends a while after ctx does.
func linger(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(while, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// errExists ends an upload of a new object that is there already.
var errExists = errors.New("it exists")

// refused keeps a bucket that is not there apart from an absent object.
func (u *upload) refused(err error) error {
	if errors.Is(err, blob.ErrNotExist) {
		return &Error{Op: "put", Object: u.store.object(u.key), Status: http.StatusNotFound, Code: "NoSuchBucket", Hint: u.store.hint("put", &Error{Code: "NoSuchBucket"}, "")}
	}
	return err
}
