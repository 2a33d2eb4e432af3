package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// sweepRounds are few, so that they always run; TestSoak has the long form of
// pushes without a server.
const sweepRounds = 6

// sweptAway is how a push ends that a collection came in between of: by the
// server's word, Nix's own and pcache's.
var sweptAway = []string{"409", "is not valid", "vanished from the cache during the push", "not there"}

// Collections go on while Nix and pcache push through a server to a directory or
// a bucket, of which the server keeps what it reads. All that the pushed systems
// refer to has been in the cache for days, and no root needs it: it is what a
// collection takes, perhaps after the client was told that it is there. A push
// then fails and is tried again, or it succeeds, and what it pushed is there with
// its whole closure.
func TestServePushesUnderSweeps(t *testing.T) {
	t.Run("directory", func(t *testing.T) {
		dir := t.TempDir()
		servePushesUnderSweeps(t, sweepRounds, "file://"+dir, dir)
	})
	t.Run("bucket", func(t *testing.T) {
		// The ages of MinIO's objects are not those of its files.
		server := s3test.Start(t, s3test.Versitygw)
		server.Environ(t)
		bucket := server.Bucket(t)
		servePushesUnderSweeps(t, sweepRounds/2, server.Address(bucket), filepath.Join(server.Dir, bucket))
	})
}

// servePushesUnderSweeps does it with the cache at an address, whose files are in
// dir.
func servePushesUnderSweeps(t *testing.T, rounds int, cache, dir string) {
	key := newKey(t, "serve-1")
	s := serve(t, "--accept-pushes", "--secret-key-file", key.file, "--local", t.TempDir(), cache)
	env := nixtest.Another(t)
	systems := generations(t, env, 2*rounds+1)
	env.Run(t, "nix", "copy", "--to", s.url+"?compression=zstd", systems[2*rounds]) // so that it is a cache
	attic := "attic+" + s.url + "/main"
	push := map[string]func(system string) *exec.Cmd{
		// Nix remembers for a month what a cache had.
		"nix copy": func(system string) *exec.Cmd {
			return env.Command("nix", "copy", "--option", "narinfo-cache-positive-ttl", "0", "--option", "narinfo-cache-negative-ttl", "0", "--to", s.url+"?compression=zstd", system)
		},
		"pcache push": func(system string) *exec.Cmd { return env.Command(program, "push", attic, system) },
	}
	refused := 0
	for round := range rounds {
		age(t, dir)
		stop := make(chan struct{})
		var sweeps, pushes sync.WaitGroup
		swept := 0
		sweeps.Go(func() {
			// It begins before, while or after a client asks what is there.
			time.Sleep(time.Duration(round) * 40 * time.Millisecond)
			for ; ; swept++ {
				if e := pcache(t, env, "gc", "--grace", "1h", "--apply", cache); e.code != exitOK {
					t.Errorf("gc ended with %d: %s", e.code, e.stderr)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		var mu sync.Mutex
		for i, name := range []string{"nix copy", "pcache push"} {
			system := systems[2*round+i]
			pushes.Go(func() {
				for tries := 1; ; tries++ {
					out, err := push[name](system).CombinedOutput()
					if err == nil {
						break
					}
					if tries == 20 || !slices.ContainsFunc(sweptAway, func(text string) bool { return strings.Contains(string(out), text) }) {
						t.Errorf("round %d, try %d: %s: %v: %.2000s", round, tries, name, err, out)
						return
					}
					mu.Lock()
					refused++
					mu.Unlock()
				}
				status, body, err := get(t, s.url+"/"+nix.StorePath(system).HashPart()+".narinfo")
				if err != nil || status != http.StatusOK {
					t.Errorf("round %d: %s has pushed %s, which is not there: %d %v", round, name, system, status, err)
					return
				}
				s.wantClosure(t, body, map[string]bool{})
			})
		}
		pushes.Wait()
		close(stop)
		sweeps.Wait()
		if e := pcache(t, env, "verify", "--level", "full", cache); e.code != exitOK {
			t.Fatalf("after round %d: %s%s", round, e.out, e.stderr)
		}
		for _, system := range systems[2*round : 2*round+2] {
			if _, err := os.Stat(filepath.Join(dir, nix.StorePath(system).HashPart()+".narinfo")); err != nil {
				t.Errorf("after round %d, with %d sweeps: %v", round, swept+1, err)
			}
		}
	}
	t.Logf("%d pushes were refused and tried again", refused)
}

// age makes all that is in a directory two days old.
func age(t testing.TB, path string) {
	t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	if err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(name, old, old)
	}); err != nil {
		t.Fatal(fmt.Errorf("make the cache old: %w", err))
	}
}
