package cache

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// schedule is a running copy: which NARs may be sent, which paths may be
// published. Workers take jobs from it; finishing one makes others ready.
type schedule struct {
	dst      Sink
	src      Source
	traits   Traits
	progress *Progress
	outs     []Outcome

	mu      sync.Mutex
	changed *sync.Cond
	large   jobHeap
	small   jobHeap
	publish []*job // stored, all references published, not yet taken
	left    int    // jobs neither published nor failed
	stopped bool
	failed  []error // of single paths
}

type job struct {
	out        *Outcome
	info       nix.NARInfo
	waits      int    // references that are sent by this copy and not published
	dependents []*job // those that wait for this one
	stored     bool
	dead       bool // it, or something it refers to, failed
}

func newSchedule(dst Sink, src Source, traits Traits, p *Progress, outs []Outcome) *schedule {
	s := &schedule{dst: dst, src: src, traits: traits, progress: p, outs: outs}
	s.changed = sync.NewCond(&s.mu)
	// What must be visible before a path that refers to the key may be: its
	// job, or what is sent of the closure of a path that is elsewhere.
	before := make(map[nix.StorePath][]*job)
	for i := range outs { // references first: what a job waits for exists before it
		upstream := outs[i].Reason == Upstream
		if outs[i].Action != Pending && !upstream {
			continue
		}
		var deps []*job
		seen := make(map[*job]bool)
		for _, r := range outs[i].Info.References {
			for _, dep := range before[r] {
				if !seen[dep] {
					seen[dep] = true
					deps = append(deps, dep)
				}
			}
		}
		if upstream {
			before[outs[i].Info.Path] = deps
			continue
		}
		j := &job{out: &outs[i], waits: len(deps)}
		for _, dep := range deps {
			dep.dependents = append(dep.dependents, j)
		}
		before[outs[i].Info.Path] = []*job{j}
		s.left++
		if !traits.RefsFirst || j.waits == 0 {
			s.ready(j)
		}
	}
	return s
}

// ready queues a job's NAR to be sent.
func (s *schedule) ready(j *job) {
	if s.traits.Small > 0 && j.out.Info.NARSize < s.traits.SmallBelow {
		heap.Push(&s.small, j)
	} else {
		heap.Push(&s.large, j)
	}
}

