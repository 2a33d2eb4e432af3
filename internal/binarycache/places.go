package binarycache

import (
	"container/list"
	"runtime"
	"sync"
	"time"
)

// places bound what compressors take together: encoders, which hold megabytes
// each, and among those that have one the processors. A compressor whose bytes
// are not taken at once gives its processor back while it waits, so that
// uploads can be under way beyond the number of processors.
type places struct{ encoders, cpus *gate }

const (
	// turn is how long a compressor keeps its processor while others wait for
	// one. An encoder that comes back finds its tables, more than a megabyte,
	// gone from the processor's caches: taking turns after every block doubled
	// the time of compressing.
	turn = 50 * time.Millisecond
	// blocked is the time after which a write counts as one that has to wait.
	blocked = 5 * time.Millisecond
	// spareEncoders are those beyond one for each processor.
	spareEncoders = 2
	// smallNAR is the size, in bytes, below which a NAR is soon done. One
	// encoder is for those alone, and they are the first to get a processor:
	// otherwise the many small ones of a closure would wait for the few large
	// ones, and all that refers to them with them, whose publishing would be
	// left for the end, one round trip after the other.
	smallNAR = 1 << 20
)

func newPlaces() places {
	n := runtime.GOMAXPROCS(0)
	return places{
		encoders: &gate{free: n + spareEncoders, large: n + spareEncoders - 1},
		cpus:     &gate{free: n, large: n},
	}
}

// gate lets a number of compressors pass at once.
type gate struct {
	mu      sync.Mutex
	free    int          // how many may still pass
	large   int          // how many with a large NAR may
	waiting [2]list.List // of chan struct{}, those with a large and with a small NAR
}

func (g *gate) enter(small bool) {
	passed := make(chan struct{})
	g.mu.Lock()
	g.waiting[index(small)].PushBack(passed)
	g.admit(small)
	g.mu.Unlock()
	<-passed
}

// leave makes room for another, with a small NAR if preferred is set and one
// waits.
func (g *gate) leave(small, preferred bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free++
	if !small {
		g.large++
	}
	g.admit(preferred)
	g.admit(!preferred)
}

func (g *gate) admit(small bool) {
	queue := &g.waiting[index(small)]
	for queue.Len() > 0 && g.free > 0 && (small || g.large > 0) {
		close(queue.Remove(queue.Front()).(chan struct{}))
		g.free--
		if !small {
			g.large--
		}
	}
}

func index(small bool) int {
	if small {
		return 1
	}
	return 0
}

// seat is a compressor's place at a processor.
type seat struct {
	cpus  *gate
	small bool
	since time.Time     // it was taken
	timer *time.Timer   // gives it back
	given chan struct{} // the timer has
}

func (p places) seat(small bool) *seat {
	s := &seat{cpus: p.cpus, small: small, given: make(chan struct{}, 1)}
	s.cpus.enter(small)
	s.since = time.Now()
	return s
}

// during calls f and gives the place to another meanwhile if f turns out to
// wait, or it is time. It returns how long f and coming back took.
func (s *seat) during(f func()) time.Duration {
	begun := time.Now()
	yielded := begun.Sub(s.since) >= turn
	switch {
	case yielded:
		s.leave()
	case s.timer == nil:
		s.timer = time.AfterFunc(blocked, func() {
			s.leave()
			s.given <- struct{}{}
		})
	default:
		s.timer.Reset(blocked)
	}
	f()
	if !yielded && !s.timer.Stop() {
		<-s.given
		yielded = true
	}
	ended := time.Now()
	if yielded {
		s.cpus.enter(s.small)
		ended = time.Now()
		s.since = ended
	}
	return ended.Sub(begun)
}

func (s *seat) leave() { s.cpus.leave(s.small, true) }
