package s3

import (
	"context"
	"crypto/md5" // what S3 makes ETags of
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"

	"github.com/minio/minio-go/v7"
)

// finish makes the object visible.
func (u *upload) finish() (existed bool, err error) {
	if err := u.ctx.Err(); err != nil {
		return false, fmt.Errorf("put %s: %w", u.store.object(u.key), err)
	}
	if u.group == nil {
		return u.whole()
	}
	if u.cur != nil {
		u.send()
	}
	if err := u.group.Wait(); err != nil {
		return false, err
	}
	return u.complete()
}

// whole sends the object in one request.
func (u *upload) whole() (existed bool, err error) {
	s := u.store
	p := u.cur
	if p == nil {
		p = &part{budget: s.budget}
	}
	// Always with its hash: versitygw keeps what came of a body whose sender
	// was killed, as if it were the object, unless it has a hash to compare.
	hash := u.digest(p)
	sum := hex.EncodeToString(hash[:])
	o := u.options()
	if u.onlyNew {
		o.SetMatchETagExcept("*")
	}
	tries := 0
	measured := s.meter.Send(p.size)
	defer func() { measured.Done(err == nil) }()
	err = s.do(u.ctx, "put", u.key, aDocument, func(ctx context.Context) error {
		tries++
		info, err := s.core.PutObject(ctx, s.config.Bucket, s.name(u.key), measured.Reader(p.reader()), p.size, "", sum, o)
		if err == nil && info.ETag == "" {
			err = errNoETag
		}
		return err
	})
	if u.onlyNew && exists(err) {
		if tries == 1 {
			return true, nil
		}
		// An earlier try may have succeeded without our hearing of it.
		hash := md5.New()
		for _, c := range p.chunks {
			hash.Write(c)
		}
		return u.stranger(hex.EncodeToString(hash.Sum(nil)))
	}
	return false, u.refused(err)
}

// digest is the hash of the object, which is that part.
func (u *upload) digest(p *part) [sha256.Size]byte {
	if u.source != nil {
		return u.source.SHA256()
	}
	return p.sum()
}

// exists recognizes the refusal of a conditional write.
func exists(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusPreconditionFailed
}

// stranger says whether the object that is there is not the one that was sent,
// whose ETag is known.
func (u *upload) stranger(etag string) (bool, error) {
	there, err := u.store.stat(u.ctx, u.key)
	if err != nil {
		return false, err
	}
	return !strings.EqualFold(there.ETag, etag), nil
}

// completePatience is how long a server may need to put parts together.
const completePatience = 10 * time.Minute

// complete puts the parts together and looks whether they make up the object.
func (u *upload) complete() (existed bool, err error) {
	s := u.store
	parts := make([]minio.CompletePart, len(u.parts))
	for i, p := range u.parts {
		parts[i] = minio.CompletePart{PartNumber: p.PartNumber, ETag: p.ETag}
	}
	var o minio.PutObjectOptions
	if u.onlyNew {
		o.SetMatchETagExcept("*")
	}
	tries := 0
	var info minio.UploadInfo
	err = s.do(remote.WithPatience(u.ctx, completePatience), "put", u.key, aDocument, func(ctx context.Context) (err error) {
		tries++
		info, err = s.core.CompleteMultipartUpload(ctx, s.config.Bucket, s.name(u.key), u.id, parts, o)
		return err
	})
	if err != nil {
		if tries > 1 && (u.onlyNew && exists(err) || gone(err)) {
			// An earlier try may have succeeded without our hearing of it.
			strange, statErr := u.stranger(u.etag())
			if statErr == nil && !strange {
				u.done = true
				return false, nil
			}
			// Two at once: this upload is spoilt, and the other one was stored.
			if statErr == nil && u.onlyNew {
				return true, nil
			}
		}
		if u.onlyNew && exists(err) {
			return true, nil
		}
		if disturbed(err) {
			return false, u.vanished(err)
		}
		return false, u.refused(err)
	}
	u.done = true
	there, err := s.stat(u.ctx, u.key)
	if err != nil {
		return false, fmt.Errorf("look at what was stored: %w", u.refused(err))
	}
	if there.Size != u.n {
		return false, &Error{Op: "put", Object: s.object(u.key), Err: fmt.Errorf("%d bytes were sent in %d parts, and the server has %d (ETag %s, said %s): put it again", u.n, len(parts), there.Size, remote.Printable(there.ETag), remote.Printable(info.ETag))}
	}
	return false, nil
}

// gone recognizes that there is no such upload: it was put together, or taken
// back by somebody else.
func gone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == "NoSuchUpload"
}

// etag is what most servers make an object's ETag in parts: the hash of its
// parts' hashes, and their number. Empty if the parts' ETags are no hashes.
func (u *upload) etag() string {
	hash := md5.New()
	for _, p := range u.parts {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		hash.Write(sum)
	}
	return fmt.Sprintf("%x-%d", hash.Sum(nil), len(u.parts))
}

// abortTime bounds the taking back of an upload, and abortHaste that of one
// that was cancelled: whoever cancels does not want to wait.
const (
	abortTime  = 10 * time.Second
	abortHaste = 800 * time.Millisecond
	abortAgain = 100 * time.Millisecond
)

// close gives back what the upload holds, here and, if it was not completed, on
// the server.
func (u *upload) close() {
	if u.group != nil {
		if !u.done {
			u.group.Go(func() error { return errAborted }) // ends what is under way
		}
		_ = u.group.Wait()
	}
	if u.cur != nil {
		u.cur.free()
		u.cur = nil
	}
	left := u.id != "" && !u.done && (u.worthKeeping() || !u.abort())
	u.lock.release(!left)
}

// abort takes the upload back and says whether it is gone.
func (u *upload) abort() bool {
	bound := abortTime
	if u.ctx.Err() != nil {
		bound = abortHaste
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), bound)
	defer cancel()
	// A part whose request was cut off may still be on its way into the server
	// and bring the upload back to life, so it is taken back until there is
	// none (S3's documentation of AbortMultipartUpload says the same). Should
	// that fail there is nothing to be done, and a better error to tell.
	for {
		err := u.store.do(ctx, "delete", u.key, aDocument, func(ctx context.Context) error {
			return u.store.core.AbortMultipartUpload(ctx, u.store.config.Bucket, u.store.name(u.key), u.id)
		})
		if err != nil || u.started == 0 {
			return err == nil || gone(err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(abortAgain):
		}
	}
}

var errAborted = errors.New("aborted")