func (s *schedule) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	// Waiting workers are woken when ctx ends, whether by the caller or
	// because one of them failed.
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		s.stopped = true
		s.mu.Unlock()
		s.changed.Broadcast()
	})
	defer stop()
	large := s.traits.Large
	if large <= 0 {
		large = runtime.GOMAXPROCS(0)
	}
	for range large {
		group.Go(func() error { return s.work(ctx, func() *job { return pop(&s.large) }, s.send) })
	}
	for range s.traits.Small {
		group.Go(func() error { return s.work(ctx, func() *job { return pop(&s.small) }, s.send) })
	}
	for range max(s.traits.Publishers, 1) {
		group.Go(func() error { return s.work(ctx, s.nextToPublish, s.makeVisible) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return s.failure()
}

// failure joins what failed path by path.
func (s *schedule) failure() error {
	switch n := len(s.failed); n {
	case 0:
		return nil
	case 1:
		return s.failed[0]
	default:
		return fmt.Errorf("%d paths failed; the first: %w", n, s.failed[0])
	}
}

// work takes jobs until there are none left and none can come.
func (s *schedule) work(ctx context.Context, next func() *job, do func(context.Context, *job) error) error {
	for {
		s.mu.Lock()
		j := next()
		for j == nil && s.left > 0 && !s.stopped {
			s.changed.Wait()
			j = next()
		}
		stopped := s.stopped
		s.mu.Unlock()
		if stopped {
			return ctx.Err()
		}
		if j == nil {
			return nil
		}
		if err := do(ctx, j); err != nil {
			if sinkSide(err) || ctx.Err() != nil {
				return err
			}
			s.fail(j, err)
		}
	}
}

func (s *schedule) nextToPublish() *job {
	if len(s.publish) == 0 {
		return nil
	}
	j := s.publish[0]
	s.publish = s.publish[1:]
	return j
}

// How often a NAR is sent if its sink asks for that, and the pause after the
// first try; it doubles.
const (
	sendTries  = 6
	firstPause = 500 * time.Millisecond
)

// send moves one NAR, again if the sink says that this may help.
func (s *schedule) send(ctx context.Context, j *job) error {
	for try := 1; ; try++ {
		err := s.sendOnce(ctx, j)
		var again *AgainError
		if err == nil || !errors.As(err, &again) || ctx.Err() != nil {
			return err
		}
		if try == sendTries {
			return fmt.Errorf("%w (tried %d times)", err, try)
		}
		// Workers that failed together do not come back together.
		pause := firstPause << (try - 1)
		timer := time.NewTimer(again.After + pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

func (s *schedule) sendOnce(ctx context.Context, j *job) error {
	p := j.out.Info
	nar, err := s.src.OpenNAR(ctx, p)
	if err != nil {
		return &PathError{Op: "read", Side: "source", Path: p.Path, Err: err}
	}
	defer nar.Close()
	counted := &countingReader{r: nar, progress: s.progress}
	info, err := s.dst.PutNAR(ctx, p, counted)
	if counted.err != nil && ctx.Err() == nil {
		return &PathError{Op: "read", Side: "source", Path: p.Path, Err: counted.err}
	}
	if err != nil {
		s.progress.Bytes.Add(-counted.n) // it counts when it is sent
		return &PathError{Op: "send", Side: "cache", Path: p.Path, Err: err}
	}
	// What the sink did not need to read is done all the same.
	s.progress.Bytes.Add(p.NARSize - counted.n)

	s.mu.Lock()
	defer s.mu.Unlock()
	j.info, j.stored = info, true
	j.out.FileSize = info.FileSize
	if counted.n == 0 {
		j.out.FileSize, j.out.Reason = 0, SameNAR
	}
	if j.waits == 0 && !j.dead {
		s.publish = append(s.publish, j)
		s.changed.Broadcast()
	}
	return nil
}

// SameNAR is the reason of a path that was sent without sending bytes: the
// sink had its NAR, from an earlier push or for another path.
const SameNAR = "same-nar"

func (s *schedule) makeVisible(ctx context.Context, j *job) error {
	if err := s.dst.Publish(ctx, []nix.NARInfo{j.info}); err != nil {
		return &PathError{Op: "publish", Side: "cache", Path: j.out.Info.Path, Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.out.Action = Sent
	s.progress.Paths.Add(1)
	s.left--
	for _, d := range j.dependents {
		d.waits--
		if d.waits > 0 || d.dead {
			continue
		}
		if s.traits.RefsFirst {
			s.ready(d)
		} else if d.stored {
			s.publish = append(s.publish, d)
		}
	}
	s.changed.Broadcast()
	return nil
}

// fail marks a job and all that waits for it.
func (s *schedule) fail(j *job, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, err)
	s.kill(j, err.Error())
	s.changed.Broadcast()
}

func (s *schedule) kill(j *job, reason string) {
	if j.dead {
		return
	}
	j.dead = true
	j.out.Action, j.out.Reason = Failed, reason
	s.left--
	for _, d := range j.dependents {
		s.kill(d, fmt.Sprintf("it refers to %s, which failed", j.out.Info.Path))
	}
}

// countingReader counts what is read and keeps the source's error apart from
// the sink's.
type countingReader struct {
	r        io.Reader
	progress *Progress
	n        int64
	err      error
}

func (c *countingReader) count(n int) {
	c.n += int64(n)
	c.progress.Bytes.Add(int64(n))
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.count(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// Peek is for a Sink that has the bytes of a NAR already and reads r, what it
// was given as the NAR, only to look into it: what is read from the result does
// not count as sent.
func Peek(r io.Reader) io.Reader {
	if c, ok := r.(*countingReader); ok {
		return &peeker{c}
	}
	return r
}

type peeker struct{ c *countingReader }

func (p *peeker) Read(b []byte) (int, error) {
	n, err := p.c.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		p.c.err = err
	}
	return n, err
}

// WriteTo lets a source that can write do so, without a goroutine and a pipe.
func (c *countingReader) WriteTo(w io.Writer) (int64, error) {
	cw := &countingWriter{c: c, w: w}
	n, err := io.Copy(cw, c.r)
	if err != nil && cw.err == nil {
		c.err = err
	}
	return n, err
}

type countingWriter struct {
	c   *countingReader
	w   io.Writer
	err error
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.c.count(n)
	if err != nil {
		w.err = err
	}
	return n, err
}

// jobHeap has the largest NAR on top, by path among equals.
type jobHeap []*job

func (h jobHeap) Len() int { return len(h) }
func (h jobHeap) Less(i, j int) bool {
	a, b := h[i].out.Info, h[j].out.Info
	if a.NARSize != b.NARSize {
		return a.NARSize > b.NARSize
	}
	return a.Path < b.Path
}
func (h jobHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *jobHeap) Push(x any)   { *h = append(*h, x.(*job)) }
func (h *jobHeap) Pop() any {
	old := *h
	j := old[len(old)-1]
	*h = old[:len(old)-1]
	return j
}

// pop takes the next job that is worth doing.
func pop(h *jobHeap) *job {
	for h.Len() > 0 {
		if j := heap.Pop(h).(*job); !j.dead {
			return j
		}
	}
	return nil
}
