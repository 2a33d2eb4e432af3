package cache_test

import (
	"context"
	"errors"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// slowSource gives its closure when it is let.
type slowSource struct {
	*graph
	let   chan struct{}
	times int
}

func (s *slowSource) Closure(ctx context.Context, roots ...nix.StorePath) ([]nix.PathInfo, error) {
	s.times++
	select {
	case <-s.let:
		return s.graph.Closure(ctx, roots...)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestReadAhead(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {1}}, make([]int, 3))
	slow := &slowSource{graph: g, let: make(chan struct{})}
	src, stop := cache.ReadAhead(t.Context(), slow, pathOf(2))
	close(slow.let)
	s := newSink(cache.Traits{})
	if _, err := cache.Copy(t.Context(), s, src, []nix.StorePath{pathOf(2)}, cache.Options{}); err != nil || len(s.visible) != 3 {
		t.Errorf("%v; %d paths", err, len(s.visible))
	}
	if slow.times != 1 {
		t.Errorf("the closure was read %d times", slow.times)
	}
	// Of other roots it is read when it is asked for.
	if infos, err := src.Closure(t.Context(), pathOf(0)); err != nil || len(infos) != 1 {
		t.Errorf("%v, %v", infos, err)
	}
	stop()

	slow = &slowSource{graph: g, let: make(chan struct{})}
	src, stop = cache.ReadAhead(t.Context(), slow, pathOf(2))
	stop() // nobody lets it: it ends all the same
	if _, err := src.Closure(t.Context(), pathOf(2)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
