package binarycache

import (
	"compress/bzip2"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/pipe"

	"github.com/klauspost/compress/zstd"
	"github.com/xi2/xz"
)

// Level is how NARs are compressed when they are stored.
type Level string

// The levels, from no compression to the slowest. The zero value is Default.
const (
	None    Level = "none"
	Fastest Level = "fastest"
	Default Level = "default"
	Better  Level = "better"
	Best    Level = "best"
	// Auto chooses among these while it compresses: as good as the link to the
	// cache leaves time for. What does not compress is stored. Its output is
	// not the same for the same input.
	Auto Level = "auto"
)

// Levels are all of them, for help texts and completion.
var Levels = []Level{None, Fastest, Default, Better, Best, Auto}

// ParseLevel checks a level that a person wrote.
func ParseLevel(s string) (Level, error) {
	for _, l := range Levels {
		if s == string(l) {
			return l, nil
		}
	}
	return "", fmt.Errorf("compression %q is none of %v", s, Levels)
}

// compression is the word that narinfos have for it.
func (l Level) compression() string {
	if l == None {
		return "none"
	}
	return "zstd"
}

// narKey is where a NAR is kept. The hash is the uncompressed NAR's, known
// before any compressing, so that existence is checked first; whatever level
// wrote the object, it holds those bytes.
func (l Level) narKey(h nix.Hash) string {
	if l == None {
		return "nar/" + h.Base32() + ".nar"
	}
	return "nar/" + h.Base32() + ".nar.zst"
}

// windows are how far back matches are looked for, in bytes. Those of the cheap
// levels are kept small: beyond, they find nothing worth having, and what
// several encoders remember no longer fits the processors' caches.
var windows = map[Level]int{Fastest: 4 << 20, Default: 4 << 20, Better: 8 << 20, Best: 8 << 20}

// encoders are expensive to make and hold megabytes: they are pooled, one pool
// a level, each encoder used by one goroutine at a time without more of its
// own, which costs the least CPU per byte. They add no checksum: every reader
// compares the NAR's hash, and the file's is in the narinfo.
var encoders = func() map[Level]*sync.Pool {
	pools := make(map[Level]*sync.Pool)
	for level, speed := range map[Level]zstd.EncoderLevel{
		Fastest: zstd.SpeedFastest,
		Default: zstd.SpeedDefault,
		Better:  zstd.SpeedBetterCompression,
		Best:    zstd.SpeedBestCompression,
	} {
		pools[level] = &sync.Pool{New: func() any {
			e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(windows[level]))
			if err != nil {
				panic(err) // the options are constants
			}
			return e
		}}
	}
	return pools
}()

// compressor yields the compressed bytes of a NAR and remembers their hash
// and number. It is read once.
type compressor struct {
	level Level
	nar   io.Reader
	small bool
	pilot *pilot
	places
	hash   hash.Hash
	n      int64
	waited time.Duration
	pipe.Reader
}

// newCompressor makes a compressor of a NAR that is small or not; pilot is for
// Auto.
func newCompressor(level Level, nar io.Reader, small bool, p places, pilot *pilot) *compressor {
	if level == "" {
		level = Default
	}
	c := &compressor{level: level, nar: nar, small: small, places: p, pilot: pilot, hash: sha256.New()}
	c.Source = pipe.Func(c.compress)
	return c
}

func (c *compressor) compress(w io.Writer) (int64, error) {
	c.encoders.enter(c.small)
	defer c.encoders.leave(c.small, c.small)
	seat := c.seat(c.small)
	defer seat.leave()
	out := writerFunc(func(p []byte) (n int, err error) {
		c.hash.Write(p)
		c.waited += seat.during(func() { n, err = w.Write(p) })
		c.n += int64(n)
		return n, err
	})
	if c.level == Auto {
		return c.compressAuto(out)
	}
	if c.level == None {
		_, err := io.Copy(out, c.nar)
		return c.n, err
	}
	pool := encoders[c.level]
	e := pool.Get().(*zstd.Encoder)
	defer pool.Put(e)
	e.Reset(out)
	defer e.Reset(nil)
	if _, err := io.Copy(e, c.nar); err != nil {
		return c.n, err
	}
	return c.n, e.Close()
}

func (c *compressor) compressAuto(out io.Writer) (int64, error) {
	defer c.pilot.join()()
	begun := time.Now()
	a := &autoWriter{
		pilot: c.pilot, out: out,
		clock:  func() time.Duration { return time.Since(begun) - c.waited },
		stored: func() int64 { return c.n },
	}
	defer a.release()
	if _, err := io.Copy(a, c.nar); err != nil {
		return c.n, err
	}
	return c.n, a.end()
}

// SHA256 is the hash of the compressed bytes, when all have been written.
func (c *compressor) SHA256() (h [sha256.Size]byte) {
	c.hash.Sum(h[:0])
	return h
}

var _ blob.Digested = (*compressor)(nil)

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// decoders are pooled for the same reasons as encoders. The window is what
// Nix's own encoder may use at its highest level.
var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}}

// decompress undoes a narinfo's Compression.
func decompress(compression string, r io.Reader) (io.ReadCloser, error) {
	switch compression {
	case "none":
		return io.NopCloser(r), nil
	case "zstd":
		d := decoders.Get().(*zstd.Decoder)
		if err := d.Reset(r); err != nil {
			return nil, err
		}
		return &pooledDecoder{d}, nil
	case "xz":
		return io.NopCloser(&lazyReader{open: func() (io.Reader, error) { return xz.NewReader(r, maxXZDictionary) }}), nil
	case "bzip2":
		return io.NopCloser(bzip2.NewReader(r)), nil
	case "gzip":
		return io.NopCloser(&lazyReader{open: func() (io.Reader, error) { return gzip.NewReader(r) }}), nil
	default:
		return nil, fmt.Errorf("compression %q is not one that can be read here (none, zstd, xz, bzip2, gzip)", compression)
	}
}

// maxXZDictionary bounds the memory, in bytes, that a file may ask its decoder
// for. It is what xz -9 needs, the most that Nix's compression-level gives.
const maxXZDictionary = 64 << 20

// lazyReader reads a file's header with its first bytes, so that a damaged one
// is an error of reading.
type lazyReader struct {
	open func() (io.Reader, error)
	r    io.Reader
}

func (l *lazyReader) Read(p []byte) (n int, err error) {
	if l.r == nil {
		l.r, err = l.open()
	}
	if err == nil {
		n, err = l.r.Read(p)
	} else {
		if errors.Is(err, io.EOF) { // a file must have a header
			err = io.ErrUnexpectedEOF
		}
		l.r = failed{err}
	}
	if errors.Is(err, xz.ErrMemlimit) {
		err = fmt.Errorf("to decompress it takes a dictionary of more than %d MiB, which is more than xz -9 makes", maxXZDictionary>>20)
	}
	return n, err
}

type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

type pooledDecoder struct{ *zstd.Decoder }

func (d *pooledDecoder) Close() error {
	if d.Decoder != nil {
		_ = d.Reset(nil)
		decoders.Put(d.Decoder)
		d.Decoder = nil
	}
	return nil
}
