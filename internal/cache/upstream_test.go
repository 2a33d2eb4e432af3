package cache_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/google/go-cmp/cmp"
)

// partSink is a sink whose readers get some paths from elsewhere.
type partSink struct {
	*sink
	elsewhere map[nix.StorePath]bool

	mu        sync.Mutex
	published []nix.StorePath
}

func (s *partSink) Elsewhere(_ context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error) {
	var out []nix.PathInfo
	for _, p := range ps {
		if s.elsewhere[p.Path] {
			out = append(out, p)
		}
	}
	return out, nil
}

func (s *partSink) Publish(ctx context.Context, infos []nix.NARInfo) error {
	s.mu.Lock()
	for _, n := range infos {
		s.published = append(s.published, n.Path)
	}
	s.mu.Unlock()
	return s.sink.Publish(ctx, infos)
}

// 4 refers to 3, which is elsewhere and refers to 2 and 1, of which 1 is
// elsewhere and refers to 0. What must be sent is 0, 2 and 4, and 4 is visible
// last: a reader of the other cache, too, finds 0 and 2 if it finds 4.
func TestElsewhere(t *testing.T) {
	g := newGraph([][]int{nil, {0}, nil, {1, 2}, {3}}, []int{1, 1, 1, 1, 1})
	for _, verify := range []bool{false, true} {
		s := &partSink{
			sink:      newSink(cache.Traits{ClosureComplete: true}, pathOf(1), pathOf(3)),
			elsewhere: map[nix.StorePath]bool{pathOf(1): true, pathOf(3): true},
		}
		s.fail = func(op string, p nix.StorePath) error {
			if op == "put" && p != pathOf(4) {
				time.Sleep(5 * time.Millisecond)
			}
			return nil
		}
		r, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(4)}, cache.Options{Verify: verify})
		if err != nil {
			t.Fatal(err)
		}
		got := map[nix.StorePath]string{}
		for _, o := range r.Outcomes {
			got[o.Info.Path] = string(o.Action) + o.Reason
		}
		want := map[nix.StorePath]string{pathOf(0): "sent", pathOf(1): "skippedupstream", pathOf(2): "sent", pathOf(3): "skippedupstream", pathOf(4): "sent"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("verify %v: %s", verify, diff)
		}
		if n := len(s.published); n != 3 || s.published[2] != pathOf(4) {
			t.Errorf("verify %v: published %v", verify, s.published)
		}
		for _, batch := range s.asked {
			for _, p := range batch {
				if s.elsewhere[p.Path] {
					t.Errorf("verify %v: the sink was asked for %s", verify, p.Path)
				}
			}
		}
	}
}
