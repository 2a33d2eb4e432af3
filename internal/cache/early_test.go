package cache_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// momentSink is a Holder that counts what is held.
type momentSink struct {
	*sink
	holds   int
	vouches []bool
}

func (s *momentSink) Hold(context.Context, []nix.PathInfo) (func(), error) {
	s.holds++
	return func() {}, nil
}
func (s *momentSink) Settle(context.Context) error { return nil }
func (s *momentSink) Held() error                  { return nil }
func (s *momentSink) Vouches(context.Context) (bool, error) {
	v := s.vouches[0]
	s.vouches = s.vouches[1:]
	return v, nil
}

func TestNothingIsHeldForNothing(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {1}}, make([]int, 3))
	all := []nix.StorePath{pathOf(0), pathOf(1), pathOf(2)}
	for name, c := range map[string]struct {
		there   []nix.StorePath
		options cache.Options
		vouches []bool
		holds   int
		asked   int // calls of Missing
		sent    int
	}{
		"all there":               {all, cache.Options{Momentary: true}, []bool{true}, 0, 1, 0},
		"a manifest relies on it": {all, cache.Options{}, []bool{true}, 1, 1, 0},
		"asked for every path":    {all, cache.Options{Momentary: true, Verify: true}, nil, 1, 1, 0},
		"root not there":          {all[:2], cache.Options{Momentary: true}, []bool{true}, 1, 3, 1},
		"it does not vouch":       {all[1:], cache.Options{Momentary: true}, []bool{false, false}, 1, 4, 1},
	} {
		s := &momentSink{sink: newSink(cache.Traits{ClosureComplete: true}, c.there...), vouches: c.vouches}
		for _, p := range c.there {
			s.stored[p] = true
		}
		r, err := cache.Copy(t.Context(), s, g, all[2:], c.options)
		if err != nil || s.fault != "" {
			t.Fatalf("%s: %v %s", name, err, s.fault)
		}
		sent := 0
		for _, o := range r.Outcomes {
			if o.Action == cache.Sent {
				sent++
			}
		}
		if s.holds != c.holds || len(s.asked) != c.asked || sent != c.sent || len(s.vouches) != 0 || len(r.Outcomes) != 3 {
			t.Errorf("%s: held %d times, asked %d times, sent %d of %d paths, %d answers left", name, s.holds, len(s.asked), sent, len(r.Outcomes), len(s.vouches))
		}
	}
}

// slowSink answers a question of the plan only when enough has been sent.
type slowSink struct {
	*sink
	changed *sync.Cond
	until   func(asked []nix.PathInfo) bool // nil: at once
	vouch   func() bool
}

func newSlowSink(t *testing.T, traits cache.Traits, there ...nix.StorePath) *slowSink {
	s := &slowSink{sink: newSink(traits, there...)}
	s.changed = sync.NewCond(&s.mu)
	stop := context.AfterFunc(t.Context(), s.changed.Broadcast)
	t.Cleanup(func() { stop() })
	return s
}

func (s *slowSink) Missing(ctx context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error) {
	stop := context.AfterFunc(ctx, func() { s.mu.Lock(); s.mu.Unlock(); s.changed.Broadcast() }) //nolint:staticcheck // whoever waits has looked at ctx before
	defer stop()
	s.mu.Lock()
	for s.until != nil && !s.until(ps) && ctx.Err() == nil {
		s.changed.Wait()
	}
	s.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return s.sink.Missing(ctx, ps)
}

func (s *slowSink) PutNAR(ctx context.Context, p nix.PathInfo, nar io.Reader) (nix.NARInfo, error) {
	defer s.changed.Broadcast()
	return s.sink.PutNAR(ctx, p, nar)
}

func (s *slowSink) Vouches(context.Context) (bool, error) { return s.vouch == nil || s.vouch(), nil }

