package attic

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const attics = `default-server = "home"

[servers.home]
endpoint = "https://attic.example.org/"
token = "secret-home"

[servers.work]
endpoint = "http://localhost:8080/sub"
token-file = "/run/token"
something-newer = true
`

func servers(t testing.TB, text string) *Servers {
	t.Helper()
	s, err := parseServers("/home/hayden/.config/attic/config.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseAddress(t *testing.T) {
	known := servers(t, attics)
	for text, want := range map[string]struct{ endpoint, cache, token, text string }{
		"attic+https://cache.example.org/main":        {"https://cache.example.org", "main", "no token", ""},
		"attic+https://cache.example.org:8080/a/b/c/": {"https://cache.example.org:8080/a/b", "c", "no token", "attic+https://cache.example.org:8080/a/b/c"},
		"attic+https://attic.example.org/x":           {"https://attic.example.org", "x", "the token in /home/hayden/.config/attic/config.toml", ""},
		"attic:main":                                  {"https://attic.example.org", "main", "the token in /home/hayden/.config/attic/config.toml", "attic+https://attic.example.org/main"},
		"attic:work:main":                             {"http://localhost:8080/sub", "main", "the token in /run/token", "attic+http://localhost:8080/sub/main"},
	} {
		c, err := ParseAddress(text, known)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if want.text == "" {
			want.text = text
		}
		if got := (struct{ endpoint, cache, token, text string }{c.Endpoint, c.Cache, c.Token.String(), c.String()}); got != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for text, want := range map[string]string{
		"attic+https://cache.example.org":              "names no cache",
		"attic+https://cache.example.org/":             "names no cache",
		"attic+https://user:secret-x@example.org/main": "does not belong in an address",
		"attic+https://example.org/main?token=x":       "no parameters",
		"attic+ftp://example.org/main":                 "not of the form",
		"attic+https://example.org/-main":              "no name for a cache",
		"attic:elsewhere:main":                         `names no server "elsewhere" (it names home, work)`,
		"attic:":                                       "no name for a cache",
	} {
		if _, err := ParseAddress(text, known); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := ParseAddress("attic:main", nil); err == nil || !strings.Contains(err.Error(), "names no server") {
		t.Errorf("without a configuration: %v", err)
	}
	if c, err := ParseAddress("attic:main", servers(t, "[servers.only]\nendpoint = \"https://a.example\"\n")); err != nil || c.Endpoint != "https://a.example" {
		t.Errorf("the only server: %v, %v", c, err)
	}
}

func TestReadServers(t *testing.T) {
	dir := t.TempDir()
	getenv := func(name string) string { return map[string]string{"XDG_CONFIG_HOME": dir}[name] }
	if s, err := ReadServers(getenv); s != nil || err != nil {
		t.Errorf("without a file: %v, %v", s, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "attic"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "attic/config.toml")
	if err := os.WriteFile(file, []byte(attics), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := ReadServers(getenv)
	if err != nil {
		t.Fatal(err)
	}
	home, err := s.lookup("")
	if err != nil {
		t.Fatal(err)
	}
	if token, err := home.token().Get(t.Context()); err != nil || token != "secret-home" {
		t.Errorf("token %q, %v", token, err)
	}
	if err := os.WriteFile(file, []byte("[servers.home]\ntoken = secret-home\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadServers(getenv); err == nil || !strings.Contains(err.Error(), "config.toml:2") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestRetention(t *testing.T) {
	for text, want := range map[string]Retention{
		`"Global"`:         {Global: true},
		`{"Period":0}`:     {},
		`{"Period":86400}`: {Period: 24 * time.Hour},
	} {
		var got Retention
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if out, err := json.Marshal(got); err != nil || string(out) != text {
			t.Errorf("%s became %s, %v", text, out, err)
		}
	}
	for _, text := range []string{`"Else"`, `{"Period":-1}`, `{}`, `7`} {
		var got Retention
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
	if _, err := json.Marshal(Retention{Period: -time.Second}); err == nil {
		t.Error("a negative period was written")
	}
}

func token(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestExpires(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	if got, ok := Expires(token(fmt.Sprintf(`{"exp":%d}`, at.Unix()))); !ok || !got.Equal(at) {
		t.Errorf("%s, %v", got, ok)
	}
	for _, text := range []string{"", "opaque", "a.b.c", token("{}"), token(`{"exp":-1}`), token(`{"exp":"soon"}`), token(`{"exp":1e300}`)} {
		if got, ok := Expires(text); ok {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestNewClientKeepsTokensFromBeingRead(t *testing.T) {
	s := Server{Token: "secret", from: "a file"}
	if _, err := NewClient(Config{Endpoint: "http://attic.example.org", Cache: "main", Token: s.token()}); err == nil || !strings.Contains(err.Error(), "unencrypted") {
		t.Errorf("%v", err)
	}
	for _, endpoint := range []string{"http://127.0.0.1:8080", "https://attic.example.org"} {
		if _, err := NewClient(Config{Endpoint: endpoint, Cache: "main", Token: s.token()}); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %s", s.token(), Config{Token: s.token()}.Token, s.token()); strings.Contains(text, "secret") {
		t.Errorf("it prints as %s", text)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"attic+https://h/c", "attic:a:b", "attic+http://[::1]:1/x/y", "attic+https://u:p@h/c"} {
		f.Add(s)
	}
	known := servers(f, attics)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseAddress(text, known)
		if err != nil {
			return
		}
		if CheckName(c.Cache) != nil || c.Endpoint == "" {
			t.Errorf("%q: %+v", text, c)
		}
		if again, err := ParseAddress(c.String(), known); err != nil || again.Endpoint != c.Endpoint || again.Cache != c.Cache {
			t.Errorf("%q: its text %q is read as %+v, %v", text, c, again, err)
		}
	})
}

func FuzzServers(f *testing.F) {
	f.Add([]byte(attics))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if s, err := parseServers("file", data); err == nil {
			_, _ = s.lookup("")
		}
	})
}
