package httpread

import (
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writePEM(w io.Writer, der []byte) error {
	return pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

const netrcText = `# a comment
machine other login them password theirs
machine cache.example.org
	login me
	password "p w\"\\ü"   # comment
	account ignored
macdef init
	machine macro.example.org login no password no

machine CASE.example.org login upper password case
machine cache.example.org login second password second
default login anybody password everybody
`

func TestParseNetrc(t *testing.T) {
	for host, want := range map[string]login{
		"cache.example.org": {"me", `p w"\ü`},
		"other":             {"them", "theirs"},
		"case.example.org":  {"upper", "case"},
		"macro.example.org": {"anybody", "everybody"},
		"unknown":           {"anybody", "everybody"},
	} {
		got, found, err := parseNetrc(strings.NewReader(netrcText), host)
		if err != nil || !found || got != want {
			t.Errorf("%s: %+v, %v, %v", host, got, found, err)
		}
	}
	if _, found, err := parseNetrc(strings.NewReader("machine a login b"), "c"); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	for _, bad := range []string{"s3cr3t", "machine", "machine a login", `machine a password "s3cr3t`, "machine a login b s3cr3t"} {
		_, _, err := parseNetrc(strings.NewReader(bad), "a")
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNetrcFiles(t *testing.T) {
	home, conf := t.TempDir(), t.TempDir()
	write := func(path, text string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := map[string]string{"HOME": home, "NIX_CONF_DIR": conf}
	files := func() string {
		return strings.NewReplacer(home, "HOME", conf, "CONF").Replace(strings.Join(netrcFiles(func(k string) string { return env[k] }), " "))
	}
	check := func(want string) {
		t.Helper()
		if got := files(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	check("CONF/netrc HOME/.netrc")
	write(conf+"/nix.conf", "cores = 1\n# netrc-file = /no\nnetrc-file = /system # comment\n")
	check("/system HOME/.netrc")
	write(home+"/.config/nix/nix.conf", "netrc-file=/mine\n")
	check("/mine HOME/.netrc")
	env["XDG_CONFIG_HOME"] = home + "/none"
	check("/system HOME/.netrc")
	env["NIX_USER_CONF_FILES"] = home + "/x:" + write(home+"/y", "netrc-file = /y\n")
	check("/y HOME/.netrc")
	env["NIX_CONFIG"] = "sandbox = true\nnetrc-file = /variable"
	check("/variable HOME/.netrc")
	env["NETRC"] = "/first"
	check("/first /variable HOME/.netrc")
}

func TestNetrcIsUsed(t *testing.T) {
	var got string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); ok {
			got = user + ":" + password
			io.WriteString(w, text)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	for file, content := range map[string]string{first: "machine elsewhere login a password b\n", second: "machine 127.0.0.1 login me password s3cr3t\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := newReader(t, url, func(c *Config) { c.NetrcFiles = []string{filepath.Join(dir, "none"), first, second} })
	if data, err := read(t, r, "k"); err != nil || data != text || got != "me:s3cr3t" {
		t.Errorf("%q as %q, %v", data, got, err)
	}
	if strings.Contains(r.String(), "s3cr3t") {
		t.Errorf("the name has the secret: %s", r)
	}
	// A file that is a folder cannot be read: no matter, unless it is needed.
	r = newReader(t, url, func(c *Config) { c.NetrcFiles = []string{filepath.Join(dir, "first", "below"), first} })
	if _, err := read(t, r, "k"); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("%v", err)
	}
	if _, err := New(Config{URL: url, NetrcFiles: []string{first, second}, User: ""}); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(first, []byte("s3cr3t"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{URL: url, NetrcFiles: []string{first}}); err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), first) {
		t.Errorf("%v", err)
	}
}

func FuzzParseNetrc(f *testing.F) {
	f.Add([]byte(netrcText), "cache.example.org")
	f.Fuzz(func(t *testing.T, data []byte, host string) {
		l, found, err := parseNetrc(strings.NewReader(string(data)), host)
		if (err != nil || !found) && l != (login{}) {
			t.Fatalf("%+v with %v", l, err)
		}
	})
}
