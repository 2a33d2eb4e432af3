package s3

import (
	"context"
	"errors"
	"iter"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/blob"

	"github.com/minio/minio-go/v7"
)

var _ blob.Leaver = (*Store)(nil)

// Leftovers are the uploads in parts that were not completed. Their sizes are
// not known: that would take a request for each.
func (s *Store) Leftovers(ctx context.Context) iter.Seq2[blob.Leftover, error] {
	return func(yield func(blob.Leftover, error) bool) {
		for key, id := "", ""; ; {
			var page minio.ListMultipartUploadsResult
			_, err := s.ask(ctx, "", func(ctx context.Context) (err error) {
				page, err = s.core.ListMultipartUploads(ctx, s.config.Bucket, s.name(""), key, id, "", 1000)
				return err
			})
			if refused := new(Error); errors.As(err, &refused) && (refused.Status == 403 || refused.Status == 405 || refused.Status == 501) {
				return // it may not, or cannot, be asked: a rule of the bucket's lifecycle removes them
			}
			if err != nil {
				yield(blob.Leftover{}, err)
				return
			}
			for _, u := range page.Uploads {
				name, ours := strings.CutPrefix(u.Key, s.name(""))
				if !ours || u.UploadID == "" {
					continue
				}
				if !yield(blob.Leftover{Key: name, ID: u.UploadID, Modified: u.Initiated}, nil) {
					return
				}
			}
			if !page.IsTruncated || page.NextKeyMarker == key && page.NextUploadIDMarker == id {
				return
			}
			key, id = page.NextKeyMarker, page.NextUploadIDMarker
		}
	}
}

// Discard aborts an upload.
func (s *Store) Discard(ctx context.Context, l blob.Leftover) error {
	_, err := s.ask(ctx, l.Key, func(ctx context.Context) error {
		return s.core.AbortMultipartUpload(ctx, s.config.Bucket, s.name(l.Key), l.ID)
	})
	if errors.Is(err, blob.ErrNotExist) {
		return nil
	}
	return err
}
