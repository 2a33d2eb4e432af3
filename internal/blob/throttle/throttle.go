// Package throttle bounds how fast a store's objects are read.
package throttle

import (
	"context"
	"io"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
)

// Limit is so many bytes a second, shared by all who have it.
type Limit struct {
	rate float64

	mu   sync.Mutex
	free time.Time // when what has been taken so far is through
}

// NewLimit returns a limit of bytesPerSecond, which must be positive.
func NewLimit(bytesPerSecond int64) *Limit { return &Limit{rate: float64(bytesPerSecond)} }

// burst is how far ahead of its time a reading may be.
const burst = 100 * time.Millisecond

// Take waits until n bytes more may be read.
func (l *Limit) Take(ctx context.Context, n int) error {
	l.mu.Lock()
	now := time.Now()
	if l.free.Before(now.Add(-burst)) {
		l.free = now.Add(-burst)
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	wait := l.free.Sub(now)
	l.mu.Unlock()
	if wait <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reader is r with a limit. Like r it may tell how many requests are worth
// having under way.
func Reader(r blob.Reader, l *Limit) blob.Reader {
	t := &reader{r, l}
	if remote, ok := r.(blob.Remote); ok {
		return &remoteReader{t, remote}
	}
	return t
}

type reader struct {
	blob.Reader
	limit *Limit
}

type remoteReader struct {
	*reader
	blob.Remote
}

func (r *reader) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	o, err := r.Reader.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return &object{o, ctx, r.limit}, nil
}

type object struct {
	io.ReadCloser
	ctx   context.Context
	limit *Limit
}

// step is the most that is read at once, so that the pace is even.
const step = 32 << 10

func (o *object) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p[:min(len(p), step)])
	if n > 0 {
		if terr := o.limit.Take(o.ctx, n); terr != nil {
			return 0, terr
		}
	}
	return n, err
}
