package s3test_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// text compresses to about a third, and differs by seed.
func text(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	words := make([]string, 4000)
	for i := range words {
		words[i] = fmt.Sprintf("%x ", r.Uint64()>>(r.UintN(60)))
	}
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.Bytes()[:n]
}

// A slow link gets better levels than the default, and than a fast one. (Which
// the fast one gets depends on what else this machine does: binarycache.TestPilot
// holds what follows from a given speed.)
func TestAutoFollowsTheLink(t *testing.T) {
	f := newFixture(t)
	var roots []nix.StorePath
	for i := range uint64(3) {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("text-%d", i))
		if err := os.WriteFile(file, text(40<<20, i), 0o644); err != nil {
			t.Fatal(err)
		}
		roots = append(roots, nix.StorePath(f.env.AddTree(t, file)))
	}
	server := s3test.Start(t, s3test.Versitygw)
	server.Environ(t)
	proxy := s3test.NewProxy(t, server.Addr)
	push := func(level binarycache.Level, rate int64) (stored int64) {
		proxy.Throttle(rate)
		s := open(t, "s3://"+server.Bucket(t)+"?scheme=http&endpoint="+proxy.Addr)
		sink, err := binarycache.OpenSink(t.Context(), s, binarycache.SinkOptions{Name: "test", Keys: []nix.SecretKey{f.key}, Level: level})
		if err != nil {
			t.Fatal(err)
		}
		r, err := cache.Copy(t.Context(), sink, f.store, roots, cache.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Outcomes {
			stored += o.FileSize
		}
		t.Logf("%s at %d bytes per second: %d bytes, link measured as %.1f MB/s", level, rate, stored, s.Uplink()/1e6)
		return stored
	}
	fastest, usual := push(binarycache.Fastest, 0), push(binarycache.Default, 0)
	fast, slow := push(binarycache.Auto, 0), push(binarycache.Auto, 4<<20)
	if fastest <= usual {
		t.Fatalf("the fastest level leaves %d bytes, the default one %d: the test says nothing", fastest, usual)
	}
	if slow >= usual {
		t.Errorf("over a slow link %d bytes, with the default level %d", slow, usual)
	}
	if fast <= slow {
		t.Errorf("over a fast link %d bytes, over a slow one %d", fast, slow)
	}
}
