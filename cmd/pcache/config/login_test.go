package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/cmd/pcache/config"
)

func TestAddLogin(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pcache/config.toml")
	getenv := func(name string) string { return map[string]string{"XDG_CONFIG_HOME": dir, "HOME": dir}[name] }
	add := func(l config.Login) error {
		t.Helper()
		got, err := config.AddLogin(getenv, l)
		if err == nil && got != file {
			t.Errorf("it wrote %s", got)
		}
		return err
	}
	login := config.Login{Name: "nightly", Address: "attic+https://attic.example.org/pantheros", Token: "secret-1", PublicKey: keyA, Default: true}
	if err := add(login); err != nil {
		t.Fatal(err)
	}
	check := func(token string) {
		t.Helper()
		f, err := config.Load(getenv)
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.Lookup("")
		if err != nil || c.Address != login.Address || len(c.PublicKeys) != 1 {
			t.Fatalf("%+v, %v", c, err)
		}
		data, err := os.ReadFile(c.TokenFile)
		if err != nil || string(data) != token+"\n" {
			t.Errorf("token %q, %v", data, err)
		}
		info, err := os.Stat(c.TokenFile)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the token: %v, %v", info.Mode(), err)
		}
		if text, _ := os.ReadFile(file); strings.Contains(string(text), token) {
			t.Error("the configuration holds the token")
		}
	}
	check("secret-1")

	// Again, with another token and a comment that somebody added.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = append([]byte("# mine\n"), text...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	login.Token = "secret-2"
	if err := add(login); err != nil {
		t.Fatal(err)
	}
	check("secret-2")
	if now, _ := os.ReadFile(file); string(now) != string(text) {
		t.Errorf("the configuration changed:\n%s", now)
	}

	// A second one is added beside it.
	if err := add(config.Login{Name: "other.1", Address: "attic+https://attic.example.org/other", Token: "secret-3"}); err != nil {
		t.Fatal(err)
	}
	check("secret-2")

	for name, l := range map[string]config.Login{
		"has another cache": {Name: "nightly", Address: "attic+https://attic.example.org/else", Token: "x"},
		"no name":           {Name: "../x", Address: login.Address, Token: "x"},
		"has the default":   {Name: "third", Address: login.Address, Token: "x", Default: true},
	} {
		if err := add(l); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
