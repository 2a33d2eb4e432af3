package s3_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/s3"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// S3 answers 403 for what is absent when the bucket may not be listed. That is
// not absence.
func TestForbiddenIsNotAbsent(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		s3test.CleanEnviron(t)
		bucket := server.Bucket(t)
		server.Put(t, bucket, "there", "x", "", "")
		store := open(t, server.Address(bucket), impatient)
		_, openErr := store.Open(t.Context(), "absent")
		_, statErr := store.Stat(t.Context(), "absent")
		for op, err := range map[string]error{"open": openErr, "stat": statErr} {
			var refused *s3.Error
			if !errors.As(err, &refused) || refused.Status != http.StatusForbidden || errors.Is(err, blob.ErrNotExist) {
				t.Errorf("%s of what is absent: %v", op, err)
				continue
			}
			for _, want := range []string{"s3:GetObject", "s3:ListBucket on the bucket " + bucket, "without credentials"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %s", op, err, want)
				}
			}
		}
		if err := store.Put(t.Context(), "k", strings.NewReader("x"), 1); err == nil || !strings.Contains(err.Error(), "s3:PutObject") {
			t.Errorf("put: %v", err)
		}
		if err := store.Delete(t.Context(), "there"); err == nil || !strings.Contains(err.Error(), "s3:DeleteObject") {
			t.Errorf("delete: %v", err)
		}
		for _, err := range store.List(t.Context(), "") {
			if err == nil || !strings.Contains(err.Error(), "s3:ListBucket") {
				t.Errorf("list: %v", err)
			}
		}
		server.Allow(t, bucket, "s3:GetObject", "s3:ListBucket")
		if got, err := blob.ReadAll(t.Context(), store, "there", 10); err != nil || string(got) != "x" {
			t.Errorf("read without credentials: %q, %v", got, err)
		}
		if _, err := store.Stat(t.Context(), "absent"); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("stat of what is absent in a bucket that may be listed: %v", err)
		}
	})
}

func TestWrongCredentials(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		bucket := server.Bucket(t)
		server.Put(t, bucket, "there", "x", "", "")
		for name, set := range map[string][2]string{
			"another secret": {server.AccessKey, "wrong-secret-of-somebody"},
			"another key":    {"somebody", "wrong-secret-of-somebody"},
		} {
			t.Setenv("AWS_ACCESS_KEY_ID", set[0])
			t.Setenv("AWS_SECRET_ACCESS_KEY", set[1])
			store := open(t, server.Address(bucket), impatient)
			_, err := store.Stat(t.Context(), "there")
			if err == nil || !strings.Contains(err.Error(), "the credentials from the environment") || errors.Is(err, blob.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && strings.Contains(err.Error(), set[1]) {
				t.Errorf("%s: the message has the secret: %v", name, err)
			}
		}
	})
}

// A key that is revoked while a process runs does not make everything absent,
// though versitygw says so of all that it is asked with HEAD.
func TestRevokedKeyIsNotAbsence(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		bucket := server.Bucket(t)
		server.Put(t, bucket, "there", "x", "", "")
		t.Setenv("AWS_ACCESS_KEY_ID", "revoked")
		store := open(t, server.Address(bucket), impatient)
		store.Prove(time.Minute) // when the key was good
		_, err := store.Stat(t.Context(), "there")
		if err == nil || errors.Is(err, blob.ErrNotExist) || !strings.Contains(err.Error(), "the credentials from the environment") {
			t.Errorf("stat with a revoked key: %v", err)
		}

		// What was proven a moment ago costs no second question.
		server.Environ(t)
		store = open(t, server.Address(bucket), impatient)
		store.Prove(0)
		if _, err := store.Stat(t.Context(), "absent"); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("stat of what is absent: %v", err)
		}
	})
}

