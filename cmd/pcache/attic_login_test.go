package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// Logins: by pcache's own configuration, and by Attic's.
func TestAtticLogin(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		address, _ := s.cache(t, env, "login")
		path := env.Build(t, hello)
		token := s.token
		if token == "" {
			token = "unused" // the server wants none
		}
		home := t.TempDir()
		run := func(stdin string, args ...string) (string, int) {
			t.Helper()
			cmd := env.Command("pcache", args...)
			cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+home)
			cmd.Stdin = strings.NewReader(stdin)
			out, _ := cmd.CombinedOutput()
			if strings.Contains(string(out), token) {
				t.Errorf("pcache %v prints the token", args)
			}
			return string(out), cmd.ProcessState.ExitCode()
		}
		if s.token != "" {
			if out, code := run("", "push", address, path); code != exitRefused || !strings.Contains(out, "a token is needed: pcache login") {
				t.Errorf("without a token: %d %s", code, out)
			}
			if out, code := run(s.expired(), "login", "nightly", address); code != exitRefused || !strings.Contains(out, "expired at") {
				t.Errorf("with an expired token: %d %s", code, out)
			}
			if out, code := run(token+"\n", "login", "nightly", address); code != 0 || !strings.Contains(out, "good until") {
				t.Fatalf("login: %d %s", code, out)
			}
			if out, code := run("", "push", "nightly", path); code != 0 || !strings.Contains(out, "2 paths sent") {
				t.Errorf("by name: %d %s", code, out)
			}
		}
		// Attic's own configuration.
		dir := filepath.Join(home, "attic")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		config := fmt.Sprintf("default-server = \"s\"\n[servers.s]\nendpoint = \"%s/\"\n", s.endpoint)
		if s.token != "" {
			config += fmt.Sprintf("token = %q\n", s.token)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{address, "attic:" + address[strings.LastIndexByte(address, '/')+1:], "attic:s:" + address[strings.LastIndexByte(address, '/')+1:]} {
			if out, code := run("", "push", name, path); code != 0 {
				t.Errorf("by %s: %d %s", name, code, out)
			}
		}
		if now, err := os.ReadFile(filepath.Join(dir, "config.toml")); err != nil || string(now) != config {
			t.Errorf("Attic's configuration was touched: %v", err)
		}
	})
}

// A token that the server stops taking in mid-push is read again from its file,
// or fetched again by its command. Without another one the error says when it
// expired.
func TestAtticTokenIsRenewed(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, _ *nixtest.Env) {
		if s.token == "" {
			return // it wants no token that could expire
		}
		big, paths, _, _ := bigStore(t)
		expired := s.expired()
		for _, from := range []string{"token-file", "token-command", "file that stays"} {
			address, _ := s.cache(t, big, strings.ReplaceAll(from, " ", "-"))
			cache := address[strings.LastIndexByte(address, '/')+1:]
			dir := t.TempDir()
			file := filepath.Join(dir, "token")
			write := func(token string) {
				if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
					t.Error(err)
				}
			}
			// A token whose time is up is what the server sees of the first one
			// after three uploads, as if they had taken hours.
			first := s.made(time.Now().Add(2 * time.Hour))
			write(first)
			var taken, refused atomic.Int64
			renew := sync.OnceFunc(func() { write(s.token) })
			proxy := newProxy(t, s, func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Authorization") != "Bearer "+first || !strings.HasSuffix(r.URL.Path, "/upload-path") {
					return false
				}
				if taken.Add(1) > 3 {
					if refused.Add(1); from != "file that stays" {
						renew()
					}
					r.Header.Set("Authorization", "Bearer "+expired)
				}
				return false
			})
			source := fmt.Sprintf("token-file = %q", file)
			if from == "token-command" {
				source = fmt.Sprintf(`token-command = ["cat", %q]`, file)
			}
			if err := os.MkdirAll(filepath.Join(dir, "pcache"), 0o755); err != nil {
				t.Fatal(err)
			}
			config := fmt.Sprintf("[cache.nightly]\naddress = \"attic+%s/%s\"\n%s\n", proxy, cache, source)
			if err := os.WriteFile(filepath.Join(dir, "pcache/config.toml"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := big.Command("pcache", append([]string{"push", "nightly"}, paths...)...)
			cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+dir)
			out, err := cmd.CombinedOutput()
			if strings.Contains(string(out), s.token) || strings.Contains(string(out), first) {
				t.Errorf("%s: the token is printed", from)
			}
			if refused.Load() == 0 {
				t.Errorf("%s: the server refused nothing", from)
			}
			if from == "file that stays" {
				if code := cmd.ProcessState.ExitCode(); code != exitRefused || !strings.Contains(string(out), file) {
					t.Errorf("%s: %d %s", from, code, out)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v: %s", from, err, out)
			}
			if p := pushed(t, s.must(t, big, append([]string{"push", "--json", address}, paths...)...)); p.Sent.Paths != 0 {
				t.Errorf("%s: %d paths were not sent", from, p.Sent.Paths)
			}
		}
	})
}
