package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// atticServer is a running server that speaks Attic's protocol.
type atticServer struct {
	name     string
	endpoint string
	token    string                // that may do everything; empty: none is needed
	storage  string                // directory of its bytes
	fixed    bool                  // it has one cache, "main", which cannot be set up
	expired  func() (token string) // a token of it that has expired
}

// atticServers starts the servers to test with: pcache's own always, and the
// real atticd in its variants where ATTICD names its binary.
func atticServers(t *testing.T) []*atticServer {
	servers := []*atticServer{startServe(t)}
	atticd := os.Getenv("ATTICD")
	if atticd == "" {
		return servers
	}
	for _, v := range []struct {
		name    string
		chunked bool
		proof   bool
	}{
		{"atticd", true, true},
		{"atticd unchunked", false, true},
		{"atticd without proof of possession", true, false},
	} {
		servers = append(servers, startAtticd(t, atticd, v.name, v.chunked, v.proof))
	}
	return servers
}

func startServe(t *testing.T) *atticServer {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	made, err := exec.Command("pcache", "keygen", "serve-1").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, made, 0o600); err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(dir, "cache")
	cmd := exec.Command("pcache", "serve", "--listen", "127.0.0.1:0", "--accept-pushes", "--secret-key-file", key, "file://"+cache)
	return &atticServer{name: "pcache serve", endpoint: "http://" + listening(t, cmd), storage: cache, fixed: true}
}

// listening starts a pcache serve, which ends with the test, and returns the
// address that it listens on.
func listening(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			go func() {
				for lines.Scan() {
				}
			}()
			return line.Address
		}
	}
	t.Fatal("pcache serve did not listen")
	return ""
}

// startAtticd starts the real server with SQLite and a directory.
func startAtticd(t *testing.T, atticd, name string, chunked, proof bool) *atticServer {
	t.Helper()
	dir := t.TempDir()
	secret := []byte("a secret of the tests, long enough for HS256")
	threshold := 0
	if chunked {
		threshold = 64 << 10
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	config := fmt.Sprintf(`listen = %q
api-endpoint = "http://%[1]s/"
require-proof-of-possession = %[2]t
soft-delete-caches = false
[database]
url = "sqlite://%[3]s/server.db?mode=rwc"
[storage]
type = "local"
path = "%[3]s/storage"
[chunking]
nar-size-threshold = %[4]d
min-size = 16384
avg-size = 65536
max-size = 262144
[compression]
type = "zstd"
[garbage-collection]
interval = "0 seconds"
[jwt.signing]
token-hs256-secret-base64 = %[5]q
`, address, proof, dir, threshold, base64.StdEncoding.EncodeToString(secret))
	file := filepath.Join(dir, "server.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(atticd, "-f", file)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = append(os.Environ(), "HOME="+dir, "RUST_LOG=warn")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, log.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("atticd does not listen:\n%s", log.String())
		}
	}
	return &atticServer{
		name: name, endpoint: "http://" + address, storage: filepath.Join(dir, "storage"),
		token:   atticToken(secret, time.Now().Add(time.Hour)),
		expired: func() string { return atticToken(secret, time.Now().Add(-time.Hour)) },
	}
}

// atticToken makes a token that may do everything, as atticadm does.
func atticToken(secret []byte, expires time.Time) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	signed := part(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{
		"exp": expires.Unix(), "sub": "tests",
		"https://jwt.attic.rs/v1": map[string]any{"caches": map[string]any{"*": map[string]int{"r": 1, "w": 1, "d": 1, "cc": 1, "cr": 1, "cq": 1, "cd": 1}}},
	})
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// address is the address of a cache of the server.
func (s *atticServer) address(cache string) string { return "attic+" + s.endpoint + "/" + cache }

