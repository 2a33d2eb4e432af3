package s3_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// issuer is an OpenID Connect provider such as a GitLab, as far as a server that
// checks its tokens asks: it publishes its key and signs tokens.
type issuer struct {
	*httptest.Server
	key *rsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key}
	encode := base64.RawURLEncoding.EncodeToString
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{
				"issuer": i.URL, "jwks_uri": i.URL + "/keys",
				"authorization_endpoint": i.URL + "/a", "token_endpoint": i.URL + "/t",
				"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
				"id_token_signing_alg_values_supported": []string{"RS256"},
			})
		case "/keys":
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{
				"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
				"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
			}}})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	var parts []string
	for _, part := range []any{map[string]string{"alg": "RS256", "typ": "JWT", "kid": "1"}, claims} {
		data, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(data))
	}
	signed := strings.Join(parts, ".")
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// A CI job's token is exchanged for credentials by the server itself. Of the
// servers to test with only MinIO can.
func TestWebIdentityOnMinIO(t *testing.T) {
	if !slices.Contains(s3test.Kinds(t), s3test.MinIO) {
		return
	}
	issuer := newIssuer(t)
	server := s3test.Start(t, s3test.MinIO, s3test.WithEnv(
		"MINIO_IDENTITY_OPENID_CONFIG_URL="+issuer.URL+"/.well-known/openid-configuration",
		"MINIO_IDENTITY_OPENID_CLIENT_ID=pcache",
		"MINIO_IDENTITY_OPENID_CLAIM_NAME=policy",
	))
	bucket := server.Bucket(t)
	server.Put(t, bucket, "there", "x", "", "")
	s3test.CleanEnviron(t)
	file := filepath.Join(t.TempDir(), "token")
	write := func(claims map[string]any) string {
		token := issuer.token(t, claims)
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return token
	}
	claims := func(policy string, valid time.Duration) map[string]any {
		return map[string]any{"iss": issuer.URL, "aud": "pcache", "sub": "project_path:group/project", "iat": time.Now().Unix(), "exp": time.Now().Add(valid).Unix(), "policy": policy}
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)

	write(claims("readwrite", time.Hour))
	store := open(t, server.Address(bucket), impatient)
	if err := store.Put(t.Context(), "k", strings.NewReader(large(6<<20)), -1); err != nil {
		t.Fatal(err)
	}
	if got, err := blob.ReadAll(t.Context(), store, "there", 10); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}

	write(claims("readonly", time.Hour))
	store = open(t, server.Address(bucket), impatient)
	if err := store.Put(t.Context(), "k2", strings.NewReader("x"), 1); err == nil || !strings.Contains(err.Error(), "the web identity token in "+file) || !strings.Contains(err.Error(), "s3:PutObject") {
		t.Errorf("put with a token that may only read: %v", err)
	}

	expired := write(claims("readwrite", -time.Hour))
	store = open(t, server.Address(bucket), impatient)
	if _, err := store.Stat(t.Context(), "there"); err == nil || !strings.Contains(err.Error(), "refuses the token") || strings.Contains(err.Error(), expired) {
		t.Errorf("with an expired token: %v", err)
	}
}