func TestNoSuchBucket(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		store := open(t, server.Address("no-such-bucket"), impatient)
		_, openErr := store.Open(t.Context(), "k")
		_, statErr := store.Stat(t.Context(), "k")
		var listErr error
		for _, err := range store.List(t.Context(), "") {
			listErr = err
		}
		for op, err := range map[string]error{
			"open": openErr, "stat": statErr, "list": listErr,
			"put":          store.Put(t.Context(), "k", strings.NewReader("x"), 1),
			"put in parts": store.Put(t.Context(), "k", strings.NewReader(large(6<<20)), -1),
			"delete":       store.Delete(t.Context(), "k"),
		} {
			if err == nil || errors.Is(err, blob.ErrNotExist) || !strings.Contains(err.Error(), "check its name and the endpoint") {
				t.Errorf("%s: %v", op, err)
			}
		}
	})
}

func TestUnreachable(t *testing.T) {
	s3test.CleanEnviron(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for address, want := range map[string]string{
		"s3://bucket?scheme=http&endpoint=" + closed.Addr().String(): "tried 5 times",
		"s3://bucket?scheme=http&endpoint=" + l.Addr().String():      "no byte moved",
		"s3://bucket?endpoint=no-such-host.invalid":                  "check the endpoint",
	} {
		_, err := open(t, address, impatient).Stat(t.Context(), "k")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// certificate writes a certificate for host, that is its own authority.
func certificate(t *testing.T, host string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t, "s3.test")
	server := s3test.Start(t, s3test.Versitygw, s3test.WithTLS(cert, key))
	server.Environ(t)
	bucket := server.Bucket(t)
	reach := func(c *s3.Config) {
		impatient(c)
		c.SetDial(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Addr)
		})
	}
	_, port, err := net.SplitHostPort(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	address := "s3://" + bucket + "?endpoint=s3.test:" + port

	_, err = open(t, address, reach).Stat(t.Context(), "k")
	if err == nil || !strings.Contains(err.Error(), "AWS_CA_BUNDLE") {
		t.Errorf("an authority that is not known: %v", err)
	}
	for _, variable := range []string{"NIX_SSL_CERT_FILE", "AWS_CA_BUNDLE"} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, cert)
			store := open(t, address, reach)
			if err := store.Put(t.Context(), "k", strings.NewReader("secret"), 6); err != nil {
				t.Fatal(err)
			}
			if got, err := blob.ReadAll(t.Context(), store, "k", 10); err != nil || string(got) != "secret" {
				t.Errorf("%q, %v", got, err)
			}
			if err := store.Put(t.Context(), "big", strings.NewReader(large(6<<20)), -1); err != nil {
				t.Error(err)
			}
			if _, err := open(t, strings.Replace(address, "s3.test", "other.test", 1), reach).Stat(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "other.test") {
				t.Errorf("a certificate for another host: %v", err)
			}
		})
	}
	if _, err := open(t, address+"&scheme=http", reach).Stat(t.Context(), "k"); err == nil {
		t.Error("plain HTTP to a server with TLS")
	}
	plain := s3test.Start(t, s3test.Versitygw)
	if _, err := open(t, "s3://"+bucket+"?endpoint="+plain.Addr, impatient).Stat(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "scheme=http") {
		t.Errorf("TLS to a server without: %v", err)
	}
	for content, want := range map[string]string{"": "no such file", "garbage": "no PEM certificate"} {
		file := filepath.Join(t.TempDir(), "ca")
		if content != "" {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("AWS_CA_BUNDLE", file)
		if _, err := s3.New(s3.Config{Bucket: "bucket"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("AWS_CA_BUNDLE with %q: %v", content, err)
		}
	}
}

// The bucket in the host name, as Amazon wants it.
func TestVirtualHosts(t *testing.T) {
	server := s3test.Start(t, s3test.Versitygw, s3test.WithArgs("--virtual-domain", "s3.test"))
	server.Environ(t)
	bucket := server.Bucket(t)
	_, port, err := net.SplitHostPort(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	var dialled []string
	store := open(t, "s3://"+bucket+"/pre?scheme=http&addressing-style=virtual&endpoint=s3.test:"+port, impatient, func(c *s3.Config) {
		c.SetDial(func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return new(net.Dialer).DialContext(ctx, network, server.Addr)
		})
	})
	for _, key := range []string{"a+b!c d%20", "k"} {
		if err := store.Put(t.Context(), key, strings.NewReader(key), -1); err != nil {
			t.Fatal(err)
		}
		if got, err := blob.ReadAll(t.Context(), store, key, 100); err != nil || string(got) != key {
			t.Errorf("%q, %v", got, err)
		}
	}
	for info, err := range store.List(t.Context(), "k") {
		if err != nil || info.Key != "k" {
			t.Errorf("%+v, %v", info, err)
		}
	}
	if err := store.Delete(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	for _, address := range dialled {
		if address != bucket+".s3.test:"+port {
			t.Errorf("asked %s", address)
		}
	}
	if _, err := s3.New(s3.Config{Bucket: "dots.in.it", Addressing: "virtual"}); err == nil || !strings.Contains(err.Error(), "addressing-style=path") {
		t.Errorf("a bucket with dots: %v", err)
	}
}

// A wrong region is told with the right one.
func TestWrongRegion(t *testing.T) {
	server := s3test.Start(t, s3test.Versitygw, s3test.WithArgs("--region", "us-east-1"))
	server.Environ(t)
	bucket := server.Bucket(t)
	server.Put(t, bucket, "k", "x", "", "")
	store := open(t, server.Address(bucket)+"&region=eu-central-1", impatient)
	_, err := store.Stat(t.Context(), "k")
	if err == nil || !strings.Contains(err.Error(), "region") {
		t.Errorf("%v", err)
	}
}

func TestContentTypes(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		bucket := server.Bucket(t)
		store := open(t, server.Address(bucket), impatient)
		for key, want := range map[string]string{
			"nix-cache-info":           "text/x-nix-cache-info",
			"abc.narinfo":              "text/x-nix-narinfo",
			"nar/abc.nar.zst":          "application/x-nix-nar",
			"nar/large.nar.zst":        "application/x-nix-nar",
			"abc.ls":                   "application/json",
			"log/abc.drv":              "text/plain; charset=utf-8",
			"roots/x/1.json":           "application/json",
			"realisations/x!out.doi":   "application/json",
			"debuginfo/0123456789abcd": "application/json",
			"public-keys":              "text/plain; charset=utf-8",
			"leases/x":                 "application/octet-stream",
		} {
			content := "x"
			if strings.Contains(key, "large") {
				content = large(6 << 20)
			}
			if err := store.Put(t.Context(), key, strings.NewReader(content), -1); err != nil {
				t.Fatal(err)
			}
			if got := server.Stat(t, bucket, key); got.ContentType != want || got.ContentEncoding != "" {
				t.Errorf("%s: %+v, want %s", key, got, want)
			}
		}
	})
}

// Nix can store narinfos and listings with a Content-Encoding.
func TestContentEncoding(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		bucket := server.Bucket(t)
		store := open(t, server.Address(bucket), impatient)
		const zipped = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00" // hello
		server.Put(t, bucket, "a.narinfo", zipped, "text/x-nix-narinfo", "gzip")
		server.Put(t, bucket, "broken.narinfo", "hello", "text/x-nix-narinfo", "gzip")
		server.Put(t, bucket, "a.ls", "hello", "application/json", "br")
		server.Put(t, bucket, "nar/a.nar.gz", zipped, "application/x-nix-nar", "gzip")
		if got, err := blob.ReadAll(t.Context(), store, "a.narinfo", 100); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := blob.ReadAll(t.Context(), store, "nar/a.nar.gz", 100); err != nil || string(got) != zipped {
			t.Errorf("%q, %v", got, err)
		}
		for _, key := range []string{"broken.narinfo", "a.ls"} {
			if _, err := store.Open(t.Context(), key); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), key) {
				t.Errorf("%s: %v", key, err)
			}
		}
	})
}
