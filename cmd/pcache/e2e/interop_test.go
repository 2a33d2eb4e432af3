package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// webServer serves a directory to read and, as Nix's HTTP caches want it, to
// PUT to.
func webServer(t *testing.T, dir string) string {
	t.Helper()
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			files.ServeHTTP(w, r)
			return
		}
		name := filepath.Join(dir, filepath.FromSlash(r.URL.Path))
		data, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(name), 0o755)
		}
		if err == nil {
			err = os.WriteFile(name, data, 0o644)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// What pcache pushed, every version of Nix copies and substitutes, from a
// directory and from a web server, with signatures required; and it takes
// nothing that a key of its own did not sign.
func TestStockClientsRead(t *testing.T) {
	env := nixtest.Another(t)
	top := env.Build(t, sample)
	key, stranger := newKey(t, "e2e-1"), newKey(t, "e2e-1")
	for _, compression := range []string{"default", "none"} {
		dir := t.TempDir()
		mustPcache(t, env, "push", "--secret-key-file", key.file, "--compression", compression, "file://"+dir, top)
		web := webServer(t, dir)
		nixtest.EachVersion(t, func(t *testing.T, v nixtest.Version) {
			trust := []string{"--option", "trusted-public-keys", key.public}
			for name, command := range map[string][]string{
				"copy from a directory":  {"nix", "copy", "--from", "file://" + dir, top},
				"copy from a web server": {"nix", "copy", "--from", web, top},
				"substitute":             {"nix-store", "--realise", top, "--option", "substituters", web},
			} {
				t.Run(compression+", "+name, func(t *testing.T) {
					client := v.Env(t)
					client.Run(t, command[0], append(command[1:], trust...)...)
					sameClosure(t, env, client, top)

					suspicious := v.Env(t)
					if out, err := suspicious.Try(command[0], append(command[1:], "--option", "trusted-public-keys", stranger.public)...); err == nil {
						t.Errorf("a client that trusts another key took it: %s", out)
					}
					absent(t, suspicious, top)
				})
			}
		})
	}
}

// nixCompressions are those that each version of Nix writes.
var nixCompressions = []string{"xz", "zstd", "none", "bzip2", "gzip"}

// What every version of Nix wrote, in each of its compressions, pcache pulls,
// and pushes nothing to it again.
func TestPullsWhatStockClientsWrote(t *testing.T) {
	nixtest.EachVersion(t, func(t *testing.T, v nixtest.Version) {
		env := v.Env(t)
		top := env.Build(t, sample)
		key := newKey(t, "e2e-1")
		dirs := map[string]string{}
		for _, compression := range nixCompressions {
			dir := t.TempDir()
			env.Run(t, "nix", "copy", "--to", fmt.Sprintf("file://%s?compression=%s&secret-key=%s", dir, compression, key.file), top)
			dirs[compression] = dir
		}
		// And over HTTP, which it writes with other code.
		dirs["put"] = t.TempDir()
		env.Run(t, "nix", "copy", "--to", fmt.Sprintf("%s?compression=zstd&secret-key=%s", webServer(t, dirs["put"]), key.file), top)
		for how, dir := range dirs {
			t.Run(how, func(t *testing.T) {
				address := "file://" + dir
				if how == "put" {
					address = webServer(t, dir)
				}
				other := nixtest.Another(t)
				mustPcache(t, other, "pull", "--public-key", key.public, address, top)
				sameClosure(t, env, other, top)
				again := mustPcache(t, env, "push", "--secret-key-file", key.file, "file://"+dir, top)
				if !strings.Contains(again.out, "nothing to send") {
					t.Errorf("a push to what Nix wrote: %s", again.out)
				}
			})
		}
	})
}

// A signature that a path had in the store it came from stays, so that who
// trusts only that key can take it; and a content-addressed path needs none.
func TestForeignSignaturesAndContentAddresses(t *testing.T) {
	upstream, key := newKey(t, "upstream-1"), newKey(t, "e2e-1")
	tree := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(tree, []byte("a source\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	nixtest.EachVersion(t, func(t *testing.T, v nixtest.Version) {
		env := v.Env(t)
		top := env.Build(t, sample)
		source := env.AddTree(t, tree)
		env.Run(t, "nix", "store", "sign", "--recursive", "--key-file", upstream.file, top)
		dir := t.TempDir()
		mustPcache(t, env, "push", "--secret-key-file", key.file, "file://"+dir, top, source)
		client := v.Env(t)
		client.Run(t, "nix", "copy", "--from", "file://"+dir, top, "--option", "trusted-public-keys", upstream.public)
		sameClosure(t, env, client, top)
		client.Run(t, "nix", "copy", "--from", "file://"+dir, source)
		sameClosure(t, env, client, source)

		other := v.Env(t)
		mustPcache(t, other, "pull", "--public-key", upstream.public, "file://"+dir, top, source)
		sameClosure(t, env, other, top)
	})
}

// Stores of every version are read from and added to, by way of a daemon that
// pcache starts and of one that listens, each with its own protocol.
func TestStoresOfEveryVersion(t *testing.T) {
	key := newKey(t, "e2e-1")
	nixtest.EachVersion(t, func(t *testing.T, v nixtest.Version) {
		env := v.Env(t)
		top := env.Build(t, sample)
		dir := t.TempDir()
		mustPcache(t, env, "push", "--secret-key-file", key.file, "--store", env.Root, "file://"+dir, top)
		t.Run("its own daemon", func(t *testing.T) {
			other := v.Env(t)
			mustPcache(t, other, "pull", "--public-key", key.public, "--store", other.Root, "file://"+dir, top)
			sameClosure(t, env, other, top)
		})
		t.Run("Nix's own trust", func(t *testing.T) {
			other := v.Env(t)
			refused := pcache(t, other, "pull", "file://"+dir, top)
			if refused.code == exitOK {
				t.Error("a store that trusts no key took it")
			}
			absent(t, other, top)
			other.Configure("trusted-public-keys = " + key.public)
			mustPcache(t, other, "pull", "file://"+dir, top)
			sameClosure(t, env, other, top)
		})
		t.Run("a listening daemon", func(t *testing.T) {
			other := v.Env(t)
			socket := filepath.Join(t.TempDir(), "socket") // short enough for an address
			other.Vars = append(other.Vars, "NIX_DAEMON_SOCKET_PATH="+socket)
			daemon := other.Command("nix-daemon")
			if err := daemon.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = daemon.Process.Kill()
				_ = daemon.Wait()
			}()
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				if _, err := os.Stat(socket); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("nix-daemon does not listen")
				}
			}
			mustPcache(t, other, "pull", "--public-key", key.public, "--store", "unix://"+socket+"?root="+other.Root, "file://"+dir, top)
			sameClosure(t, env, other, top)
			again := mustPcache(t, other, "push", "--secret-key-file", key.file, "--store", "unix://"+socket+"?root="+other.Root, "file://"+t.TempDir(), top)
			if !strings.Contains(again.out, "paths sent") {
				t.Error(again.out)
			}
		})
	})
}

