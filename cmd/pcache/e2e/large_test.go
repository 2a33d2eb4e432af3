package e2e

import (
	"bufio"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/internal/s3test"
)

// largeVariable is the size, in bytes, of the path that memory is measured
// with. `make large` says 10 GB; what is always run is small, and still larger
// than all that may be used.
const largeVariable = "PANTHEROS_LARGE"

const defaultLarge = 384 << 20

// The memory, in MiB, that the commands' help promises to stay below, whatever
// the size of a path.
const (
	toDirectory = 128
	toBucket    = 256
	fromCache   = 128
)

// largeFile writes a file that compresses to less than half.
func largeFile(t *testing.T, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "large")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	noise := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = "what a compressor can make small, line after line\n"[i%50]
	}
	for left := size; left > 0; left -= int64(len(block)) {
		_, _ = noise.Read(block[:300<<10])
		if _, err := w.Write(block[:min(left, int64(len(block)))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// The memory that a push and a pull take does not follow the size of a path.
func TestLargePath(t *testing.T) {
	size := int64(defaultLarge)
	if text := os.Getenv(largeVariable); text != "" {
		var err error
		if size, err = strconv.ParseInt(text, 10, 64); err != nil || size < defaultLarge {
			t.Fatalf("%s=%s: want at least %d bytes", largeVariable, text, defaultLarge)
		}
		longest = 3 * time.Hour
		t.Cleanup(func() { longest = patience })
	}
	env := nixtest.Another(t)
	file := largeFile(t, size)
	path := env.AddTree(t, file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	key := newKey(t, "e2e-1")
	within := func(e ended, limit int64, what string) {
		t.Helper()
		if raceEnabled {
			limit *= 10 // the detector's own memory
		}
		peak := e.usage.Maxrss >> 10
		t.Logf("%s of %d MiB: %d MiB of memory, %.1f s, %.1f s of processors", what, size>>20, peak, e.took.Seconds(), seconds(e.usage.Utime)+seconds(e.usage.Stime))
		if peak > limit {
			t.Errorf("%s of %d MiB took %d MiB of memory, want at most %d", what, size>>20, peak, limit)
		}
	}
	round := func(t *testing.T, address string, limit int64) {
		within(mustPcache(t, env, "push", "--secret-key-file", key.file, address, path), limit, "push")
		other := nixtest.Another(t)
		within(mustPcache(t, other, "pull", "--public-key", key.public, address, path), fromCache, "pull")
		other.Run(t, "nix-store", "--check-validity", path)
		// It is as large as all else of the test together.
		if err := os.Chmod(other.Root+"/nix/store", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(other.Root + path); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("directory", func(t *testing.T) { round(t, "file://"+t.TempDir(), toDirectory) })
	s3test.Each(t, func(t *testing.T, server *s3test.Server) {
		server.Environ(t)
		round(t, server.Address(server.Bucket(t)), toBucket)
	})
}

func seconds(v syscall.Timeval) float64 { return float64(v.Sec) + float64(v.Usec)/1e6 }
