package cache

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"golang.org/x/sync/errgroup"
)

// schedule is a running copy: which NARs may be sent, which paths may be
// published. Workers take jobs from it; finishing one makes others ready. NARs
// are sent while the plan is still being made; what may be published is known
// when it is.
type schedule struct {
	dst      Sink
	src      Source
	traits   Traits
	progress *Progress

	mu      sync.Mutex
	changed *sync.Cond
	early   map[nix.StorePath]*job // those that were offered before the plan was made
	planned bool
	large   jobHeap
	small   jobHeap
	publish []*job // stored, all references published, not yet taken
	left    int    // jobs neither published nor failed, once planned
	stopped bool
	failed  []error // of single paths
}

type job struct {
	path       nix.PathInfo
	out        *Outcome // of its own until the plan is made
	info       nix.NARInfo
	waits      int    // references that are sent by this copy and not published
	dependents []*job // those that wait for this one
	above      int64  // what is to be done after it at least, in bytes of NAR that take as long
	stored     bool
	dead       bool // it, or something it refers to, failed
	unwanted   bool // the plan came to say that it is there
}

func newSchedule(dst Sink, src Source, p *Progress) *schedule {
	s := &schedule{dst: dst, src: src, traits: traitsOf(dst), progress: p, early: make(map[nix.StorePath]*job)}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// offer begins to send the NARs of paths that are missing, before the plan is
// made. What a sink wants in the order of references has to wait for that.
func (s *schedule) offer(missing []nix.PathInfo) {
	if s.traits.RefsFirst {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range missing {
		if s.early[p.Path] == nil {
			j := &job{path: p, out: &Outcome{Info: p, Action: Pending}}
			s.early[p.Path] = j
			s.ready(j)
		}
	}
	s.changed.Broadcast()
}

// follow takes the whole plan, in which references come first.
func (s *schedule) follow(outs []Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// What must be visible before a path that refers to the key may be: its
	// job, or what is sent of the closure of a path that is elsewhere.
	before := make(map[nix.StorePath][]*job)
	var all, fresh, dead []*job
	for i := range outs {
		path := outs[i].Info.Path
		j := s.early[path]
		upstream := outs[i].Reason == Upstream
		if outs[i].Action != Pending && !upstream {
			if j != nil {
				j.dead, j.unwanted = true, true
			}
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
			before[path] = deps
			continue
		}
		known := j != nil
		if known {
			outs[i] = *j.out
			j.out = &outs[i]
		} else {
			j = &job{path: outs[i].Info, out: &outs[i]}
		}
		j.waits = len(deps)
		for _, dep := range deps {
			dep.dependents = append(dep.dependents, j)
		}
		before[path] = []*job{j}
		all = append(all, j)
		switch {
		case j.dead:
			dead = append(dead, j)
		case j.stored && j.waits == 0:
			s.publish = append(s.publish, j)
		case !known && (!s.traits.RefsFirst || j.waits == 0):
			fresh = append(fresh, j)
		}
	}
	s.left += len(all)
	for _, j := range slices.Backward(all) { // referrers first: what they wait for weighs more than they
		j.weigh(s.traits.RefsFirst)
	}
	heap.Init(&s.large) // what was offered had no weight but its own
	heap.Init(&s.small)
	for _, j := range fresh {
		s.ready(j)
	}
	s.planned, s.early = true, nil
	for _, j := range dead {
		j.dead = false
	}
	for _, j := range dead {
		s.kill(j, j.out.Reason)
	}
	s.changed.Broadcast()
}

// step is the size, in bytes, of a NAR that takes as long as it takes to
// publish a path: a round trip.
const step = 4 << 20

// weigh computes how much of the copy cannot end before the job does: its NAR,
// and the publishing, or if refsFirst sending, of the longest row of paths of
// which each refers to the one before.
func (j *job) weigh(refsFirst bool) {
	for _, d := range j.dependents {
		j.above = max(j.above, d.above+step)
		if refsFirst {
			j.above = max(j.above, d.weight())
		}
	}
}

func (j *job) weight() int64 { return j.path.NARSize + j.above }

// ready queues a job's NAR to be sent.
func (s *schedule) ready(j *job) {
	if s.traits.Small > 0 && j.path.NARSize < s.traits.SmallBelow {
		heap.Push(&s.small, j)
	} else {
		heap.Push(&s.large, j)
	}
}

// run makes the plan and does what it says.
func (s *schedule) run(ctx context.Context, plan func(context.Context) ([]Outcome, error)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		outs, err := plan(ctx)
		if err == nil {
			s.follow(outs)
		}
		return err
	})
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
		for j == nil && (s.left > 0 || !s.planned) && !s.stopped {
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
	p := j.path
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
	if s.planned && j.waits == 0 && !j.dead {
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
		return &PathError{Op: "publish", Side: "cache", Path: j.path.Path, Err: err}
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
	if j.unwanted {
		return
	}
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
	if s.planned {
		s.left--
	}
	for _, d := range j.dependents {
		s.kill(d, fmt.Sprintf("it refers to %s, which failed", j.path.Path))
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

// jobHeap has the job on top for which most waits, by path among equals.
type jobHeap []*job

func (h jobHeap) Len() int { return len(h) }
func (h jobHeap) Less(i, j int) bool {
	if a, b := h[i].weight(), h[j].weight(); a != b {
		return a > b
	}
	return h[i].path.Path < h[j].path.Path
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
