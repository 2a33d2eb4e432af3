package binarycache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/klauspost/compress/zstd"
)

func randomBytes(n int, seed uint64) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(data)
	return data
}

// textBytes compress to about a third.
func textBytes(n int, seed uint64) []byte {
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

// mixed has pieces that compress and pieces that do not, of many sizes.
func mixed(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		size := 1 << (10 + i%12)
		if i%3 == 0 {
			b.Write(randomBytes(size, uint64(i)))
		} else {
			b.Write(textBytes(size, uint64(i)))
		}
	}
	return b.Bytes()[:n]
}

// through compresses with Auto, the pieces being as the source has them, and
// decompresses what came out with an ordinary decoder.
func through(t *testing.T, data []byte, p *pilot, piece int) (stored int) {
	t.Helper()
	c := newCompressor(Auto, struct{ io.Reader }{&pieces{data: data, piece: piece}}, false, newPlaces(), p)
	var out bytes.Buffer
	if _, err := io.Copy(&out, c); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c.n != int64(out.Len()) {
		t.Errorf("%d bytes counted, %d came", c.n, out.Len())
	}
	stored = out.Len() // before the decoder, which reads ahead, has it
	d, err := zstd.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := io.ReadAll(d)
	if err != nil {
		t.Fatalf("%d bytes in pieces of %d: %v", len(data), piece, err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("%d bytes in pieces of %d: other bytes came back", len(data), piece)
	}
	return stored
}

type pieces struct {
	data  []byte
	piece int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.data[:min(p.piece, len(p.data))])
	p.data = p.data[n:]
	return n, nil
}

// link is an uplink of one speed after the other.
func link(rates ...float64) func() float64 {
	i := -1
	return func() float64 {
		i++
		return rates[i%len(rates)]
	}
}

func TestAutoReadsBack(t *testing.T) {
	changing := link(1e6, 80e6, 150e6, 1e9, 0)
	for _, n := range []int{0, 1, 100, rawBlock - 1, rawBlock, rawBlock + 1, 1 << 20, 40 << 20} {
		for _, piece := range []int{7000, 32 << 10, 1 << 20} {
			for name, data := range map[string][]byte{"random": randomBytes(n, 1), "text": textBytes(n, 1), "mixed": mixed(n)} {
				stored := through(t, data, newPilot(changing), piece)
				if name == "random" && stored > n+n/1000+16 {
					t.Errorf("%d random bytes became %d", n, stored)
				}
				if name == "text" && n >= 1<<20 && stored > n/2 {
					t.Errorf("%d bytes of text became %d", n, stored)
				}
			}
		}
	}
}

// What does not compress does not reach an encoder: the pilot, which would have
// to choose its level, is not asked.
func TestAutoStoresWhatDoesNotCompress(t *testing.T) {
	p := newPilot(func() float64 {
		t.Error("a level was chosen")
		return 0
	})
	through(t, randomBytes(20<<20, 3), p, 32<<10)
}

// A better level is taken only as far as processors would wait for the link.
func TestPilot(t *testing.T) {
	level := func(uplink, speed float64, active int) Level {
		p := newPilot(func() float64 { return uplink })
		p.speed, p.active = speed, active
		return p.choose()
	}
	rank := map[Level]int{Fastest: 0, Default: 1, Better: 2, Best: 3}
	for _, speed := range []float64{0.1, 1, 3} {
		for _, active := range []int{1, 2} {
			if got := level(0, speed, active); got != Default {
				t.Errorf("unknown link: %s", got)
			}
			before := Best
			for uplink := 1e5; uplink < 1e11; uplink *= 1.3 {
				got := level(uplink, speed, active)
				if rank[got] > rank[before] {
					t.Errorf("speed %v, %d active: %s at %.1e bytes per second, %s for a slower link", speed, active, got, uplink, before)
				}
				before = got
			}
			if first := level(1e5, speed, active); first != Best {
				t.Errorf("speed %v: a very slow link gets %s", speed, first)
			}
			if before != Fastest {
				t.Errorf("speed %v: a very fast link gets %s", speed, before)
			}
		}
	}
}

// fakeLink is a store behind a link whose speed changes.
type fakeLink struct {
	blob.Store
	uplink func() float64
}

func (f *fakeLink) Uplink() float64 { return f.uplink() }
func (f *fakeLink) Uploaded() int64 { return 0 }

// A stock client reads what changing levels leave: frames of several levels and
// of raw blocks, one after the other.
func TestStockNixReadsAuto(t *testing.T) {
	f := newFixture(t)
	tree := t.TempDir()
	for name, data := range map[string][]byte{"a-text": textBytes(30<<20, 5), "b-random": randomBytes(5<<20, 6), "c-mixed": mixed(20 << 20)} {
		if err := os.WriteFile(filepath.Join(tree, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := nix.StorePath(f.env.AddTree(t, tree))
	sink, err := OpenSink(t.Context(), &fakeLink{f.cache, link(1e6, 80e6, 150e6, 1e9, 0)}, SinkOptions{Name: "test", Keys: []nix.SecretKey{f.key}, Level: Auto})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Copy(context.Background(), sink, f.store, []nix.StorePath{path}, cache.Options{}); err != nil {
		t.Fatal(err)
	}
	other := nixtest.Another(t)
	other.Run(t, "nix", "copy", "--from", "file://"+f.dir, string(path), "--option", "trusted-public-keys", f.key.Public().String())
	other.Run(t, "nix-store", "--verify", "--check-contents")
}
