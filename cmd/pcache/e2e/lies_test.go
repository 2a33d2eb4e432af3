package e2e

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

const loginPage = "<!DOCTYPE html><html><title>Sign in</title></html>"

// A web server that does not answer with what it was asked for leads to one
// line that says so, to an exit code of the documented kind, and to nothing in
// the store; what was there stays as it was, and an honest server completes it.
func TestPullFromLyingServers(t *testing.T) {
	env := nixtest.Another(t)
	top := env.Build(t, sample)
	key := newKey(t, "e2e-1")
	dir := t.TempDir()
	mustPcache(t, env, "push", "--secret-key-file", key.file, "file://"+dir, top)
	narInfos, err := filepath.Glob(filepath.Join(dir, "*.narinfo"))
	if err != nil || len(narInfos) < 2 {
		t.Fatalf("narinfos %v, %v", narInfos, err)
	}
	own := nix.StorePath(top).HashPart() + ".narinfo"
	other := narInfos[slices.IndexFunc(narInfos, func(f string) bool { return filepath.Base(f) != own })]
	foreign, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}

	// A lie changes an answer, or writes one of its own and returns nil.
	type lie func(w http.ResponseWriter, r *http.Request, honest []byte) []byte
	say := func(text []byte) lie {
		return func(http.ResponseWriter, *http.Request, []byte) []byte { return text }
	}
	forever := func(fill string, truth bool) lie {
		return func(w http.ResponseWriter, r *http.Request, honest []byte) []byte {
			if truth {
				_, _ = w.Write(honest)
			}
			for block := bytes.Repeat([]byte(fill), 1<<16); r.Context().Err() == nil; {
				if _, err := w.Write(block); err != nil {
					break
				}
			}
			return nil
		}
	}
	flip := func(at int) lie {
		return func(_ http.ResponseWriter, _ *http.Request, honest []byte) []byte {
			changed := bytes.Clone(honest)
			changed[min(at, len(changed)-1)] ^= 1
			return changed
		}
	}
	announce := func(more int) lie {
		return func(w http.ResponseWriter, _ *http.Request, honest []byte) []byte {
			n := len(honest) + more
			w.Header().Set("Content-Length", strconv.Itoa(n))
			return honest[:min(n, len(honest))]
		}
	}
	for name, tt := range map[string]struct {
		what  string // of the URLs, that it lies about
		lie   lie
		codes []int
	}{
		"a login page for NARs":           {"/nar/", say([]byte(loginPage)), []int{exitFailed}},
		"a login page for narinfos":       {".narinfo", say([]byte(loginPage)), []int{exitFailed}},
		"a login page for everything":     {"", say([]byte(loginPage)), []int{exitFailed}},
		"NARs with the first bit changed": {"/nar/", flip(0), []int{exitDamaged}},
		"NARs with a bit inside changed":  {"/nar/", flip(40), []int{exitDamaged}},
		"NARs cut off":                    {"/nar/", announce(-20), []int{exitDamaged}},
		"NARs shorter than announced":     {"/nar/", announce(20), []int{exitFailed, exitDamaged}},
		"empty NARs":                      {"/nar/", say([]byte{}), []int{exitDamaged}},
		"endless NARs":                    {"/nar/", forever("\x00", false), []int{exitDamaged}},
		"NARs that go on":                 {"/nar/", forever("\x00", true), []int{exitDamaged}},
		"narinfos cut off":                {".narinfo", announce(-20), []int{exitDamaged}},
		"narinfos shorter than announced": {".narinfo", announce(20), []int{exitFailed}},
		"empty narinfos":                  {".narinfo", say([]byte{}), []int{exitDamaged}},
		"the narinfo of another path":     {own, say(foreign), []int{exitDamaged}},
		"narinfos that are too large":     {".narinfo", say(append(bytes.Clone(foreign), bytes.Repeat([]byte("X: y\n"), 1<<20)...)), []int{exitDamaged}},
		"endless narinfos":                {".narinfo", forever("X: y\n", false), []int{exitDamaged}},
		"an endless nix-cache-info":       {"/nix-cache-info", forever("X: y\n", false), []int{exitDamaged, exitFailed, exitRefused}},
		"a narinfo with another hash":     {own, flip(bytes.Index(mustRead(t, filepath.Join(dir, own)), []byte("NarHash: sha256:")) + 20), []int{exitDamaged}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				honest, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(filepath.Clean("/"+r.URL.Path))))
				if err != nil {
					http.NotFound(w, r)
					return
				}
				if strings.Contains(r.URL.Path, tt.what) {
					honest = tt.lie(w, r, honest)
				}
				_, _ = w.Write(honest)
			}))
			t.Cleanup(server.Close)
			client := nixtest.Another(t)
			file := filepath.Join(t.TempDir(), "kept")
			if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
			kept := strings.TrimSpace(client.Run(t, "nix-store", "--add", file))
			begun := time.Now()
			e := pcache(t, client, "pull", "--public-key", key.public, server.URL, top)
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %s", took)
			}
			if !slices.Contains(tt.codes, e.code) {
				t.Errorf("exit code %d, want one of %v; standard error %q", e.code, tt.codes, e.stderr)
			}
			lines := strings.Split(strings.TrimSuffix(e.stderr, "\n"), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "pcache: ") || len(last) > 1000 {
				t.Errorf("standard error ends with %q, want one line of pcache", last)
			}
			absent(t, client, top)
			client.Run(t, "nix-store", "--verify", "--check-contents")
			client.Run(t, "nix-store", "--check-validity", kept)
			mustPcache(t, client, "pull", "--public-key", key.public, webServer(t, dir), top)
			sameClosure(t, env, client, top)
		})
	}
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A bucket whose lists leave out what is there, or name what is not, is pushed
// to and pulled from all the same: a list is never a proof.
func TestLyingLists(t *testing.T) {
	env, paths := cargo(t)
	key := newKey(t, "e2e-1")
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		for name, ghosts := range map[string][]string{
			"nothing is there": nil,
			"ghosts are there": {"0000000000000000000000000000000a.narinfo", "ghost", "ghosts/ghost", "nar/0000000000000000000000000000000000000000000000000000.nar.zst"},
		} {
			t.Run(name, func(t *testing.T) {
				bucket := server.Bucket(t)
				server.Allow(t, bucket, "s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject")
				p := s3test.NewProxy(t, server.Addr)
				address := "s3://" + bucket + "?scheme=http&endpoint=" + p.Addr
				lies := func(_ int, r *http.Request) s3test.Fault {
					q := r.URL.Query()
					if r.Method != http.MethodGet || !q.Has("list-type") {
						return s3test.Fault{}
					}
					answer := listAnswer(bucket, q.Get("prefix"), ghosts)
					return s3test.Fault{Replace: &answer}
				}
				p.Rule(lies)
				mustPcache(t, env, append([]string{"push", "--secret-key-file", key.file, address}, paths[0])...)
				mustPcache(t, env, append([]string{"push", "--secret-key-file", key.file, address}, paths...)...)
				lied := 0
				for _, line := range p.Seen() {
					if strings.Contains(line, "list-type") {
						lied++
					}
				}
				if lied == 0 {
					t.Error("nothing was listed, so no lie was told")
				}
				other := nixtest.Another(t)
				mustPcache(t, other, append([]string{"pull", "--public-key", key.public, address}, paths...)...)
				sameClosure(t, env, other, paths...)
			})
		}
	})
}

// listAnswer is a list as S3 writes it, of keys below a prefix.
func listAnswer(bucket, prefix string, keys []string) string {
	var b strings.Builder
	escape := func(s string) string {
		var e bytes.Buffer
		_ = xml.EscapeText(&e, []byte(s))
		return e.String()
	}
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>%s</Name><Prefix>%s</Prefix><KeyCount>%d</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>`, escape(bucket), escape(prefix), len(keys))
	for _, k := range keys {
		fmt.Fprintf(&b, `<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>12</Size><StorageClass>STANDARD</StorageClass></Contents>`, escape(prefix+k), time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	b.WriteString("</ListBucketResult>")
	return b.String()
}
