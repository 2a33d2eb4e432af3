package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"

	"gitlab.com/pantheros/pantheros/internal/badnet"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Server is a real server of a kind, with one bucket that is open to all:
// Debian's Nix signs no requests.
type s3Server struct {
	addr   string // of the server, or of the slow network before it
	direct string // of the server
	dir    string
	cmd    *exec.Cmd
	net    *badnet.Proxy
	clean  func()
}

const (
	bucket    = "cache"
	accessKey = "bench-access"
	secretKey = "bench-secret-key"
)

var credentialsEnv = []string{"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_EC2_METADATA_DISABLED=true"}

// address is the bucket's, as Nix and pcache write it.
func (s *s3Server) address() string {
	return "s3://" + bucket + "?region=us-east-1&scheme=http&endpoint=" + s.addr
}

// web is where the bucket is read and written without S3's protocol.
func (s *s3Server) web() string { return "http://" + s.addr + "/" + bucket }

// startS3 starts a server in an empty directory, behind a network.
func (b *bench) startS3(ctx context.Context, kind string, o badnet.Options) (*s3Server, error) {
	dir, remove, err := b.scratch(kind)
	if err != nil {
		return nil, err
	}
	s := &s3Server{dir: dir, clean: remove}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(b.s3, kind)
	if kind == "minio" {
		s.cmd = exec.Command(program, "server", dir, "--quiet", "--address", addr)
		s.cmd.Env = []string{"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME=" + dir}
	} else {
		s.cmd = exec.Command(program, "--keep-alive", "--quiet", "--port", addr, "posix", dir)
		s.cmd.Env = []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey}
	}
	var output bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &output, &output
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.setUp(ctx, addr); err != nil {
		s.stop()
		return nil, fmt.Errorf("start %s: %v\n%s", kind, err, output.String())
	}
	if s.net, err = badnet.Listen(addr, o); err != nil {
		s.stop()
		return nil, err
	}
	s.addr, s.direct = s.net.Addr, addr
	if o.RTT == 0 && o.Sent == nil {
		s.addr = addr // a proxy that does nothing still takes time
	}
	return s, nil
}

func (s *s3Server) setUp(ctx context.Context, addr string) error {
	deadline := time.Now().Add(time.Minute)
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	client, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4(accessKey, secretKey, ""), Region: "us-east-1"})
	if err != nil {
		return err
	}
	for {
		if err = client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err == nil {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	policy := `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::` + bucket + `/*"]},` +
		`{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::` + bucket + `"]}]}`
	return client.SetBucketPolicy(ctx, bucket, policy)
}

// cpu is the processor time that the server took until now, in seconds.
func (s *s3Server) cpu() float64 {
	user, sys := processCPU(s.cmd.Process.Pid)
	return user + sys
}

// stop ends the server and removes what it stored.
func (s *s3Server) stop() {
	if s.net != nil {
		_ = s.net.Close()
	}
	stopCommand(s.cmd)
	s.clean()
}

// stored is how many bytes the bucket holds, as files of the server.
func (s *s3Server) stored() int64 { return sizeOf(filepath.Join(s.dir, bucket)) }

// serveHTTP serves a folder, as a web server in front of a cache does.
func serveHTTP(dir string) (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), func() { _ = server.Close() }, nil
}
