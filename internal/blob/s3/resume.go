package s3

import (
	"context"
	"crypto/md5" // what S3 makes ETags of
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"

	"github.com/minio/minio-go/v7"
)

// An upload in parts that ended before its time (its process was killed, the
// network went) is on the server with the parts that arrived. The next Put of
// the same key goes on with it: a part that the server has is not sent if its
// size and its ETag, which is the MD5 of its bytes, are those of the bytes that
// would be sent.
//
// Another process may be at work on an upload. Two that share one without
// knowing would at best do the same work, so only an upload that seems dead is
// gone on with: one of this machine whose lock (Config.State) nobody holds, or
// one that no part has come to for a long time. Should that be wrong, whoever
// completes the upload names the ETag of every part, all of bytes that it has
// seen itself, and the server refuses if it has others; whoever finds the upload
// gone looks whether the object is there, and otherwise starts anew
// (blob.ErrAgain).

const (
	// resumeUploads is how many unfinished uploads of a key are looked at, the
	// latest first.
	resumeUploads = 3
	// keepParts is how many parts the server must have for an upload that is
	// interrupted to be left there for the next Put.
	keepParts = 4
	// defaultIdle is for how long no part may have come to an upload of which
	// this machine knows nothing for it to count as dead.
	defaultIdle = 15 * time.Minute
)

// unfinished is an upload of an earlier Put.
type unfinished struct {
	id     string
	bytes  int64
	latest time.Time // when the last part came, by the server's clock
	parts  map[int]minio.ObjectPart
}

// unfinished looks for an upload to go on with: the one that this machine's lock
// names, or the dead one with most bytes. That there is none, or that the server
// does not tell, is no error.
func (s *Store) unfinished(ctx context.Context, key string, lock *uploadLock) *unfinished {
	if s.noResume.Load() || s.restarted(key) {
		return nil
	}
	if id := lock.id(); id != "" {
		if f, err := s.partsOf(ctx, key, id); err == nil && f.bytes > 0 {
			return f
		}
	}
	var listed minio.ListMultipartUploadsResult
	now, err := s.ask(ctx, key, func(ctx context.Context) (err error) {
		listed, err = s.core.ListMultipartUploads(ctx, s.config.Bucket, s.name(key), "", "", "", 1000)
		return err
	})
	if err != nil {
		// Not allowed, not implemented: it will be the same for all.
		if refused := new(Error); errors.As(err, &refused) && refused.Status >= 400 && refused.Status != 404 {
			s.noResume.Store(true)
		}
		return nil
	}
	uploads := slices.DeleteFunc(listed.Uploads, func(u minio.ObjectMultipartInfo) bool {
		return u.Key != s.name(key) || u.UploadID == ""
	})
	slices.SortFunc(uploads, func(a, b minio.ObjectMultipartInfo) int { return b.Initiated.Compare(a.Initiated) })
	var most *unfinished
	for _, u := range uploads[:min(len(uploads), resumeUploads)] {
		f, err := s.partsOf(ctx, key, u.UploadID)
		if err == nil && f.bytes > 0 && now.Sub(f.latest) >= s.config.idle && (most == nil || f.bytes > most.bytes) {
			most = f
		}
	}
	return most
}

// ask is do with few tries: what is asked is worth little. It returns the
// server's time.
func (s *Store) ask(ctx context.Context, key string, request func(ctx context.Context) error) (now time.Time, err error) {
	retry := s.config.Retry
	retry.Attempts = 2
	err = retry.Do(ctx, func(ctx context.Context) error {
		ctx, x := withExchange(ctx, aDocument)
		err := s.judge(ctx, "put", key, request(ctx), x)
		now = x.date
		return err
	})
	return now, err
}

func (s *Store) partsOf(ctx context.Context, key, id string) (*unfinished, error) {
	f := &unfinished{id: id, parts: make(map[int]minio.ObjectPart)}
	for marker := 0; ; {
		var page minio.ListObjectPartsResult
		_, err := s.ask(ctx, key, func(ctx context.Context) (err error) {
			page, err = s.core.ListObjectParts(ctx, s.config.Bucket, s.name(key), id, marker, 1000)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, p := range page.ObjectParts {
			if p.PartNumber < 1 || p.PartNumber > maxParts || p.Size < 0 {
				return nil, fmt.Errorf("a part numbered %d of %d bytes", p.PartNumber, p.Size)
			}
			f.parts[p.PartNumber] = p
			f.bytes += p.Size
			if p.LastModified.After(f.latest) {
				f.latest = p.LastModified
			}
		}
		if !page.IsTruncated {
			return f, nil
		}
		if page.NextPartNumberMarker <= marker {
			return nil, errors.New("the list of parts does not advance")
		}
		marker = page.NextPartNumberMarker
	}
}

// arrived says that the server has the part's bytes under that number.
func (u *upload) arrived(number int, p *part) (minio.ObjectPart, bool) {
	there, ok := u.earlier[number]
	if !ok || there.Size != p.size {
		return there, false
	}
	etag := strings.Trim(there.ETag, `"`)
	if !strings.EqualFold(etag, p.etag()) {
		return there, false
	}
	return minio.ObjectPart{PartNumber: number, ETag: etag, Size: p.size}, true
}

// etag is what a server that keeps to S3's rules makes a part's ETag.
func (p *part) etag() string {
	hash := md5.New()
	for _, c := range p.chunks {
		hash.Write(c)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// vanished is the error of an upload that is gone or has other bytes in it:
// another process completed it, took it back, or put its own parts in.
func (u *upload) vanished(cause error) error {
	if u.onlyNew {
		if _, err := u.store.stat(u.ctx, u.key); err == nil {
			return errExists
		} else if !errors.Is(err, blob.ErrNotExist) {
			return err
		}
	}
	u.useless.Store(true)
	u.store.restart(u.key)
	return fmt.Errorf("another process had a hand in the same upload: %w (%v)", blob.ErrAgain, cause)
}

// disturbed recognizes the server's refusals of an upload that another process
// has changed.
func disturbed(err error) bool {
	var e *Error
	return gone(err) || errors.As(err, &e) && (e.Code == "InvalidPart" || e.Code == "InvalidPartOrder")
}

// restart has the next Put of a key begin an upload of its own.
func (s *Store) restart(key string) {
	s.restartMu.Lock()
	defer s.restartMu.Unlock()
	if s.restarts == nil {
		s.restarts = make(map[string]bool)
	}
	s.restarts[key] = true
}

func (s *Store) restarted(key string) bool {
	s.restartMu.Lock()
	defer s.restartMu.Unlock()
	return s.restarts[key]
}

// worthKeeping says that an upload that failed is left on the server for the
// next Put. One whose source failed is not: its bytes are no object's.
func (u *upload) worthKeeping() bool {
	switch {
	case u.useless.Load():
		return false
	case u.earlier != nil:
		return true
	case !u.broken:
		return false
	}
	n := 0
	for _, p := range u.parts {
		if p.ETag != "" {
			n++
		}
	}
	return n >= keepParts
}
