package s3

import (
	"container/list"
	"context"
	"crypto/sha256"
	"io"
	"sync"
)

// chunk is the piece by which buffers grow.
const chunk = 256 << 10

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// budget bounds the bytes that the uploads of a store hold together.
//
// An object of unknown size begins with a chunk and takes more as it grows, so
// that small objects need little and many can be under way. Taking more while
// holding some could end with everybody waiting for everybody. Therefore one
// part's worth is kept in reserve: it goes to one upload at a time, of those
// that wait while holding something, which thereby can fill its part, send it
// and give all back. Whoever waits for a part's worth at once holds nothing that
// others wait for: earlier parts are on their way to the server.
type budget struct {
	mu      sync.Mutex
	free    int64
	reserve bool // is there
	growing list.List
	coming  list.List // both of *claim
}

type claim struct {
	n        int64
	reserved bool // was granted from the reserve
	granted  chan struct{}
}

func newBudget(total, part int64) *budget { return &budget{free: total - part, reserve: true} }

// take waits for n bytes; the caller holds none in a part that is being filled.
func (b *budget) take(ctx context.Context, n int64) error {
	_, err := b.wait(ctx, &b.coming, n)
	return err
}

// grow waits for n bytes more, or for the reserve, which is enough for all that
// the part still needs.
func (b *budget) grow(ctx context.Context, n int64) (reserved bool, err error) {
	return b.wait(ctx, &b.growing, n)
}

func (b *budget) wait(ctx context.Context, queue *list.List, n int64) (bool, error) {
	c := &claim{n: n, granted: make(chan struct{})}
	b.mu.Lock()
	place := queue.PushBack(c)
	b.grant()
	b.mu.Unlock()
	select {
	case <-c.granted:
		return c.reserved, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.granted: // at the same moment
		b.put(c.n, c.reserved)
	default:
		queue.Remove(place)
		b.grant() // the next may want less
	}
	return false, ctx.Err()
}

// give returns n bytes, and the reserve if it was lent.
func (b *budget) give(n int64, reserved bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	if reserved {
		b.reserve = true
	}
	b.grant()
}

// put undoes a grant.
func (b *budget) put(n int64, reserved bool) {
	if reserved {
		b.reserve = true
	} else {
		b.free += n
	}
	b.grant()
}

// grant serves those first that hold something already.
func (b *budget) grant() {
	for b.growing.Len() > 0 {
		c := b.growing.Front().Value.(*claim)
		switch {
		case b.free >= c.n:
			b.free -= c.n
		case b.reserve:
			b.reserve, c.reserved = false, true
		default:
			return
		}
		b.growing.Remove(b.growing.Front())
		close(c.granted)
	}
	for b.coming.Len() > 0 {
		c := b.coming.Front().Value.(*claim)
		if b.free < c.n {
			return
		}
		b.free -= c.n
		b.coming.Remove(b.coming.Front())
		close(c.granted)
	}
}

// part is a piece of an object, or a whole one, in memory: it can be sent as
// often as it takes.
type part struct {
	budget   *budget
	limit    int64 // when it is full
	held     int64 // taken from the budget
	reserved bool  // the reserve covers the rest up to limit
	size     int64
	chunks   [][]byte
}

// room returns where the next bytes go, at least one unless the part is full.
func (p *part) room(ctx context.Context) ([]byte, error) {
	if p.size == p.limit {
		return nil, nil
	}
	if n := len(p.chunks); n > 0 {
		if last := p.chunks[n-1]; len(last) < cap(last) {
			return last[len(last):min(int64(cap(last)), int64(len(last))+p.limit-p.size)], nil
		}
	}
	want := min(chunk, p.limit-p.size)
	if missing := p.size + want - p.held; missing > 0 && !p.reserved {
		reserved, err := p.budget.grow(ctx, missing)
		if err != nil {
			return nil, err
		}
		if p.reserved = reserved; !reserved {
			p.held += missing
		}
	}
	var c []byte
	if want == chunk {
		c = chunks.Get().(*[chunk]byte)[:0]
	} else {
		c = make([]byte, 0, want)
	}
	p.chunks = append(p.chunks, c)
	return c[:want], nil
}

// filled says that n bytes were written to the last room.
func (p *part) filled(n int) {
	last := &p.chunks[len(p.chunks)-1]
	*last = (*last)[:len(*last)+n]
	p.size += int64(n)
}

func (p *part) sum() (h [sha256.Size]byte) {
	hash := sha256.New()
	for _, c := range p.chunks {
		hash.Write(c)
	}
	hash.Sum(h[:0])
	return h
}

// reader reads the part from its start. Each is for one request.
func (p *part) reader() io.Reader { return &partReader{chunks: p.chunks} }

type partReader struct {
	chunks [][]byte
	offset int // in the first
}

func (r *partReader) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) && len(r.chunks) > 0 {
		m := copy(b[n:], r.chunks[0][r.offset:])
		n, r.offset = n+m, r.offset+m
		if r.offset == len(r.chunks[0]) {
			r.chunks, r.offset = r.chunks[1:], 0
		}
	}
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// free gives the memory back. Nobody may read the part any more.
func (p *part) free() {
	for _, c := range p.chunks {
		if cap(c) == chunk {
			chunks.Put((*[chunk]byte)(c[:chunk]))
		}
	}
	p.chunks = nil
	p.budget.give(p.held, p.reserved)
	p.held, p.reserved = 0, false
}
