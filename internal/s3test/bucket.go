package s3test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"
)

var buckets atomic.Int64

// Bucket makes an empty bucket and returns its name.
func (s *Server) Bucket(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", buckets.Add(1))
	if err := s.admin.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatalf("make a bucket on %s: %v", s.Kind, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.earlier[name] = s.uploadDirs(t)
	return name
}

// Address is the bucket's address, in Nix's form. Its credentials are in the
// environment that Environ gives.
func (s *Server) Address(bucket string) string {
	return "s3://" + bucket + "?scheme=http&endpoint=" + s.Addr
}

// Environ sets the process's environment for the length of the test: the
// server's credentials, and nothing of the person's who runs the tests.
func (s *Server) Environ(t testing.TB) {
	t.Helper()
	CleanEnviron(t)
	t.Setenv("AWS_ACCESS_KEY_ID", s.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s.SecretKey)
}

// CleanEnviron takes everything of Amazon's out of the process's environment
// for the length of the test, and sets an empty HOME.
func CleanEnviron(t testing.TB) {
	t.Helper()
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // so that it is put back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("HOME", t.TempDir())
}

// Allow lets everybody, without credentials, do what actions say: "s3:GetObject",
// "s3:PutObject" and the like to all objects, "s3:ListBucket" to the bucket.
func (s *Server) Allow(t testing.TB, bucket string, actions ...string) {
	t.Helper()
	var statements []string
	for _, action := range actions {
		resource := "arn:aws:s3:::" + bucket + "/*"
		if action == "s3:ListBucket" {
			resource = "arn:aws:s3:::" + bucket
		}
		statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":[%q],"Resource":[%q]}`, action, resource))
	}
	policy := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	if err := s.admin.SetBucketPolicy(t.Context(), bucket, policy); err != nil {
		t.Fatalf("set the policy of %s on %s: %v", bucket, s.Kind, err)
	}
}

// Object is what a server says of an object.
type Object struct {
	Size            int64
	ContentType     string
	ContentEncoding string
	ETag            string
}

// Stat asks for an object by its name in the bucket.
func (s *Server) Stat(t testing.TB, bucket, name string) Object {
	t.Helper()
	info, err := s.admin.StatObject(t.Context(), bucket, name, minio.StatObjectOptions{})
	if err != nil {
		t.Fatalf("stat %s/%s on %s: %v", bucket, name, s.Kind, err)
	}
	return Object{Size: info.Size, ContentType: info.ContentType, ContentEncoding: info.Metadata.Get("Content-Encoding"), ETag: info.ETag}
}

// Get reads an object by its name in the bucket.
func (s *Server) Get(t testing.TB, bucket, name string) []byte {
	t.Helper()
	object, err := s.admin.GetObject(t.Context(), bucket, name, minio.GetObjectOptions{})
	if err != nil {
		t.Fatalf("get %s/%s on %s: %v", bucket, name, s.Kind, err)
	}
	defer func() { _ = object.Close() }()
	data, err := io.ReadAll(object)
	if err != nil {
		t.Fatalf("get %s/%s on %s: %v", bucket, name, s.Kind, err)
	}
	return data
}

// Put writes an object by its name in the bucket, as another program might.
func (s *Server) Put(t testing.TB, bucket, name, data, contentType, contentEncoding string) {
	t.Helper()
	_, err := s.admin.PutObject(t.Context(), bucket, name, strings.NewReader(data), int64(len(data)), minio.PutObjectOptions{ContentType: contentType, ContentEncoding: contentEncoding})
	if err != nil {
		t.Fatalf("put %s/%s on %s: %v", bucket, name, s.Kind, err)
	}
}

// Fill writes many small objects at once.
func (s *Server) Fill(t testing.TB, bucket string, names []string) {
	t.Helper()
	client, err := minio.New(s.Addr, &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Region: "us-east-1", Transport: &http.Transport{MaxIdleConnsPerHost: 16}})
	if err != nil {
		t.Fatal(err)
	}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for _, name := range names {
		group.Go(func() error {
			_, err := client.PutObject(ctx, bucket, name, strings.NewReader("x"), 1, minio.PutObjectOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("fill %s on %s: %v", bucket, s.Kind, err)
	}
}

// Names lists all names in a bucket.
func (s *Server) Names(t testing.TB, bucket string) []string {
	t.Helper()
	names := []string{}
	for object := range s.admin.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatalf("list %s on %s: %v", bucket, s.Kind, object.Err)
		}
		names = append(names, object.Key)
	}
	return names
}

// Uploads counts the uploads in parts that were begun in the bucket and neither
// completed nor taken back. Of MinIO it counts those in any bucket since this
// one was made.
func (s *Server) Uploads(t testing.TB, bucket string) int {
	t.Helper()
	core := minio.Core{Client: s.admin}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if s.Kind == MinIO {
		// Its folders do not say which bucket they are of.
		s.mu.Lock()
		earlier := s.earlier[bucket]
		s.mu.Unlock()
		return len(slices.DeleteFunc(s.uploadDirs(t), func(dir string) bool { return slices.Contains(earlier, dir) }))
	}
	uploads, err := core.ListMultipartUploads(ctx, bucket, "", "", "", "", 1000)
	if err != nil {
		t.Fatalf("list the uploads of %s on %s: %v", bucket, s.Kind, err)
	}
	return len(uploads.Uploads)
}

// BeginUpload begins an upload in parts that nobody will complete.
func (s *Server) BeginUpload(t testing.TB, bucket, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	core := minio.Core{Client: s.admin}
	id, err := core.NewMultipartUpload(ctx, bucket, name, minio.PutObjectOptions{})
	if err == nil {
		_, err = core.PutObjectPart(ctx, bucket, name, id, 1, strings.NewReader("half"), 4, minio.PutObjectPartOptions{})
	}
	if err != nil {
		t.Fatalf("begin an upload to %s on %s: %v", bucket, s.Kind, err)
	}
}

// uploadDirs are where MinIO keeps uploads: it lists only those of a name that
// is known.
func (s *Server) uploadDirs(t testing.TB) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Dir, ".minio.sys/multipart/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
