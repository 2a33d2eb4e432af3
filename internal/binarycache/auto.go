package binarycache

import (
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress"
	"github.com/klauspost/compress/zstd"
)

// candidates are the levels that Auto chooses from, cheapest first, with what
// they did to the closure of a NixOS system: bytes of NAR per second of one
// processor, and bytes of NAR per byte stored. Only how they compare with each
// other counts: a pilot measures how this machine and these paths compare with
// them.
var candidates = []struct {
	level        Level
	speed, ratio float64
}{
	{Fastest, 250e6, 2.90},
	{Default, 180e6, 3.11},
	{Better, 105e6, 3.24},
	{Best, 21e6, 3.50},
}

// worthwhile is by how much a dearer level must be faster in the end.
const worthwhile = 1.02

// pilot chooses levels for a push: the one with which NARs go up fastest, given
// how fast this machine compresses and how fast the link takes what comes out.
// So a better level is taken only where processors would wait for the link.
type pilot struct {
	uplink func() float64 // bytes per second; 0: not known

	mu     sync.Mutex
	active int     // compressors that have something to do
	speed  float64 // of this machine, as a multiple of candidates'
	ratio  float64 // of these paths, as a multiple of candidates'
}

func newPilot(uplink func() float64) *pilot {
	return &pilot{uplink: uplink, speed: 1, ratio: 1}
}

// join counts a compressor until leave is called.
func (p *pilot) join() (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.active--
	}
}

// choose returns the level for the next bytes.
func (p *pilot) choose() Level {
	link := p.uplink()
	if link <= 0 {
		return Default
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	processors := float64(min(max(p.active, 1), runtime.GOMAXPROCS(0)))
	best, fastest := Fastest, 0.0
	for _, c := range candidates {
		rate := min(processors*c.speed*p.speed, link*c.ratio*p.ratio)
		if rate > fastest*worthwhile {
			best, fastest = c.level, rate
		}
	}
	return best
}

// learn takes in what compressing at a level did: n bytes became stored, in
// that time of one processor.
func (p *pilot) learn(level Level, n, stored int64, took time.Duration) {
	if n < autoSegment/8 || stored <= 0 || took <= 0 {
		return
	}
	for _, c := range candidates {
		if c.level != level {
			continue
		}
		const weight = 0.2 // of the latest
		p.mu.Lock()
		p.speed += weight * (float64(n)/took.Seconds()/c.speed - p.speed)
		p.ratio += weight * (float64(n)/float64(stored)/c.ratio - p.ratio)
		p.mu.Unlock()
	}
}

const (
	// autoSegment is after how many bytes the level is chosen again.
	autoSegment = 8 << 20
	// autoSample is after how many bytes it is looked whether they compress,
	// and autoSampled how many are looked at.
	autoSample  = 256 << 10
	autoSampled = 16 << 10
	// incompressible is the bound of compress.Estimate below which compressing
	// is given up: random bytes have 0.01, text more than 0.3.
	incompressible = 0.05
)

// stored is not compressed, in zstd's frames.
const stored Level = "stored"

// autoWriter compresses what is written at the levels that a pilot chooses.
// Each change of level ends a frame of zstd and begins another; a decoder reads
// them as one (RFC 8878, section 3). What does not compress goes into frames
// of raw blocks, which costs no more than copying it.
type autoWriter struct {
	pilot  *pilot
	out    io.Writer
	clock  func() time.Duration // time of a processor that this compressor has taken
	stored func() int64         // bytes that came out

	level   Level
	frame   io.WriteCloser
	encoder *zstd.Encoder

	n        int64 // bytes taken
	sampleAt int64
	chooseAt int64
	doubts   int // samples in a row that did not compress

	since struct { // the last lesson
		n, stored int64
		clock     time.Duration
	}
}

func (w *autoWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if w.n >= w.sampleAt {
			if err := w.steer(p); err != nil {
				return written, err
			}
		}
		n, err := w.frame.Write(p[:min(int64(len(p)), w.sampleAt-w.n)])
		w.n += int64(n)
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// steer decides how to go on, knowing what comes next.
func (w *autoWriter) steer(next []byte) error {
	w.sampleAt = w.n + autoSample
	switch {
	case len(next) < autoSampled/4: // a short piece says little: look at the next one
		if w.frame != nil {
			return nil
		}
		w.sampleAt = w.n + int64(len(next))
	case compress.Estimate(next[:min(len(next), autoSampled)]) < incompressible:
		if w.doubts++; w.doubts > 1 || w.n == 0 {
			return w.to(stored)
		}
		if w.frame != nil {
			return nil
		}
	default:
		w.doubts = 0
	}
	if w.frame != nil && w.level != stored && w.n < w.chooseAt {
		return nil
	}
	w.learn()
	w.chooseAt = w.n + autoSegment
	return w.to(w.pilot.choose())
}

// learn tells the pilot how the last bytes went.
func (w *autoWriter) learn() {
	n, out, now := w.n, w.stored(), w.clock()
	w.pilot.learn(w.level, n-w.since.n, out-w.since.stored, now-w.since.clock)
	w.since.n, w.since.stored, w.since.clock = n, out, now
}

// to goes on at a level.
func (w *autoWriter) to(level Level) error {
	if w.frame != nil && w.level == level {
		return nil
	}
	if err := w.end(); err != nil {
		return err
	}
	w.level = level
	if level == stored {
		w.frame = &rawFrame{out: w.out}
		return nil
	}
	w.encoder = encoders[level].Get().(*zstd.Encoder)
	w.encoder.Reset(w.out)
	w.frame = w.encoder
	return nil
}

// end ends the frame under way.
func (w *autoWriter) end() error {
	if w.frame == nil {
		return nil
	}
	err := w.frame.Close()
	w.release()
	w.learn()
	return err
}

// release gives the encoder back.
func (w *autoWriter) release() {
	if w.encoder != nil {
		w.encoder.Reset(nil)
		encoders[w.level].Put(w.encoder)
	}
	w.encoder, w.frame = nil, nil
}

// rawFrame writes what it gets as one frame of zstd with raw blocks
// (RFC 8878, sections 3.1.1 and 3.1.1.2).
type rawFrame struct {
	out   io.Writer
	begun bool
	block []byte // a header, and bytes that are not written yet
}

// rawBlock is how many bytes a block may have at most.
const rawBlock = 128 << 10

// rawBegin is zstd's magic number, a frame header's descriptor without any
// option, and a window of 128 KiB.
var rawBegin = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38}

func (f *rawFrame) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if f.block == nil {
			f.block = make([]byte, 3, 3+rawBlock)
		}
		n := min(len(p), cap(f.block)-len(f.block))
		f.block = append(f.block, p[:n]...)
		if len(f.block) == cap(f.block) {
			if err := f.flush(false); err != nil {
				return written, err
			}
		}
		written, p = written+n, p[n:]
	}
	return written, nil
}

// flush writes the block.
func (f *rawFrame) flush(last bool) error {
	if !f.begun {
		f.begun = true
		if _, err := f.out.Write(rawBegin); err != nil {
			return err
		}
	}
	header := (len(f.block) - 3) << 3 // a raw block is of type 0
	if last {
		header |= 1
	}
	f.block[0], f.block[1], f.block[2] = byte(header), byte(header>>8), byte(header>>16)
	_, err := f.out.Write(f.block)
	f.block = f.block[:3]
	return err
}

// Close writes what is left.
func (f *rawFrame) Close() error {
	if f.block == nil {
		f.block = make([]byte, 3)
	}
	return f.flush(true)
}
