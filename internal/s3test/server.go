// Package s3test gives tests real S3 servers on the loopback interface, and a
// proxy that makes them fail.
package s3test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Kind is a server's program.
type Kind string

// The servers. tools/s3/prepare builds them.
const (
	Versitygw Kind = "versitygw" // on a directory
	MinIO     Kind = "minio"     // the second opinion
)

// binVariable names the folder of the servers, kindsVariable says which of them
// to test with beside versitygw: minio, or all.
const (
	binVariable   = "PANTHEROS_S3_BIN"
	kindsVariable = "PANTHEROS_S3"
)

// Kinds are the servers to test with.
func Kinds(t testing.TB) []Kind {
	t.Helper()
	switch which := os.Getenv(kindsVariable); which {
	case "", string(Versitygw):
		return []Kind{Versitygw}
	case string(MinIO), "all":
		return []Kind{Versitygw, MinIO}
	default:
		t.Fatalf("%s=%s: want versitygw, minio or all", kindsVariable, which)
		return nil
	}
}

// Each runs a test against each server to test with.
func Each(t *testing.T, test func(t *testing.T, s *Server)) {
	t.Helper()
	for _, kind := range Kinds(t) {
		t.Run(string(kind), func(t *testing.T) { test(t, Start(t, kind)) })
	}
}

// binary is the path of a server's program. Without it the test fails: it has
// nothing to say.
func binary(t testing.TB, kind Kind) string {
	t.Helper()
	dir := os.Getenv(binVariable)
	if dir == "" {
		dir = filepath.Join(nixtest.Repository(t), ".panther/bin")
	}
	path := filepath.Join(dir, string(kind))
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no %s to test with in %s: run `make s3`, or set %s", kind, dir, binVariable)
	}
	return path
}

// Server is a running server. It ends with the test.
type Server struct {
	Kind      Kind
	Addr      string // host:port
	AccessKey string
	SecretKey string
	Dir       string // of its files
	tls       bool
	pid       int
	admin     *minio.Client

	mu      sync.Mutex
	earlier map[string][]string // by bucket: MinIO's uploads before it was made
}

// Option changes how a server is started.
type Option func(*options)

type options struct {
	args []string
	env  []string
	tls  bool
}

// WithArgs gives the program more arguments, before those of its backend.
func WithArgs(args ...string) Option { return func(o *options) { o.args = append(o.args, args...) } }

// WithEnv gives the program more variables.
func WithEnv(env ...string) Option { return func(o *options) { o.env = append(o.env, env...) } }

// WithTLS has versitygw use TLS with the certificate and key in these files.
func WithTLS(cert, key string) Option {
	return func(o *options) {
		o.args = append(o.args, "--cert", cert, "--key", key)
		o.tls = true
	}
}

// insecure is for talking to the test's own servers, whose certificates are the
// tests' matter.
func insecure() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
}

// startTimeout is what a server may need on a busy machine.
const startTimeout = 60 * time.Second

// Start starts a server with an empty directory and waits until it answers.
func Start(t testing.TB, kind Kind, with ...Option) *Server {
	t.Helper()
	path := binary(t, kind)
	s := &Server{Kind: kind, earlier: make(map[string][]string), AccessKey: "test-access-key", SecretKey: "test-secret-key-of-the-root", Dir: t.TempDir()}
	var o options
	for _, w := range with {
		w(&o)
	}
	// Another process may take the port between asking for it and using it.
	for try := 1; ; try++ {
		err := s.start(t, path, o)
		if err == nil {
			break
		}
		if try == 3 {
			t.Fatal(err)
		}
	}
	var err error
	s.admin, err = minio.New(s.Addr, &minio.Options{
		Creds:     credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Region:    "us-east-1",
		Secure:    s.tls,
		Transport: insecure(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *Server) start(t testing.TB, path string, o options) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	s.Addr = addr
	var cmd *exec.Cmd
	switch s.Kind {
	case Versitygw:
		cmd = exec.Command(path, append(append([]string{"--keep-alive", "--quiet", "--port", addr}, o.args...), "posix", s.Dir)...)
		cmd.Env = []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey}
	case MinIO:
		cmd = exec.Command(path, append([]string{"server", s.Dir, "--quiet", "--address", addr}, o.args...)...)
		cmd.Env = []string{"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME=" + s.Dir}
	}
	cmd.Env = append(cmd.Env, o.env...)
	output := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = output, output
	dieWithParent(cmd)

	// The kernel ends the server when the thread that started it ends, so that
	// thread waits for it.
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.pid = cmd.Process.Pid
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	deadline := time.Now().Add(startTimeout)
	client := &http.Client{Timeout: time.Second, Transport: insecure()}
	scheme := "http://"
	if s.tls = o.tls; s.tls {
		scheme = "https://"
	}
	for {
		resp, err := client.Get(scheme + addr + "/")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode < 500 {
				break
			}
		}
		select {
		case <-ended:
			return fmt.Errorf("%s ended at once:\n%s", s.Kind, output)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			stop()
			return fmt.Errorf("%s does not answer:\n%s", s.Kind, output)
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() && output.Len() > 0 {
			t.Logf("%s said:\n%s", s.Kind, output)
		}
	})
	return nil
}

// PID is the server's process.
func (s *Server) PID() int { return s.pid }

// syncBuffer is what a program said.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Len()
}
