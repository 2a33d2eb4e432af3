package webserver_test

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/webserver"
)

// An HTTP/2 connection, which Nix's clients have over TLS, outlives the limit of
// time of its handshake.
func TestHTTP2ConnectionsLast(t *testing.T) {
	const limit = 3 * time.Second
	own := httptest.NewUnstartedServer(nil) // for its certificate
	own.StartTLS()
	defer own.Close()
	made := own.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: made.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := start(t, webserver.Options{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }),
		CertFile: cert, KeyFile: key, HeaderTimeout: limit,
	})
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: own.Client().Transport.(*http.Transport).TLSClientConfig.Clone()}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for i := range 2 {
		if i > 0 {
			time.Sleep(limit + time.Second)
		}
		reused := false
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "https://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || string(body) != "ok" || answer.ProtoMajor != 2 {
			t.Fatalf("request %d: %s %q %v", i, answer.Proto, body, err)
		}
		if i > 0 && !reused {
			t.Errorf("request %d needed a new connection", i)
		}
	}
}
