package remote

import (
	"container/list"
	"context"
	"sync"
)

// Limiter bounds how many requests wait for their answer at once. A server
// that says that it is asked too much halves the bound; every answer without
// such a complaint adds to it, so that a full round of them adds one: the rule
// by which TCP finds out what a network carries. Reading an answer's body does
// not count: whoever reads one object in order to write another would wait for
// itself.
type Limiter struct {
	mu      sync.Mutex
	max     float64
	limit   float64
	busy    int
	epoch   int       // how often the bound was halved
	waiting list.List // of chan struct{}, closed when a slot is given
}

// DefaultRequests is a Limiter's bound if none is given: enough to look up
// thousands of small objects across a slow link in about a second.
const DefaultRequests = 128

// NewLimiter returns a limiter that never lets more than max requests pass at
// once; 0: DefaultRequests.
func NewLimiter(max int) *Limiter {
	if max <= 0 {
		max = DefaultRequests
	}
	return &Limiter{max: float64(max), limit: float64(max)}
}

// Slot is the right to have a request under way.
type Slot struct {
	limiter *Limiter
	epoch   int
}

// Acquire waits for a slot, first come first served. Every slot must be given
// back by Done.
func (l *Limiter) Acquire(ctx context.Context) (Slot, error) {
	l.mu.Lock()
	if l.waiting.Len() == 0 && l.busy < int(l.limit) {
		l.busy++
		s := Slot{l, l.epoch}
		l.mu.Unlock()
		return s, nil
	}
	ready := make(chan struct{})
	place := l.waiting.PushBack(ready)
	l.mu.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		select {
		case <-ready: // given at the same moment: hand it on
			l.busy--
			l.admit()
		default:
			l.waiting.Remove(place)
		}
		return Slot{}, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return Slot{l, l.epoch}, nil
}

// Done gives the slot back and says how the server took the request.
func (s Slot) Done(throttled bool) {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	if throttled {
		l.halve(s.epoch)
	} else {
		l.limit = min(l.max, l.limit+1/l.limit)
	}
	l.admit()
}

// Throttled tells of a complaint that came in another way than by the answer's
// status.
func (l *Limiter) Throttled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.halve(l.epoch)
}

// halve counts the complaints about requests of one epoch once: they are all
// about the same bound.
func (l *Limiter) halve(epoch int) {
	if epoch == l.epoch {
		l.limit = max(1, l.limit/2)
		l.epoch++
	}
}

func (l *Limiter) admit() {
	for l.waiting.Len() > 0 && l.busy < int(l.limit) {
		ready := l.waiting.Remove(l.waiting.Front()).(chan struct{})
		l.busy++
		close(ready)
	}
}

// Limit is the present bound.
func (l *Limiter) Limit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.limit)
}
