package gc

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// bucket is a simulated cache of n paths behind a network: each answer takes a
// round trip. Objects are made when they are asked for, so that the memory is
// the collection's own. Path i refers to up to thirty others before it, as those
// of a system do; generations name every hundredth path of a third of them.
type bucket struct {
	n        int
	trip     time.Duration
	requests atomic.Int64
}

const page = 1000 // objects of a listing

func (b *bucket) Requests() int { return 64 }

func (b *bucket) wait(ctx context.Context) error {
	b.requests.Add(1)
	select {
	case <-time.After(b.trip):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func pathName(i int) string { return fmt.Sprintf("%032d-package-%d", i, i) }

func (b *bucket) keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range b.n {
			if !yield(fmt.Sprintf("%032d.narinfo", i)) {
				return
			}
		}
		for i := range b.n {
			if !yield(fmt.Sprintf("nar/%052d.nar.zst", i)) {
				return
			}
		}
		if !yield("nix-cache-info") {
			return
		}
		for g := range 30 {
			if !yield(fmt.Sprintf("roots/host/2026%02d01T000000.000Z-00000000.json", g+10)) {
				return
			}
		}
	}
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		n := 0
		old := time.Now().Add(-1000 * time.Hour)
		for key := range b.keys() {
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			if n%page == 0 {
				if err := b.wait(ctx); err != nil {
					yield(blob.Info{}, err)
					return
				}
			}
			n++
			if !yield(blob.Info{Key: key, Size: 1500, Modified: old}, nil) {
				return
			}
		}
		if n == 0 {
			if err := b.wait(ctx); err != nil {
				yield(blob.Info{}, err)
			}
		}
	}
}

func (b *bucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := b.wait(ctx); err != nil {
		return nil, err
	}
	text := ""
	switch {
	case key == "nix-cache-info":
		text = "StoreDir: /nix/store\n"
	case strings.HasSuffix(key, ".narinfo"):
		var i int
		if _, err := fmt.Sscanf(key, "%032d.narinfo", &i); err != nil {
			return nil, err
		}
		text = narInfoText(i)
	case strings.HasPrefix(key, "roots/"):
		var g int
		if _, err := fmt.Sscanf(key, "roots/host/2026%02d01", &g); err != nil {
			return nil, err
		}
		generation := strings.TrimSuffix(strings.TrimPrefix(key, "roots/host/"), ".json")
		var paths []string
		for i := b.n/3 + (g-10)*10; i < b.n*2/3; i += 100 {
			paths = append(paths, `"/nix/store/`+pathName(i)+`"`)
		}
		text = fmt.Sprintf(`{"version":1,"name":"host","generation":%q,"time":"2026-01-%02dT00:00:00Z","paths":[%s]}`, generation, g-9, strings.Join(paths, ","))
	default:
		return nil, blob.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func narInfoText(i int) string {
	var refs []string
	for k := 1; k <= 30 && i-k*k >= 0; k++ {
		refs = append(refs, pathName(i-k*k))
	}
	return fmt.Sprintf("StorePath: /nix/store/%s\nURL: nar/%052d.nar.zst\nCompression: zstd\nFileHash: sha256:%052d\nFileSize: 1500\nNarHash: sha256:%052d\nNarSize: 4000\nReferences: %s\nDeriver: %s.drv\nSig: key-1:%s\n",
		pathName(i), i, i, i, strings.Join(refs, " "), pathName(i), strings.Repeat("A", 86)+"==")
}

func (b *bucket) Stat(context.Context, string) (blob.Info, error) {
	return blob.Info{}, blob.ErrNotExist
}
func (b *bucket) Put(context.Context, string, io.Reader, int64) error {
	return fmt.Errorf("it is read only")
}
func (b *bucket) Delete(context.Context, string) error { return fmt.Errorf("it is read only") }

// largePaths is how many paths the simulated bucket has, largeMemory what a plan
// for it may take, in bytes, and largeTime how long, with round trips of 10 ms.
const (
	largePaths  = 100_000
	largeMemory = 512 << 20
	largeTime   = time.Minute
	planVar     = "PANTHEROS_TEST_PLAN"
)

// TestLargeBucket plans a collection of a bucket of 100,000 paths in a process of
// its own, whose memory is measured. The time is held against its limit only in
// the long form (PANTHEROS_SOAK), since the machine may be busy.
func TestLargeBucket(t *testing.T) {
	if os.Getenv(planVar) != "" {
		planLarge(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLargeBucket$", "-test.v")
	cmd.Env = append(os.Environ(), planVar+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var took time.Duration
	var peak, requests int64
	for line := range strings.Lines(string(out)) {
		var seconds float64
		if _, err := fmt.Sscanf(line, "planned in %f s, %d kB, %d requests", &seconds, &peak, &requests); err == nil {
			took = time.Duration(seconds * float64(time.Second))
		}
	}
	if took == 0 {
		t.Fatalf("it did not say how long it took:\n%s", out)
	}
	t.Logf("%d paths, round trips of %s: planned in %.1f s with %d MiB and %d requests", largePaths, largeTrip(), took.Seconds(), peak>>10, requests)
	if peak<<10 > largeMemory {
		t.Errorf("it took %d MiB of memory", peak>>10)
	}
	if took > largeTime && os.Getenv("PANTHEROS_SOAK") != "" {
		t.Errorf("it took %s", took)
	}
}

// largeTrip is how long an answer takes: in the long form as long as over a
// network, otherwise no time, since only the memory is of interest.
func largeTrip() time.Duration {
	if os.Getenv("PANTHEROS_SOAK") != "" {
		return 10 * time.Millisecond
	}
	return 0
}

func planLarge(t *testing.T) {
	if _, err := nix.ParseNARInfo(nix.DefaultStoreDir, []byte(narInfoText(1234))); err != nil {
		t.Fatal(err)
	}
	b := &bucket{n: largePaths, trip: largeTrip()}
	began := time.Now()
	c, err := DryRun(t.Context(), b, Options{Name: "simulated", Policy: Policy{Keep: 3, Grace: DefaultGrace}})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if len(c.Plan.Go) == 0 || len(c.Plan.Go) >= 2*largePaths {
		t.Errorf("%d objects go", len(c.Plan.Go))
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var peak int64
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &peak); err == nil {
			break
		}
	}
	fmt.Printf("planned in %f s, %d kB, %d requests\n", took.Seconds(), peak, b.requests.Load())
}
