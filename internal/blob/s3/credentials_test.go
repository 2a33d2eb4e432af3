package s3

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob/remote"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// sts answers as Amazon's Security Token Service does, of which there is none
// to test with: the form's fields and the documents are those of its reference.
// What MinIO makes of a real token is tested in TestWebIdentityOnMinIO.
type sts struct {
	*httptest.Server
	token    string // that it takes
	role     string
	lifetime time.Duration
	fail     func(n int64) (status int, code string) // 0: no failure
	calls    atomic.Int64
}

func newSTS(t *testing.T) *sts {
	s := &sts{token: "the-very-secret-token-of-a-job", role: "arn:aws:iam::1:role/ci", lifetime: time.Hour}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *sts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.calls.Add(1)
	refuse := func(status int, code, message string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`, code, message)
	}
	if s.fail != nil {
		if status, code := s.fail(n); status != 0 {
			refuse(status, code, "you sent "+r.FormValue("WebIdentityToken"))
			return
		}
	}
	action := r.FormValue("Action")
	switch {
	case r.Method != http.MethodPost || r.FormValue("Version") != "2011-06-15" || r.FormValue("RoleSessionName") == "" || r.URL.RawQuery != "":
		refuse(400, "ValidationError", "malformed")
	case r.FormValue("RoleArn") != s.role:
		refuse(403, "AccessDenied", "not that role")
	case action == "AssumeRole" && !strings.Contains(r.Header.Get("Authorization"), "Credential=source-key/"):
		refuse(403, "AccessDenied", "not you")
	case action == "AssumeRoleWithWebIdentity" && r.FormValue("WebIdentityToken") != s.token:
		refuse(400, "InvalidIdentityToken", "the token "+r.FormValue("WebIdentityToken")+" is not valid")
	default:
		fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>sts-key-%[2]d</AccessKeyId><SecretAccessKey>sts-secret</SecretAccessKey><SessionToken>sts-token</SessionToken><Expiration>%[3]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
			action, n, time.Now().Add(s.lifetime).UTC().Format(time.RFC3339))
	}
}

// metadata answers as Amazon's instance metadata service does, version 2, and
// as its container services do.
func metadata(t *testing.T) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(key string) {
			_ = json.NewEncoder(w).Encode(map[string]string{"Code": "Success", "AccessKeyId": key, "SecretAccessKey": "s", "Token": "t", "Expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
		}
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			fmt.Fprint(w, "metadata-session")
		case r.URL.Path == "/container" && r.Header.Get("Authorization") == "container-token":
			answer("container-key")
		case r.Header.Get("X-aws-ec2-metadata-token") != "metadata-session":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			fmt.Fprintln(w, "the-role")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/the-role":
			answer("machine-key")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

const credentialsFile = `
# a comment
[default]
aws_access_key_id = default-key
aws_secret_access_key = default-secret-value ; comment
[ci]
aws_access_key_id=ci-key
aws_secret_access_key=ci-secret-value
aws_session_token=ci-token
[half]
aws_access_key_id=half-key
[base]
aws_access_key_id=source-key
aws_secret_access_key=source-secret
`

const configFile = `
[default]
region = eu-north-1
s3 =
    addressing_style = path
[profile ci]
region = eu-west-3
aws_access_key_id=overridden
[profile web]
role_arn = arn:aws:iam::1:role/ci
web_identity_token_file = TOKENFILE
[profile chained]
role_arn = arn:aws:iam::1:role/ci
source_profile = base
[profile baseless]
role_arn = arn:aws:iam::1:role/ci
source_profile = nobody
[profile mfa]
role_arn = arn:aws:iam::1:role/ci
source_profile = base
mfa_serial = x
[profile lonely]
role_arn = arn:aws:iam::1:role/ci
[profile process]
credential_process = PROCESS --version
[profile empty]
region = x
`

func TestCredentials(t *testing.T) {
	sts, imds := newSTS(t), metadata(t)
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := file("token", sts.token+"\n")
	process := file("process", "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"process-key\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\",\"Expiration\":\"2100-01-01T00:00:00Z\"}'\n")
	files := map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": file("credentials", credentialsFile),
		"AWS_CONFIG_FILE":             file("config", strings.NewReplacer("TOKENFILE", token, "PROCESS", process).Replace(configFile)),
		"AWS_ENDPOINT_URL_STS":        sts.URL,
		"AWS_EC2_METADATA_DISABLED":   "true",
	}
	nothing := map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"), "AWS_CONFIG_FILE": filepath.Join(dir, "none"),
		"AWS_ENDPOINT_URL_STS": sts.URL, "AWS_EC2_METADATA_DISABLED": "true",
	}
	with := func(base map[string]string, more ...string) map[string]string {
		env := map[string]string{}
		for k, v := range base {
			env[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	keys := []string{"AWS_ACCESS_KEY_ID", "env-key", "AWS_SECRET_ACCESS_KEY", "env-secret"}
	web := []string{"AWS_WEB_IDENTITY_TOKEN_FILE", token, "AWS_ROLE_ARN", sts.role}
	for name, tt := range map[string]struct {
		config Config
		env    map[string]string
		key    string // of the credentials; "-": none, requests are not signed
		token  string
		source string
		err    string
	}{
		"environment":                    {env: with(nothing, keys...), key: "env-key", source: "the environment"},
		"environment with session":       {env: with(nothing, append(keys, "AWS_SESSION_TOKEN", "env-token")...), key: "env-key", token: "env-token"},
		"environment before files":       {env: with(files, keys...), key: "env-key"},
		"environment before web":         {env: with(files, append(keys, web...)...), key: "env-key"},
		"key without secret":             {env: with(files, "AWS_ACCESS_KEY_ID", "x"), err: "must both be set"},
		"secret without key":             {env: with(files, "AWS_SECRET_ACCESS_KEY", "x"), err: "must both be set"},
		"default profile":                {env: files, key: "default-key", source: "the profile default"},
		"named by the environment":       {env: with(files, "AWS_PROFILE", "ci"), key: "ci-key", token: "ci-token"},
		"named by the address":           {config: Config{Profile: "ci"}, env: with(files, keys...), key: "ci-key", source: "the profile ci"},
		"no such profile":                {config: Config{Profile: "nobody"}, env: files, err: "neither "},
		"no such profile in environment": {env: with(files, "AWS_PROFILE", "nobody"), err: "neither "},
		"half a profile":                 {config: Config{Profile: "half"}, env: files, err: "must both be set"},
		"profile without anything":       {config: Config{Profile: "empty"}, env: files, err: "no credentials"},
		"profile with web identity":      {config: Config{Profile: "web"}, env: files, key: "sts-key", token: "sts-token"},
		"profile with source":            {config: Config{Profile: "chained"}, env: files, key: "sts-key", token: "sts-token"},
		"profile with a bad source":      {config: Config{Profile: "baseless"}, env: files, err: `"nobody" has no keys`},
		"profile with second factor":     {config: Config{Profile: "mfa"}, env: files, err: "second factor"},
		"profile with a role only":       {config: Config{Profile: "lonely"}, env: files, err: "export-credentials"},
		"profile with a process":         {config: Config{Profile: "process"}, env: files, key: "process-key", token: "t"},
		"web identity":                   {env: with(nothing, web...), key: "sts-key", token: "sts-token", source: "the web identity token in " + token},
		"web identity before files":      {env: with(files, web...), key: "sts-key"},
		"web identity without role":      {env: with(nothing, web[:2]...), err: "AWS_ROLE_ARN"},
		"web identity, other role":       {env: with(nothing, "AWS_WEB_IDENTITY_TOKEN_FILE", token, "AWS_ROLE_ARN", "arn:other"), err: "AccessDenied: not that role"},
		"web identity, no such file":     {env: with(nothing, "AWS_WEB_IDENTITY_TOKEN_FILE", token+"x", "AWS_ROLE_ARN", sts.role), err: "no such file"},
		"web identity, empty file":       {env: with(nothing, "AWS_WEB_IDENTITY_TOKEN_FILE", file("empty", "\n"), "AWS_ROLE_ARN", sts.role), err: "want one token"},
		"web identity, wrong token":      {env: with(nothing, "AWS_WEB_IDENTITY_TOKEN_FILE", file("wrong", "another-secret-token"), "AWS_ROLE_ARN", sts.role), err: "InvalidIdentityToken"},
		"web identity, no STS":           {env: with(nothing, append(web, "AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")...), err: "tried 3 times"},
		"web identity, not an STS":       {env: with(nothing, append(web, "AWS_ENDPOINT_URL_STS", imds.URL+"/latest/meta-data/x")...), err: "refuses"},
		"container":                      {env: with(nothing, "AWS_CONTAINER_CREDENTIALS_FULL_URI", imds.URL+"/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token"), key: "container-key", token: "t"},
		"container that refuses":         {env: with(nothing, "AWS_CONTAINER_CREDENTIALS_FULL_URI", imds.URL+"/container"), err: "the container's service"},
		"machine":                        {env: with(nothing, "AWS_EC2_METADATA_DISABLED", "", "AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.URL), key: "machine-key", token: "t", source: "the machine's metadata service"},
		"machine, disabled":              {env: with(nothing, "AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.URL), key: "-"},
		"files before machine":           {env: with(files, "AWS_EC2_METADATA_DISABLED", "", "AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.URL), key: "default-key"},
		"no metadata service":            {env: with(nothing, "AWS_EC2_METADATA_DISABLED", "", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"), key: "-", source: noCredentials},
		"nothing":                        {env: nothing, key: "-", source: noCredentials},
		"public":                         {config: Config{Anonymous: true}, env: with(files, keys...), key: "-"},
		"broken file":                    {env: with(nothing, "AWS_CONFIG_FILE", file("broken", "[default\nkey = secret-in-file")), err: "broken:1: "},
		"file without sections":          {env: with(nothing, "AWS_CONFIG_FILE", file("broken2", "secret-in-file")), err: "broken2:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range os.Environ() {
				if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
					t.Setenv(name, "")
				}
			}
			for k, v := range tt.env {
				t.Setenv(k, v) // what the S3 client itself looks at
			}
			c := &chain{config: tt.config, amazon: true, region: "us-east-1", getenv: func(k string) string { return tt.env[k] },
				client: http.DefaultClient, timeout: 20 * time.Second, retry: remote.Retry{Attempts: 3, Base: time.Millisecond}}
			defer http.DefaultClient.CloseIdleConnections()
			value, err := c.RetrieveWithCredContext(&credentials.CredContext{Context: t.Context()})
			if tt.err != "" {
				var ce *CredentialsError
				if !errors.As(err, &ce) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v, want %s", err, tt.err)
				}
				for _, secret := range []string{"secret-value", "source-secret", sts.token, "another-secret-token", "secret-in-file", "env-secret"} {
					if err != nil && strings.Contains(err.Error(), secret) {
						t.Errorf("the message has a secret: %v", err)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			key, _, _ := strings.Cut(value.AccessKeyID, "-key-")
			if tt.key == "-" && (value.SignerType != credentials.SignatureAnonymous || value.AccessKeyID != "") ||
				tt.key != "-" && key != strings.TrimSuffix(tt.key, "-key") && value.AccessKeyID != tt.key || value.SessionToken != tt.token && tt.token != "" {
				t.Errorf("got the key %q, token %q", value.AccessKeyID, value.SessionToken)
			}
			if tt.source != "" && c.describe() != tt.source {
				t.Errorf("from %q, want %q", c.describe(), tt.source)
			}
		})
	}
}

func webChain(t *testing.T, s *sts) *chain {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(s.token), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": s.role, "AWS_ENDPOINT_URL_STS": s.URL}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return &chain{amazon: true, getenv: func(k string) string { return env[k] }, client: http.DefaultClient, timeout: 20 * time.Second, retry: remote.Retry{Attempts: 4, Base: time.Millisecond}}
}

// Credentials are renewed before they expire, and used as long as they are good
// if that fails.
func TestCredentialsAreRenewed(t *testing.T) {
	s := newSTS(t)
	c := webChain(t, s)
	creds := credentials.New(c)
	get := func() credentials.Value {
		t.Helper()
		v, err := creds.GetWithContext(&credentials.CredContext{Context: t.Context()})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	s.lifetime = 2 * time.Second // RFC 3339 has whole seconds
	first := get()
	if again := get(); again != first {
		t.Errorf("asked again at once")
	}
	time.Sleep(1900 * time.Millisecond)
	s.lifetime = time.Hour
	second := get()
	if second.AccessKeyID == first.AccessKeyID {
		t.Error("not renewed in time")
	}
	s.fail = func(int64) (int, string) { return 403, "AccessDenied" }
	creds.Expire()
	if third := get(); third != second {
		t.Error("credentials that are good were thrown away")
	}
}

func TestSTSIsAskedAgain(t *testing.T) {
	s := newSTS(t)
	s.fail = func(n int64) (int, string) {
		if n < 4 {
			return []int{500, 503, 400}[n-1], []string{"InternalFailure", "Throttling", "IDPCommunicationError"}[n-1]
		}
		return 0, ""
	}
	if v, err := webChain(t, s).RetrieveWithCredContext(nil); err != nil || v.AccessKeyID != "sts-key-4" {
		t.Errorf("%+v, %v", v, err)
	}
	s.fail = func(int64) (int, string) { return 500, "InternalFailure" }
	_, err := webChain(t, s).RetrieveWithCredContext(nil)
	if err == nil || !strings.Contains(err.Error(), "InternalFailure") || strings.Contains(err.Error(), s.token) {
		t.Errorf("%v", err)
	}
	s.calls.Store(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := webChain(t, s).RetrieveWithCredContext(&credentials.CredContext{Context: ctx}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A machine without a metadata service must not wait long, and somebody else's
// server gets nothing of what Amazon gives its machines.
func TestMetadataServiceThatIsNotThere(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hang)
	env := map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.URL}
	c := &chain{amazon: true, getenv: func(k string) string { return env[k] }, timeout: time.Minute}
	started := time.Now()
	if v, err := c.RetrieveWithCredContext(nil); err != nil || v.AccessKeyID != "" {
		t.Errorf("%+v, %v", v, err)
	}
	if took := time.Since(started); took > 4*time.Second {
		t.Errorf("waited %v", took)
	}
	c = &chain{getenv: func(string) string { return "" }, timeout: time.Minute}
	started = time.Now()
	if v, err := c.RetrieveWithCredContext(nil); err != nil || v.AccessKeyID != "" || time.Since(started) > time.Second {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestSTSEndpoint(t *testing.T) {
	for want, c := range map[string]*chain{
		"https://sts.eu-west-1.amazonaws.com":     {amazon: true, region: "eu-west-1"},
		"https://sts.cn-north-1.amazonaws.com.cn": {amazon: true, region: "cn-north-1"},
		"https://minio.example.org:9000":          {config: Config{Endpoint: "minio.example.org:9000"}},
		"http://localhost:9000":                   {config: Config{Endpoint: "localhost:9000", HTTP: true}},
	} {
		c.getenv = func(string) string { return "" }
		if got := c.stsEndpoint(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestRegion(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte(configFile), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		config Config
		amazon bool
		env    map[string]string
		want   string
	}{
		"address":             {Config{Region: "a"}, true, map[string]string{"AWS_REGION": "b"}, "a"},
		"environment":         {Config{}, true, map[string]string{"AWS_REGION": "b", "AWS_DEFAULT_REGION": "c"}, "b"},
		"older environment":   {Config{}, true, map[string]string{"AWS_DEFAULT_REGION": "c"}, "c"},
		"default profile":     {Config{}, true, nil, "eu-north-1"},
		"profile":             {Config{Profile: "ci"}, true, nil, "eu-west-3"},
		"profile of variable": {Config{}, true, map[string]string{"AWS_PROFILE": "ci"}, "eu-west-3"},
		"not Amazon's":        {Config{}, false, map[string]string{"AWS_REGION": "b"}, "us-east-1"},
		"nothing":             {Config{}, true, map[string]string{"AWS_CONFIG_FILE": "/nowhere"}, "us-east-1"},
	} {
		got, err := regionOf(tt.config, tt.amazon, func(k string) string {
			if v, ok := tt.env[k]; ok || k != "AWS_CONFIG_FILE" {
				return v
			}
			return config
		})
		if err != nil || got != tt.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func FuzzReadINI(f *testing.F) {
	f.Add([]byte(configFile))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if sections, err := readINI(path); err == nil {
			for _, values := range sections {
				for key := range values {
					if key != strings.ToLower(strings.TrimSpace(key)) {
						t.Fatalf("key %q", key)
					}
				}
			}
		}
	})
}

func FuzzRootElement(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0"?><ListBucketResult/>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if rootElement(data) == "" {
			return
		}
		if !strings.Contains(string(data), rootElement(data)) {
			t.Fatal("an element that is not there")
		}
		var any struct{}
		_ = xml.Unmarshal(data, &any)
	})
}