// A bucket is shared with a Nix that speaks S3: each reads what the other
// wrote. Debian's signs no requests, so the bucket is open to all.
func TestStockClientSharesABucket(t *testing.T) {
	versions := nixtest.Versions(t)
	v := versions[len(versions)-1]
	if !v.AtLeast(2, 34) {
		t.Fatalf("the newest Nix to test with is %s; 2.34 or later is needed, whose package speaks S3", v.Name)
	}
	env := v.Env(t)
	top := env.Build(t, sample)
	key := newKey(t, "e2e-1")
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		open := func() string {
			bucket := server.Bucket(t)
			server.Allow(t, bucket, "s3:GetObject", "s3:PutObject")
			server.Allow(t, bucket, "s3:GetObject", "s3:PutObject", "s3:ListBucket")
			return server.Address(bucket)
		}
		ours := open()
		mustPcache(t, env, "push", "--secret-key-file", key.file, ours, top)
		for _, command := range [][]string{
			{"nix", "copy", "--from", ours, top},
			{"nix-store", "--realise", top, "--option", "substituters", ours},
		} {
			client := v.Env(t)
			client.Run(t, command[0], append(command[1:], "--option", "trusted-public-keys", key.public)...)
			sameClosure(t, env, client, top)
		}
		theirs := open()
		env.Run(t, "nix", "copy", "--to", theirs+"&compression=zstd&secret-key="+key.file, top)
		other := v.Env(t)
		mustPcache(t, other, "pull", "--public-key", key.public, theirs, top)
		sameClosure(t, env, other, top)
		again := mustPcache(t, env, "push", "--secret-key-file", key.file, theirs, top)
		if !strings.Contains(again.out, "nothing to send") {
			t.Errorf("a push to what Nix wrote: %s", again.out)
		}
	})
}
