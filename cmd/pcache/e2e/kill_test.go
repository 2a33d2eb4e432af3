package e2e

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/badnet"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"

	"github.com/klauspost/compress/zstd"
)

const kills = 100

// Killed a hundred times at random moments, a push to a bucket leaves after each
// only paths whose whole closure is there, with their NARs; a stock client reads
// them; and one more push completes it.
func TestKilledPushesToABucket(t *testing.T) {
	env, paths := cargo(t)
	key := newKey(t, "e2e-1")
	versions := nixtest.Versions(t)
	newest := versions[len(versions)-1]
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		slow := listen(t, server.Addr, badnet.Options{RTT: 20 * time.Millisecond, Bandwidth: 4 << 20})
		random := rand.New(rand.NewPCG(1, 2))
		killed, begun := 0, 0
		for killed < kills {
			// Buckets are begun anew when they are full, so that all hundred
			// kills meet a push that has something to do.
			begun++
			bucket := server.Bucket(t)
			server.Allow(t, bucket, "s3:GetObject", "s3:PutObject", "s3:ListBucket")
			args := append([]string{"push", "--secret-key-file", key.file, through(slow, bucket)}, paths...)
			visible := 0
			for killed < kills {
				cmd := exec.Command(program, args...)
				cmd.Env = append(os.Environ(), env.Vars...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Duration(100+random.IntN(700))*time.Millisecond, func() { _ = cmd.Process.Kill() })
				if cmd.Wait() == nil {
					break // it was faster
				}
				killed++
				now := visibleClosures(t, server, bucket)
				if len(now) < visible {
					t.Fatalf("%d paths were visible, now %d", visible, len(now))
				}
				// Each client takes seconds: one of ten.
				if len(now) > visible && killed%10 == 0 {
					client := newest.Env(t)
					client.Run(t, "nix", append([]string{"copy", "--from", server.Address(bucket), "--option", "trusted-public-keys", key.public}, now...)...)
					client.Run(t, "nix-store", "--verify", "--check-contents")
				}
				visible = len(now)
			}
			mustPcache(t, env, args...)
			client := newest.Env(t)
			client.Run(t, "nix", append([]string{"copy", "--from", server.Address(bucket), "--option", "trusted-public-keys", key.public}, paths...)...)
			sameClosure(t, env, client, paths...)
		}
		t.Logf("killed %d times, over %d buckets", killed, begun)
	})
}

// visibleClosures fails if a path that a bucket shows lacks its NAR or something
// that it refers to, and returns the paths.
func visibleClosures(t *testing.T, server *s3test.Server, bucket string) (paths []string) {
	t.Helper()
	there := map[string]bool{}
	names := server.Names(t, bucket)
	for _, name := range names {
		there[name] = true
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".narinfo") {
			continue
		}
		n, err := nix.ParseNARInfo(nix.DefaultStoreDir, server.Get(t, bucket, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !there[n.URL] {
			t.Errorf("%s is visible without its NAR", n.Path)
		} else if err := whole(server.Get(t, bucket, n.URL), n); err != nil {
			t.Errorf("%s is visible, its NAR %s: %v", n.Path, n.URL, err)
		}
		for _, r := range n.References {
			if !there[r.HashPart()+".narinfo"] {
				t.Errorf("%s is visible, and %s, which it refers to, is not", n.Path, r)
			}
		}
		paths = append(paths, fmt.Sprint(n.Path))
	}
	return paths
}

// whole compares a stored NAR with its narinfo.
func whole(data []byte, n nix.NARInfo) error {
	if int64(len(data)) != n.FileSize {
		return fmt.Errorf("it has %d bytes, its narinfo says %d", len(data), n.FileSize)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		return err
	}
	defer d.Close()
	plain, err := d.DecodeAll(data, nil)
	if err != nil {
		return fmt.Errorf("its %d bytes: %w", len(data), err)
	}
	if int64(len(plain)) != n.NARSize || sha256.Sum256(plain) != n.NARHash {
		return fmt.Errorf("it is another NAR, of %d bytes", len(plain))
	}
	return nil
}