// What is known to be missing is sent while the rest is still asked for, and
// not published before that is known.
func TestSendingBeginsBeforeThePlanIsMade(t *testing.T) {
	g := newGraph([][]int{{}, {}, {0, 1}}, make([]int, 3))
	s := newSlowSink(t, cache.Traits{ClosureComplete: true}, pathOf(1))
	s.stored[pathOf(1)] = true
	s.until = func(ps []nix.PathInfo) bool { return ps[0].Path == pathOf(2) || s.stored[pathOf(2)] }
	r, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(2)}, cache.Options{})
	if err != nil || s.fault != "" || !s.visible[pathOf(2)] || !s.visible[pathOf(0)] {
		t.Fatalf("%v %s; visible %v", err, s.fault, s.visible)
	}
	if i := slices.IndexFunc(r.Outcomes, func(o cache.Outcome) bool { return o.Info.Path == pathOf(2) }); r.Outcomes[i].Action != cache.Sent || r.Outcomes[i].FileSize == 0 {
		t.Errorf("outcome %+v", r.Outcomes[i])
	}
}

// A NAR that cannot be read fails before it is known what refers to it.
func TestFailureBeforeThePlanIsMade(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {1}, {0, 2}}, make([]int, 4))
	g.broken[pathOf(2)] = true
	s := newSlowSink(t, cache.Traits{ClosureComplete: true})
	s.until = func(ps []nix.PathInfo) bool {
		for _, p := range ps {
			if p.Path == pathOf(1) {
				return s.stored[pathOf(3)] // it was offered with 2, of which nothing else tells
			}
		}
		return true
	}
	r, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(3)}, cache.Options{})
	if !errors.Is(err, errBroken) || s.fault != "" {
		t.Fatalf("%v %s", err, s.fault)
	}
	want := []cache.Action{cache.Sent, cache.Sent, cache.Failed, cache.Failed}
	for i, o := range r.Outcomes {
		if o.Action != want[i] {
			t.Errorf("%s: %s, %s", o.Info.Path, o.Action, o.Reason)
		}
	}
}

// Another copy publishes what this one began to send, and leaves paths out, so
// that the plan is made again: what is there then is not published again.
func TestUnwantedAfterAll(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {1}}, make([]int, 3))
	s := newSlowSink(t, cache.Traits{ClosureComplete: true}, pathOf(1))
	s.stored[pathOf(1)] = true
	s.vouch = func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for !s.stored[pathOf(2)] {
			s.changed.Wait()
		}
		s.visible[pathOf(2)] = true
		return false
	}
	published := 0
	s.fail = func(op string, p nix.StorePath) error {
		if op == "publish" && p == pathOf(2) {
			published++
		}
		return nil
	}
	r, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(2)}, cache.Options{})
	if err != nil || !s.visible[pathOf(0)] || published != 0 {
		t.Fatalf("%v; visible %v, published %d times", err, s.visible, published)
	}
	want := []cache.Action{cache.Sent, cache.Skipped, cache.Skipped}
	for i, o := range r.Outcomes {
		if o.Action != want[i] {
			t.Errorf("%s: %s, %s", o.Info.Path, o.Action, o.Reason)
		}
	}
}

// A sink that fails ends the plan, too.
func TestFailedSinkEndsThePlan(t *testing.T) {
	g := newGraph([][]int{{}, {0}}, make([]int, 2))
	s := newSlowSink(t, cache.Traits{ClosureComplete: true})
	full := errors.New("full")
	s.fail = func(op string, _ nix.StorePath) error {
		if op == "put" {
			return full
		}
		return nil
	}
	s.until = func(ps []nix.PathInfo) bool { return ps[0].Path == pathOf(1) } // what comes after that is never answered
	r, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(1)}, cache.Options{})
	if !errors.Is(err, full) || len(r.Outcomes) != 2 || r.Outcomes[1].Action != cache.Pending {
		t.Errorf("%v; %+v", err, r.Outcomes)
	}
}
