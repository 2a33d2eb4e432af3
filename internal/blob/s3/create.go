package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/blob"

	"github.com/minio/minio-go/v7"
)

// PutNew writes an object if there is none of its key, in one step where the
// server can (If-None-Match: *). Where it cannot, it looks first and then
// writes: of two that do so at the same time both may write.
func (s *Store) PutNew(ctx context.Context, key string, r io.Reader, size int64) (existed bool, err error) {
	conditional, err := s.conditional(ctx)
	if err != nil {
		return false, err
	}
	if conditional {
		return s.put(ctx, key, r, size, true)
	}
	switch _, err := s.Stat(ctx, key); {
	case err == nil:
		return true, nil
	case !errors.Is(err, blob.ErrNotExist):
		return false, err
	}
	return s.put(ctx, key, r, size, false)
}

// probeKey is written to find out what the server does. Its name starts with a
// dot, so no Store's key is the same and no listing shows it. It is always the
// same name: where the credentials may not delete, one remains, and serves the
// next.
const probeKey = ".pcache-probe"

// conditional asks, once, whether the server honours If-None-Match: *, by
// writing an object under that condition until it is refused. One that was
// refused the first time was there: that will do. A server that writes twice
// does not know the condition; one that says so, or refuses in another way,
// does not either.
func (s *Store) conditional(ctx context.Context) (bool, error) {
	s.createMu.Lock()
	defer s.createMu.Unlock()
	if s.createOnly != nil {
		return *s.createOnly, nil
	}
	var o minio.PutObjectOptions
	o.SetMatchETagExcept("*")
	o.DisableContentSha256 = true
	write := func(ctx context.Context) error {
		_, err := s.core.PutObject(ctx, s.config.Bucket, s.name(probeKey), strings.NewReader(""), 0, "", emptySHA256, o)
		return err
	}
	honoured := false
	for range 2 {
		err := s.do(ctx, "put", probeKey, aDocument, write)
		if err == nil {
			continue
		}
		var e *Error
		if !errors.As(err, &e) {
			return false, err
		}
		if honoured = e.Status == http.StatusPreconditionFailed; honoured {
			break
		}
		if e.Status == http.StatusNotImplemented || e.Status == http.StatusBadRequest && e.Code != "AuthorizationHeaderMalformed" {
			break
		}
		return false, err
	}
	s.createOnly = &honoured
	_ = s.do(ctx, "delete", probeKey, aDocument, func(ctx context.Context) error {
		return s.client.RemoveObject(ctx, s.config.Bucket, s.name(probeKey), minio.RemoveObjectOptions{})
	})
	return honoured, nil
}

// emptySHA256 is the hash of nothing.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
