package httpread

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"

	"github.com/google/go-cmp/cmp"
)

// recorder notes what came with each request.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) note(req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, fmt.Sprintf("%s auth=%q referer=%q cookie=%q", req.URL.Path, req.Header.Get("Authorization"), req.Header.Get("Referer"), req.Header.Get("Cookie")))
}

// Credentials go to the cache's own server and no other.
func TestRedirects(t *testing.T) {
	var other, own recorder
	elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request) {
		other.note(r)
		io.WriteString(w, text)
	})
	var url string
	url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		own.note(r)
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		to := map[string]string{
			"/c/other":  elsewhere + "/there",
			"/c/own":    url + "/c/k",
			"/c/file":   "file:///etc/passwd",
			"/c/ftp":    "ftp://127.0.0.1/x",
			"/c/loop":   url + "/c/loop",
			"/c/creds":  strings.Replace(elsewhere, "://", "://user:pass@", 1),
			"/c/gopher": "gopher://x",
		}[r.URL.Path]
		if to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		io.WriteString(w, text)
	})
	r := newReader(t, url+"/c", func(c *Config) { c.User, c.Password = "me", "s3cr3t" })
	for _, key := range []string{"other", "own"} {
		if got, err := read(t, r, key); err != nil || got != text {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	if diff := cmp.Diff([]string{`/there auth="" referer="" cookie=""`}, other.seen); diff != "" {
		t.Errorf("the other server got %s", diff)
	}
	for _, line := range own.seen {
		if !strings.Contains(line, `auth="Basic `) {
			t.Errorf("the own server got %s", line)
		}
	}
	for _, key := range []string{"file", "ftp", "loop", "creds", "gopher"} {
		if got, err := read(t, r, key); err == nil || !strings.Contains(err.Error(), "redirect") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
}

func TestRedirectFromTLS(t *testing.T) {
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, plain, http.StatusFound)
			return
		}
		fmt.Fprint(w, r.Proto)
	}))
	defer server.Close()
	if _, err := read(t, newReader(t, server.URL), "k"); err == nil || !strings.Contains(err.Error(), "NIX_SSL_CERT_FILE") {
		t.Errorf("an authority that is not known: %v", err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	var pemBytes bytes.Buffer
	if err := writePEM(&pemBytes, server.Certificate().Raw); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, pemBytes.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NIX_SSL_CERT_FILE", ca)
	r := newReader(t, server.URL)
	if got, err := read(t, r, "k"); err != nil || got != "HTTP/1.1" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := read(t, r, "down"); err == nil || !strings.Contains(err.Error(), "redirects to a http URL") {
		t.Errorf("from TLS to none: %v", err)
	}
	if _, err := read(t, newReader(t, strings.Replace(plain, "http:", "https:", 1)), "k"); err == nil || !strings.Contains(err.Error(), "no TLS") {
		t.Errorf("TLS to a server without: %v", err)
	}
}

func TestClientCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.TLS.PeerCertificates))
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	var cert, key bytes.Buffer
	if err := writePEM(&cert, server.Certificate().Raw); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := pem.Encode(&key, &pem.Block{Type: "PRIVATE KEY", Bytes: der}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for file, data := range map[string][]byte{certFile: cert.Bytes(), keyFile: key.Bytes()} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("NIX_SSL_CERT_FILE", certFile)
	if _, err := read(t, newReader(t, server.URL), "k"); err == nil {
		t.Error("the server asked for no certificate")
	}
	r := newReader(t, server.URL, func(c *Config) { c.CertFile, c.KeyFile = certFile, keyFile })
	if got, err := read(t, r, "k"); err != nil || got != "1" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := New(Config{URL: server.URL, CertFile: keyFile, KeyFile: certFile}); err == nil || !strings.Contains(err.Error(), "client certificate") {
		t.Errorf("certificate and key exchanged: %v", err)
	}
}

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	valid := "first-token"
	var mu sync.Mutex
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+valid {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, text)
	})
	write("first-token")
	r := newReader(t, url, func(c *Config) { c.TokenFile = file })
	if got, err := read(t, r, "k"); err != nil || got != text {
		t.Errorf("%q, %v", got, err)
	}
	// The token is renewed by somebody while the reader is in use.
	mu.Lock()
	valid = "second-token"
	mu.Unlock()
	_, err := read(t, r, "k")
	if err == nil || !strings.Contains(err.Error(), "does not accept the token in "+file) || strings.Contains(err.Error(), "first-token") {
		t.Errorf("%v", err)
	}
	write("second-token")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := blob.ReadAll(t.Context(), r, "k", 100); err != nil || string(got) != text {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()

	for name, c := range map[string]Config{
		"unencrypted": {URL: "http://cache.example.org", TokenFile: file},
		"no file":     {URL: url, TokenFile: file + "x"},
	} {
		if _, err := New(c); err == nil || strings.Contains(err.Error(), "second-token") {
			t.Errorf("%s: %v", name, err)
		}
	}
	write("")
	if _, err := New(Config{URL: url, TokenFile: file}); err == nil || !strings.Contains(err.Error(), "want one line") {
		t.Errorf("an empty token: %v", err)
	}
}
