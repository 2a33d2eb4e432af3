package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/cmd/pcache/config"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const keyA = "example.org-1:uV6OMFR9ltoGLWaS9NtBnWUWrQPtWtjf4mYxrhQmq1E="

func publicKey(t *testing.T, text string) nix.PublicKey {
	t.Helper()
	key, err := nix.ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestParse(t *testing.T) {
	got, err := config.Parse("/etc/pcache/config.toml", []byte(`
default = "nightly"

[cache.nightly]
address = "s3://nix-cache?region=eu-west-1"
secret-key-file = "key"
secret-key-files = ["~/new", "/run/secrets/old"]
public-keys = ["`+keyA+`"]
skip-signed-by = ["`+keyA+`"]
compression = "better"
ca-file = "ca.pem"
listings = true
debug-info = false

[cache."web.2"]
address = "https://cache.example.org"
token-file = "/run/token"
`), "/home/hayden")
	if err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	key := publicKey(t, keyA)
	want := config.File{Path: "/etc/pcache/config.toml", Default: "nightly", Caches: map[string]config.Cache{
		"nightly": {
			Address: "s3://nix-cache?region=eu-west-1", Compression: "better", CAFile: "/etc/pcache/ca.pem",
			SecretKeyFiles: []string{"/etc/pcache/key", "/home/hayden/new", "/run/secrets/old"},
			PublicKeys:     []nix.PublicKey{key}, SkipSignedBy: []nix.PublicKey{key}, Listings: &yes, DebugInfo: &no,
		},
		"web.2": {Address: "https://cache.example.org", TokenFile: "/run/token"},
	}}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(nix.PublicKey{})); diff != "" {
		t.Error(diff)
	}
	if c, err := got.Lookup(""); err != nil || c.Compression != "better" {
		t.Errorf("the default: %+v, %v", c, err)
	}
	if _, err := got.Lookup("nightyl"); err == nil || !strings.Contains(err.Error(), `did you mean "nightly"?`) {
		t.Errorf("a misspelt name: %v", err)
	}
}

// The example of docs/pcache.md can be copied as it stands.
func TestDocsExample(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/pcache.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```toml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/pcache.md has no example")
	}
	f, err := config.Parse("config.toml", []byte(example), "/home/hayden")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := f.Lookup(""); err != nil || c.Compression != "better" || len(c.PublicKeys) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"[cache.a]\naddress = \"file:///c\"\nsecret-key-flie = \"k\"", `config.toml:3: key "secret-key-flie" is not known; did you mean "secret-key-file"?`},
		{"[caches.a]\naddress = \"file:///c\"", `config.toml:1: key "caches" is not known; did you mean "cache"?`},
		{"defaut = \"a\"", `config.toml:1: key "defaut" is not known; did you mean "default"?`},
		{"[cache.a]\naddress = 3", "config.toml:2: cache.a.address: "},
		{"[cache.a]\naddress = \"file:///c\"\npublic-keys = [\n\"x\"]", `config.toml:4: cache.a.public-keys: "x" is not a public key`},
		{"[cache.a]\naddress = \"file:///c\"\npublic-keys = \"x\"", "config.toml:3: cache.a.public-keys: "},
		{"[cache.a]\naddress = \"file:///c\"\ncompression = \"lzma\"", `config.toml:3: cache.a.compression: compression "lzma" is none of`},
		{"[cache.a]\naddress = \"file:///c\"\nca-file = \"\"", "config.toml:3: cache.a.ca-file: the name of a file is empty"},
		{"[cache.a]\naddress = \"file:///c\"\nlistings = \"yes\"", "config.toml:3: cache.a.listings: "},
		{"[cache.a]\naddress = \"/srv/cache\"", `cache a: its address "/srv/cache" is none`},
		{"[cache.a]", `cache a: its address "" is none`},
		{"[cache.\"../a\"]\naddress = \"file:///c\"", `cache name "../a"`},
		{"[cache.\"\\u001b[31m\"]\naddress = \"file:///c\"", `cache name "\x1b[31m"`},
		{"default = \"b\"\n[cache.bb]\naddress = \"file:///c\"", `default = "b": there is no [cache.b]; did you mean "bb"?`},
		{"[cache.a\n", "config.toml:1: "},
		{"\x00", "config.toml:1: "},
		{"[cache.a]\naddress = \"file:///c\"\naddress = \"file:///d\"", "config.toml:3: "},
	} {
		_, err := config.Parse("config.toml", []byte(tt.text), "")
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "toml: error") {
			t.Errorf("%q:\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{"HOME": dir}
	getenv := func(key string) string { return env[key] }
	if f, err := config.Load(getenv); err != nil || f.Path != dir+"/.config/pcache/config.toml" || len(f.Caches) != 0 {
		t.Errorf("no file: %+v, %v", f, err)
	} else if _, err := f.Lookup("x"); err == nil || !strings.Contains(err.Error(), f.Path) {
		t.Errorf("a name without a file: %v", err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	addressOf := func(name string) string {
		t.Helper()
		f, err := config.Load(getenv)
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		return c.Address
	}
	write(dir+"/.config/pcache/config.toml", "[cache.a]\naddress = \"file:///home\"")
	write(dir+"/xdg/pcache/config.toml", "[cache.a]\naddress = \"file:///xdg\"")
	write(dir+"/mine.toml", "[cache.a]\naddress = \"file:///mine\"")
	if got := addressOf("a"); got != "file:///home" {
		t.Error(got)
	}
	env["XDG_CONFIG_HOME"] = "xdg"
	if got := addressOf("a"); got != "file:///home" {
		t.Errorf("a relative folder: %s", got)
	}
	env["XDG_CONFIG_HOME"] = dir + "/xdg"
	if got := addressOf("a"); got != "file:///xdg" {
		t.Error(got)
	}
	env["PCACHE_CONFIG"] = dir + "/mine.toml"
	if got := addressOf("a"); got != "file:///mine" {
		t.Error(got)
	}
	env["PCACHE_CONFIG"] = dir + "/absent.toml"
	if _, err := config.Load(getenv); err == nil || !strings.Contains(err.Error(), "absent.toml") {
		t.Errorf("a file that was named and is not there: %v", err)
	}
	write(dir+"/large.toml", strings.Repeat("# large\n", 1<<18))
	env["PCACHE_CONFIG"] = dir + "/large.toml"
	if _, err := config.Load(getenv); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a large file: %v", err)
	}
	clear(env)
	if _, err := config.Load(getenv); err != nil {
		t.Errorf("no home: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("default = \"a\"\n[cache.a]\naddress = \"file:///c\"\npublic-keys = [\"" + keyA + "\"]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := config.Parse("config.toml", data, "/home")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than a line: %q", err)
			}
			return
		}
		for name := range file.Caches {
			if !config.IsName(name) {
				t.Fatalf("%q", name)
			}
		}
	})
}
