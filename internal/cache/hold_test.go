package cache_test

import (
	"context"
	"errors"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// holdingSink is a sink whose paths somebody else deletes until Settle is over.
type holdingSink struct {
	*sink
	doomed  nix.StorePath
	settled bool
	vouches []bool // what Vouches answers, in turn
	lost    error
}

func (s *holdingSink) Hold(context.Context, []nix.PathInfo) (func(), error) { return func() {}, nil }
func (s *holdingSink) Held() error                                          { return s.lost }

func (s *holdingSink) Settle(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) > 0 {
		return errors.New("the sink was asked what it has before deletions were over")
	}
	delete(s.visible, s.doomed)
	delete(s.stored, s.doomed)
	s.settled = true
	return nil
}

func (s *holdingSink) Vouches(context.Context) (bool, error) {
	v := s.vouches[0]
	s.vouches = s.vouches[1:]
	return v, nil
}

func TestDeletionsAreWaitedFor(t *testing.T) {
	g := newGraph([][]int{{}, {0}}, make([]int, 2))
	s := &holdingSink{sink: newSink(cache.Traits{ClosureComplete: true}, pathOf(0), pathOf(1)), doomed: pathOf(1), vouches: []bool{true}}
	s.stored[pathOf(0)] = true
	r, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(1)}, cache.Options{})
	if err != nil || !s.settled || !s.visible[pathOf(1)] {
		t.Errorf("%v, settled %v, visible %v", err, s.settled, s.visible)
	}
	if len(r.Outcomes) != 2 || r.Outcomes[1].Action != cache.Sent {
		t.Errorf("outcomes %v", r.Outcomes)
	}
}

func TestLostHoldIsAnError(t *testing.T) {
	g := newGraph([][]int{{}}, make([]int, 1))
	lost := errors.New("lost")
	s := &holdingSink{sink: newSink(cache.Traits{}, pathOf(0)), doomed: pathOf(9), lost: lost}
	if _, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(0)}, cache.Options{}); !errors.Is(err, lost) {
		t.Errorf("error %v", err)
	}
}

// Somebody begins to leave paths out while this copy makes its plan.
func TestTrustEnds(t *testing.T) {
	g := newGraph([][]int{{}, {0}}, make([]int, 2))
	s := &holdingSink{sink: newSink(cache.Traits{ClosureComplete: true}, pathOf(1)), doomed: pathOf(9), vouches: []bool{false}}
	s.stored[pathOf(1)] = true
	if _, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(1)}, cache.Options{}); err != nil || !s.visible[pathOf(0)] {
		t.Errorf("%v; visible %v", err, s.visible)
	}
}
