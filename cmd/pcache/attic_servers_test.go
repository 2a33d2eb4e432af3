package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	token    string                                 // that may do everything; empty: none is needed
	storage  string                                 // directory of its bytes
	fixed    bool                                   // it has one cache, "main", which cannot be set up
	made     func(expires time.Time) (token string) // another token of it
}

// atticServers starts the servers to test with: pcache's own always, and the
// real atticd in its variants where ATTICD names its binary.
func atticServers(t *testing.T) []*atticServer {
	t.Helper()
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

func startServe(t *testing.T, options ...string) *atticServer {
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
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--accept-pushes", "--secret-key-file", key}, options...)
	cmd := exec.Command("pcache", append(args, "file://"+cache)...)
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
		token: atticToken(secret, time.Now().Add(time.Hour)),
		made:  func(expires time.Time) string { return atticToken(secret, expires) },
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

// expired is a token of the server whose time is up.
func (s *atticServer) expired() string { return s.made(time.Now().Add(-time.Hour)) }

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