// run runs pcache with the server's token.
func (s *atticServer) run(t *testing.T, env *nixtest.Env, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := env.Command("pcache", args...)
	cmd.Env = append(cmd.Env, tokenVariable+"="+s.token, "XDG_CONFIG_HOME="+filepath.Join(env.Root, "../config"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if s.token != "" && strings.Contains(out.String()+errs.String(), s.token) {
		t.Errorf("pcache %v prints the token", args)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (s *atticServer) must(t *testing.T, env *nixtest.Env, args ...string) string {
	t.Helper()
	out, errs, code := s.run(t, env, args...)
	if code != 0 {
		t.Fatalf("pcache %s exited with %d:\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// cache makes a cache and returns its name and public key.
func (s *atticServer) cache(t *testing.T, env *nixtest.Env, name string) (address, key string) {
	t.Helper()
	if s.fixed {
		name = "main"
	} else {
		s.must(t, env, "cache", "create", s.address(name))
	}
	for line := range strings.Lines(s.must(t, env, "cache", "show", s.address(name))) {
		if text, ok := strings.CutPrefix(line, "public key"); ok {
			key = strings.TrimSpace(text)
		}
	}
	return s.address(name), key
}

func forAttic(t *testing.T, f func(t *testing.T, s *atticServer, env *nixtest.Env)) {
	for _, s := range atticServers(t) {
		t.Run(s.name, func(t *testing.T) { f(t, s, nixtest.New(t)) })
	}
}

func pushed(t *testing.T, out string) report.Push {
	t.Helper()
	var p report.Push
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return p
}

// What is pushed a stock client reads, with signatures required, and pcache
// pulls; the second push has nothing to send.
func TestAtticPushAndPull(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		big, paths, _, _ := bigStore(t)
		address, key := s.cache(t, big, "push")
		if s.fixed && strings.Contains(keysAt(t, s.endpoint), key) {
			t.Error("a cache without a path lists keys")
		}
		first := pushed(t, s.must(t, big, append([]string{"push", "--json", "--root", "fleet", address}, paths...)...))
		if first.Sent.Paths != len(paths) || first.Status != report.Passed || len(first.Roots) != 1 || first.Roots[0].Name != "fleet" {
			t.Errorf("first push: %+v", first.Sent)
		}
		if s.fixed && !strings.Contains(keysAt(t, s.endpoint), key) {
			t.Error("the first push brought no list of keys, or the server remembers that there was none")
		}
		second := pushed(t, s.must(t, big, append([]string{"push", "--json", address}, paths...)...))
		if second.Sent.Paths != 0 || second.Skipped["present"].Paths != len(paths) {
			t.Errorf("second push: %+v, %+v", second.Sent, second.Skipped)
		}
		checked := pushed(t, s.must(t, big, append([]string{"push", "--json", "--verify", address}, paths...)...))
		if checked.Sent.Paths != 0 {
			t.Errorf("verifying push: %+v", checked.Sent)
		}

		other := nixtest.Another(t)
		s.must(t, other, "pull", "--public-key", key, address, paths[0], paths[1])
		other.Run(t, "nix-store", "--verify", "--check-contents")

		stock := nixtest.Another(t)
		netrc := filepath.Join(t.TempDir(), "netrc")
		if err := os.WriteFile(netrc, []byte("machine 127.0.0.1 password "+s.token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		stock.Run(t, "nix", append([]string{"copy", "--option", "netrc-file", netrc, "--option", "trusted-public-keys", key, "--from", strings.TrimPrefix(address, "attic+")}, paths...)...)
		stock.Run(t, "nix-store", "--verify", "--check-contents")

		// A closure: references go up first, and are there whenever a path is.
		path := env.Build(t, hello)
		if p := pushed(t, s.must(t, env, "push", "--json", address, path)); p.Sent.Paths != 2 {
			t.Errorf("a closure: %+v", p.Sent)
		}
		nixtest.Another(t).Run(t, "nix", "copy", "--option", "netrc-file", netrc, "--option", "trusted-public-keys", key, "--from", strings.TrimPrefix(address, "attic+"), path)
		// What looks at a cache, and what brings it near, knows Attic as well.
		if out := s.must(t, env, "info", address, path); !strings.Contains(out, path) {
			t.Errorf("info:\n%s", out)
		}
		if out := s.must(t, env, "ls", address, path+"/bin"); !strings.Contains(out, "hello") {
			t.Errorf("ls: %s", out)
		}
		if out := s.must(t, env, "cat", address, path+"/bin/hello"); !strings.HasPrefix(out, "#!/bin/sh") {
			t.Errorf("cat: %s", out)
		}
		near := filepath.Join(t.TempDir(), "near")
		s.must(t, env, "warm", "--to", near, address, path) // the server says its key
		nixtest.Another(t).Run(t, "nix", "copy", "--option", "trusted-public-keys", key, "--from", "file://"+near, path)
		s.through(t, env, address, key, path)
		s.used(t, env, address, key)
		if _, errs, code := s.run(t, nixtest.Another(t), "pull", "--public-key", "other-1:"+strings.SplitN(key, ":", 2)[1], address, path); code != exitDamaged {
			t.Errorf("another key: %d %s", code, errs)
		}
	})
}

// through reads a path by way of a pcache serve before the cache: its key is the
// server's, and whoever reads needs no token.
func (s *atticServer) through(t *testing.T, env *nixtest.Env, address, key, path string) {
	t.Helper()
	cmd := env.Command("pcache", "serve", "--listen", "127.0.0.1:0", "--local", filepath.Join(t.TempDir(), "local"), address)
	cmd.Env = append(cmd.Env, tokenVariable+"="+s.token, "XDG_CONFIG_HOME="+filepath.Join(env.Root, "../config"))
	at := "http://" + listening(t, cmd)
	if keys := keysAt(t, at); !strings.Contains(keys, key) {
		t.Errorf("the keys of a server before the cache: %s", keys)
	}
	nixtest.Another(t).Run(t, "nix", "copy", "--option", "trusted-public-keys", key, "--from", at, path)
}

// keysAt is what a server answers for the list of its keys.
func keysAt(t *testing.T, endpoint string) string {
	t.Helper()
	answer, err := http.Get(endpoint + "/public-keys")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// used sets the cache for a user's Nix, and takes that back.
func (s *atticServer) used(t *testing.T, env *nixtest.Env, address, key string) {
	t.Helper()
	out := s.must(t, env, "use", address, "--write", "--json")
	var u useReport
	if err := json.Unmarshal([]byte(out), &u); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if u.Substituter != strings.TrimPrefix(address, "attic+") || !slices.Equal(u.PublicKeys, []string{key}) {
		t.Errorf("use: %s", out)
	}
	text, err := os.ReadFile(u.Settings)
	if err != nil || !strings.Contains(string(text), "extra-substituters = "+u.Substituter+"\n") {
		t.Errorf("the settings: %v\n%s", err, text)
	}
	s.must(t, env, "use", address, "--undo")
	if _, err := os.Stat(u.Settings); !os.IsNotExist(err) {
		t.Errorf("the settings are still there: %v", err)
	}
}

// A path whose bytes the server has lost is found by --verify. It is sent again
// where the server lets that help, and said where it does not.
func TestAtticLostObject(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		address, _ := s.cache(t, env, "lost")
		path := env.Build(t, hello)
		s.must(t, env, "push", address, path)
		var files []string
		if err := filepath.WalkDir(s.storage, func(file string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && (strings.HasSuffix(file, ".chunk") || strings.Contains(file, "/nar/")) {
				files = append(files, file)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(files) != 2 {
			t.Fatalf("%d files of NARs in the server's storage: %v", len(files), files)
		}
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		if p := pushed(t, s.must(t, env, "push", "--json", address, path)); p.Sent.Paths != 0 {
			t.Errorf("a push that trusts the server: %+v", p.Sent)
		}
		out, errs, code := s.run(t, env, "push", "--json", "--verify", address, path)
		if s.fixed {
			if p := pushed(t, out); code != 0 || p.Sent.Paths != 2 {
				t.Errorf("verified: %d %s %+v", code, errs, p.Sent)
			}
			return
		}
		if code != exitDamaged || !strings.Contains(errs, "the server has lost the bytes") {
			t.Errorf("verified: %d %s", code, errs)
		}
	})
}

// A path with so many references that its upload's info does not fit into a
// header.
func TestAtticManyReferences(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		address, key := s.cache(t, env, "many")
		path := env.Build(t, `let leaves = builtins.genList (n: sh "leaf-with-a-long-name-${toString n}" "echo ${toString n} > $out") 120; in sh "tree" "echo ${toString leaves} > $out"`)
		if p := pushed(t, s.must(t, env, "push", "--json", address, path)); p.Sent.Paths != 121 {
			t.Errorf("%+v", p.Sent)
		}
		other := nixtest.Another(t)
		s.must(t, other, "pull", "--public-key", key, address, path)
		other.Run(t, "nix-store", "--verify", "--check-contents")
	})
}

// The cache's own settings, with the API as the server has it.
func TestAtticCaches(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		refused := func(want string, args ...string) {
			t.Helper()
			if _, errs, code := s.run(t, env, args...); code != exitRefused || !strings.Contains(errs, want) {
				t.Errorf("pcache %v: %d %s, want %q", args, code, errs, want)
			}
		}
		if s.fixed {
			refused("CacheAlreadyExists", "cache", "create", s.address("main"))
			refused("the one cache that it was started with", "cache", "configure", "--public", s.address("main"))
			refused("the one cache that it was started with", "cache", "destroy", "--confirm", "main", s.address("main"))
			refused("NoSuchCache", "cache", "show", s.address("other"))
			return
		}
		refused("NoSuchCache", "cache", "show", s.address("none"))
		address := s.address("made")
		out := s.must(t, env, "cache", "create", "--priority", "30", address)
		for _, want := range []string{"readers      holders of a token", "priority     30", "upstreams    cache.nixos.org-1", "retention    as the server has it", "public key   made:"} {
			if !strings.Contains(out, want) {
				t.Errorf("created: no %q in\n%s", want, out)
			}
		}
		refused("CacheAlreadyExists", "cache", "create", address)
		out = s.must(t, env, "cache", "configure", "--public", "--retention", "30d", "--upstream-key-name", "", "--priority", "50", address)
		for _, want := range []string{"readers      anybody", "priority     50", "upstreams    \n", "retention    720h0m0s"} {
			if !strings.Contains(out, want) {
				t.Errorf("configured: no %q in\n%s", want, out)
			}
		}
		if _, errs, code := s.run(t, env, "cache", "destroy", address); code != exitUsage || !strings.Contains(errs, "--confirm made") {
			t.Errorf("destroy without a word: %d %s", code, errs)
		}
		s.must(t, env, "cache", "destroy", "--confirm", "made", address)
		refused("NoSuchCache", "cache", "show", address)
	})
}

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

// A token that expires in mid-push is fetched again.
func TestAtticTokenIsRenewed(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, env *nixtest.Env) {
		if s.token == "" {
			return // it wants no token that could expire
		}
		address, _ := s.cache(t, env, "renew")
		path := env.Build(t, hello)
		dir := t.TempDir()
		for name, text := range map[string]string{"old": s.expired(), "new": s.token} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// The command prints the expired one first.
		command := fmt.Sprintf(`if test -e %[1]s/asked; then cat %[1]s/new; else touch %[1]s/asked; cat %[1]s/old; fi`, dir)
		if err := os.MkdirAll(filepath.Join(dir, "pcache"), 0o755); err != nil {
			t.Fatal(err)
		}
		config := fmt.Sprintf("[cache.nightly]\naddress = %q\ntoken-command = [\"sh\", \"-c\", %q]\n", address, command)
		if err := os.WriteFile(filepath.Join(dir, "pcache/config.toml"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := env.Command("pcache", "push", "nightly", path)
		cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// Proxies in front of the server that do what proxies do.
func TestAtticBehindProxies(t *testing.T) {
	forAttic(t, func(t *testing.T, s *atticServer, _ *nixtest.Env) {
		big, paths, _, _ := bigStore(t)
		address, _ := s.cache(t, big, "proxied")
		cache := address[strings.LastIndexByte(address, '/')+1:]
		target, err := url.Parse(s.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		forward := httputil.NewSingleHostReverseProxy(target)
		// As Attic has it, its configuration sends clients to the API's own
		// address; a proxy that is to be seen keeps its own.
		type answer func(w http.ResponseWriter, r *http.Request) bool
		var behaviour atomic.Pointer[answer]
		behave := func(a answer) { behaviour.Store(&a) }
		proxy := newProxy(t, func(w http.ResponseWriter, r *http.Request) {
			if (*behaviour.Load())(w, r) {
				return
			}
			forward.ServeHTTP(w, r)
		}, s)
		through := "attic+" + proxy + "/" + cache
		uploads := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/upload-path") }

		behave(func(w http.ResponseWriter, r *http.Request) bool {
			if uploads(r) {
				http.Error(w, "<html>too large</html>", http.StatusRequestEntityTooLarge)
				return true
			}
			return false
		})
		if _, errs, code := s.run(t, big, "push", through, paths[0]); code != exitFailed || !strings.Contains(errs, "client_max_body_size") {
			t.Errorf("413: %d %s", code, errs)
		}

		// Twice a gateway's timeout, then it works.
		var tries atomic.Int64
		behave(func(w http.ResponseWriter, r *http.Request) bool {
			if uploads(r) && tries.Add(1) <= 2 {
				http.Error(w, "gateway timeout", http.StatusGatewayTimeout)
				return true
			}
			return false
		})
		if _, errs, code := s.run(t, big, "push", through, paths[0]); code != 0 {
			t.Errorf("504, then good: %d %s", code, errs)
		}

		// A connection that is cut in mid-upload.
		tries.Store(0)
		behave(func(_ http.ResponseWriter, r *http.Request) bool {
			if uploads(r) && tries.Add(1) == 1 {
				_, _ = r.Body.Read(make([]byte, 1<<16))
				panic(http.ErrAbortHandler)
			}
			return false
		})
		if _, errs, code := s.run(t, big, "push", through, paths[1]); code != 0 {
			t.Errorf("cut off: %d %s", code, errs)
		}

		// A login page.
		behave(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>log in</html>"))
			return true
		})
		if _, errs, code := s.run(t, big, "push", through, paths[2]); code != exitFailed || !strings.Contains(errs, "login page") {
			t.Errorf("a login page: %d %s", code, errs)
		}
	})
}

// newProxy starts a proxy whose answers name itself where the server's name
// the server.
func newProxy(t *testing.T, handler http.HandlerFunc, s *atticServer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := "http://" + l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/cache-config/") {
			buffered := &bufferedAnswer{header: http.Header{}, status: http.StatusOK}
			handler(buffered, r)
			body := strings.ReplaceAll(buffered.body.String(), s.endpoint, own)
			for name, values := range buffered.header {
				if name != "Content-Length" {
					w.Header()[name] = values
				}
			}
			w.WriteHeader(buffered.status)
			_, _ = w.Write([]byte(body))
			return
		}
		handler(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return own
}

type bufferedAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *bufferedAnswer) Header() http.Header         { return b.header }
func (b *bufferedAnswer) WriteHeader(status int)      { b.status = status }
func (b *bufferedAnswer) Write(p []byte) (int, error) { return b.body.Write(p) }

// Attic's own client pushes to pcache serve, in the order that it likes, and a
// stock Nix reads what it pushed. It runs where ATTIC names its binary.
func TestAtticClient(t *testing.T) {
	client := os.Getenv("ATTIC")
	if client == "" {
		return // there is nothing to run: the protocol's own tests above run always
	}
	s := startServe(t)
	env := nixtest.New(t)
	path := env.Build(t, `let base = sh "base-1.0" "echo base > $out"; in builtins.foldl' (below: n: sh "step-${n}" "mkdir $out; echo ${below} > $out/below; head -c 300000 /dev/zero > $out/zero; echo ${n} >> $out/zero") base [ "1" "2" "3" "4" "5" "6" "7" "8" ]`)
	home := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := env.Command(client, args...)
		cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+home, "SHIM_ROOT="+env.Root)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("attic %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("login", "serve", s.endpoint, "none")
	if out := run("cache", "info", "serve:main"); !strings.Contains(out, "serve-1:") {
		t.Errorf("cache info:\n%s", out)
	}
	run("push", "serve:main", path)
	if out := run("push", "serve:main", path); !strings.Contains(out, "All done") && !strings.Contains(out, "already cached") {
		t.Logf("second push:\n%s", out)
	}
	key := ""
	for line := range strings.Lines(s.must(t, env, "cache", "show", s.address("main"))) {
		if text, ok := strings.CutPrefix(line, "public key"); ok {
			key = strings.TrimSpace(text)
		}
	}
	other := nixtest.Another(t)
	other.Run(t, "nix", "copy", "--option", "trusted-public-keys", key, "--from", s.endpoint, path)
	other.Run(t, "nix-store", "--verify", "--check-contents")
}
