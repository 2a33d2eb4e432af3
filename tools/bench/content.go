package main

import (
	"math/bits"
	"math/rand/v2"
	"os"
)

// content makes bytes that compress as a system's files do: by about 3.1 with
// zstd's default level and 2.9 with its fastest, a tenth of them not at all.
// It works as a decompressor would: it takes turns between new bytes and copies
// of earlier ones.
type content struct {
	random *rand.Rand
	noise  *rand.ChaCha8
	buf    []byte
}

func newContent(seed uint64) *content {
	var key [32]byte
	for i := range key {
		key[i] = byte(seed >> (i % 8 * 8))
	}
	return &content{random: rand.New(rand.NewPCG(seed, 1)), noise: rand.NewChaCha8(key)}
}

// block is how far back copies reach.
const block = 1 << 20

// kind is what a file is like.
type kind struct {
	symbols  int     // different bytes among the new ones
	literals float64 // mean length of new bytes
	copies   float64 // mean length of what is copied, beyond four
	long     float64 // of every fourth copy
}

var kinds = []kind{
	{symbols: 80, literals: 5, copies: 10, long: 60},    // text
	{symbols: 220, literals: 10, copies: 12, long: 90},  // machine code
	{symbols: 160, literals: 12, copies: 30, long: 400}, // tables
}

// alphabets give each kind's new bytes: low ones are more frequent than high
// ones.
var alphabets = func() (tables [][256]byte) {
	for _, k := range kinds {
		var t [256]byte
		for i := range t {
			x := float64(i) / 256
			t[i] = byte(32 + int(x*x*float64(k.symbols)))
		}
		tables = append(tables, t)
	}
	return tables
}()

// file writes a file of a kind that is drawn for it.
func (g *content) file(name string, size int64, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	compressed := g.random.IntN(10) == 0
	k := g.random.IntN(len(kinds))
	for size > 0 && err == nil {
		n := min(size, block)
		if int64(cap(g.buf)) < n {
			g.buf = make([]byte, block)
		}
		b := g.buf[:n]
		if compressed {
			_, _ = g.noise.Read(b)
		} else {
			g.fill(b, k)
		}
		_, err = f.Write(b)
		size -= n
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (g *content) fill(b []byte, which int) {
	r, k, alphabet := g.random, kinds[which], &alphabets[which]
	for at := 0; at < len(b); {
		n := min(1+int(r.ExpFloat64()*k.literals), len(b)-at)
		var fresh uint64
		for i := range n {
			if i%8 == 0 {
				fresh = r.Uint64()
			}
			b[at+i] = alphabet[byte(fresh)]
			fresh >>= 8
		}
		at += n
		if at == len(b) || at < 8 {
			continue
		}
		mean := k.copies
		if r.Uint32()%4 == 0 {
			mean = k.long
		}
		length := min(4+int(r.ExpFloat64()*mean), len(b)-at)
		// Near copies are more frequent than far ones: the distance is uniform
		// within a power of two, which is uniform itself.
		reach := r.IntN(bits.Len32(uint32(at))) + 1
		distance := min(1+r.IntN(1<<reach), at)
		for length > 0 {
			n := copy(b[at:at+min(length, distance)], b[at-distance:at])
			at, length = at+n, length-n
		}
	}
}
