package cache_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The engine's own promises are checked with a source and a sink in memory,
// which see every step. Real stores and caches are tested in nixstore and
// binarycache.

func pathOf(i int) nix.StorePath {
	sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
	return nix.StorePath(fmt.Sprintf("/nix/store/%s-p%d", nix.EncodeBase32(sum[:20]), i))
}

// graph is a source: path i refers to the paths of refs[i], all below i.
type graph struct {
	infos  []nix.PathInfo
	broken map[nix.StorePath]bool
}

func newGraph(refs [][]int, sizes []int) *graph {
	g := &graph{broken: map[nix.StorePath]bool{}}
	for i := range refs {
		content := g.content(i, sizes[i])
		p := nix.PathInfo{Path: pathOf(i), NARHash: sha256.Sum256(content), NARSize: int64(len(content)), References: []nix.StorePath{pathOf(i)}}
		for _, r := range refs[i] {
			p.References = append(p.References, pathOf(r))
		}
		g.infos = append(g.infos, p)
	}
	return g
}

func (g *graph) content(i, size int) []byte {
	return append(fmt.Appendf(nil, "%d:", i), bytes.Repeat([]byte{'x'}, size)...)
}

func (g *graph) Closure(_ context.Context, roots ...nix.StorePath) ([]nix.PathInfo, error) {
	in := map[nix.StorePath]bool{}
	for _, r := range roots {
		in[r] = true
	}
	var closure []nix.PathInfo
	for i := len(g.infos) - 1; i >= 0; i-- {
		if p := g.infos[i]; in[p.Path] {
			closure = append(closure, p)
			for _, r := range p.References {
				in[r] = true
			}
		}
	}
	return nix.TopoSort(closure)
}

func (g *graph) OpenNAR(_ context.Context, p nix.PathInfo) (io.ReadCloser, error) {
	for i, q := range g.infos {
		if q.Path != p.Path {
			continue
		}
		var r io.Reader = bytes.NewReader(g.content(i, int(p.NARSize)-len(fmt.Sprintf("%d:", i))))
		if g.broken[p.Path] {
			r = io.MultiReader(io.LimitReader(r, 1), errorReader{})
		}
		return io.NopCloser(r), nil
	}
	return nil, errors.New("no such path")
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errBroken }

var errBroken = errors.New("the disk is broken")

// sink records, and checks that no path becomes visible before its references.
type sink struct {
	traits cache.Traits

	mu      sync.Mutex
	stored  map[nix.StorePath]bool
	visible map[nix.StorePath]bool
	asked   [][]nix.PathInfo
	order   []nix.StorePath // of PutNAR
	fault   string
	fail    func(op string, p nix.StorePath) error
}

func newSink(traits cache.Traits, visible ...nix.StorePath) *sink {
	s := &sink{traits: traits, stored: map[nix.StorePath]bool{}, visible: map[nix.StorePath]bool{}}
	for _, p := range visible {
		s.visible[p] = true
	}
	return s
}

func (s *sink) Traits() cache.Traits { return s.traits }

func (s *sink) Missing(_ context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, ps)
	var missing []nix.PathInfo
	for _, p := range ps {
		if s.fail != nil {
			if err := s.fail("ask", p.Path); err != nil {
				return nil, err
			}
		}
		if !s.visible[p.Path] {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

func (s *sink) PutNAR(ctx context.Context, p nix.PathInfo, nar io.Reader) (nix.NARInfo, error) {
	data, err := io.ReadAll(nar)
	if err != nil {
		return nix.NARInfo{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sha256.Sum256(data) != p.NARHash {
		s.fault = fmt.Sprintf("%s: other bytes", p.Path)
	}
	if s.fail != nil {
		if err := s.fail("put", p.Path); err != nil {
			return nix.NARInfo{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nix.NARInfo{}, err
	}
	s.order = append(s.order, p.Path)
	s.stored[p.Path] = true
	if s.traits.RefsFirst {
		s.show(p)
	}
	return nix.NARInfo{PathInfo: p, FileSize: int64(len(data))}, nil
}

func (s *sink) show(p nix.PathInfo) {
	for _, r := range p.References {
		if r != p.Path && !s.visible[r] {
			s.fault = fmt.Sprintf("%s is visible before %s, which it refers to", p.Path, r)
		}
	}
	if !s.stored[p.Path] {
		s.fault = fmt.Sprintf("%s is visible without its NAR", p.Path)
	}
	s.visible[p.Path] = true
}

func (s *sink) Publish(_ context.Context, infos []nix.NARInfo) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range infos {
		if s.fail != nil {
			if err := s.fail("publish", n.Path); err != nil {
				return err
			}
		}
		s.show(n.PathInfo)
	}
	return nil
}

func drawGraph(t *rapid.T) *graph {
	n := rapid.IntRange(1, 25).Draw(t, "n")
	refs, sizes := make([][]int, n), make([]int, n)
	for i := range n {
		sizes[i] = rapid.IntRange(0, 300).Draw(t, "size")
		for j := range i {
			if rapid.IntRange(0, 3).Draw(t, "refers") == 0 {
				refs[i] = append(refs[i], j)
			}
		}
	}
	return newGraph(refs, sizes)
}

func drawTraits(t *rapid.T) cache.Traits {
	return cache.Traits{
		ClosureComplete: rapid.Bool().Draw(t, "closureComplete"),
		RefsFirst:       rapid.Bool().Draw(t, "refsFirst"),
		Large:           rapid.IntRange(0, 4).Draw(t, "large"),
		Small:           rapid.IntRange(0, 3).Draw(t, "small"),
		SmallBelow:      100,
		Lookups:         rapid.IntRange(0, 4).Draw(t, "lookups"),
		Publishers:      rapid.IntRange(0, 3).Draw(t, "publishers"),
	}
}

// Whatever fails, every visible path has its closure; and copying again, once
// nothing fails, makes everything visible.
func TestClosuresStayWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		s := newSink(drawTraits(t))
		root := g.infos[len(g.infos)-1].Path
		failAt, n := rapid.IntRange(0, 60).Draw(t, "failAt"), 0
		s.fail = func(string, nix.StorePath) error {
			if n++; n > failAt {
				return errors.New("the network is gone")
			}
			return nil
		}
		if rapid.Bool().Draw(t, "broken") {
			g.broken[g.infos[rapid.IntRange(0, len(g.infos)-1).Draw(t, "which")].Path] = true
		}
		_, err := cache.Copy(t.Context(), s, g, []nix.StorePath{root}, cache.Options{})
		if s.fault != "" {
			t.Fatal(s.fault)
		}
		if err == nil && !s.visible[root] {
			t.Fatal("success, but the root is not visible")
		}
		s.fail, g.broken = nil, map[nix.StorePath]bool{}
		result, err := cache.Copy(t.Context(), s, g, []nix.StorePath{root}, cache.Options{})
		if err != nil || s.fault != "" {
			t.Fatalf("again: %v, %s", err, s.fault)
		}
		for _, o := range result.Outcomes {
			if !s.visible[o.Info.Path] || o.Action != cache.Sent && o.Action != cache.Skipped {
				t.Fatalf("%s is %s, visible: %v", o.Info.Path, o.Action, s.visible[o.Info.Path])
			}
		}
	})
}

func TestNothingToDoAsksOncePerRoot(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {0, 1}, {2}, {1}}, make([]int, 5))
	s := newSink(cache.Traits{ClosureComplete: true}, pathOf(0), pathOf(1), pathOf(2), pathOf(3), pathOf(4))
	result, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(3), pathOf(4)}, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.asked) != 1 || len(s.asked[0]) != 2 {
		t.Errorf("asked %v", s.asked)
	}
	for _, o := range result.Outcomes {
		if o.Action != cache.Skipped {
			t.Errorf("%s: %s", o.Info.Path, o.Action)
		}
	}
	if _, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(3)}, cache.Options{Verify: true}); err != nil {
		t.Fatal(err)
	}
	if last := s.asked[len(s.asked)-1]; len(last) != 4 {
		t.Errorf("--verify asked for %d of 4 paths", len(last))
	}
}

// Rounds of requests are filled with what the paths in question refer to: deep
// graphs take few of them, and the roots are still asked for alone.
func TestRoundsAreFull(t *testing.T) {
	refs := make([][]int, 100)
	var there []nix.StorePath
	for i := range refs {
		if i > 0 {
			refs[i] = []int{i - 1}
		}
		if i < 50 {
			there = append(there, pathOf(i))
		}
	}
	g := newGraph(refs, make([]int, len(refs)))
	for _, lookups := range []int{0, 1, 16, 1000} {
		s := newSink(cache.Traits{ClosureComplete: true, Lookups: lookups}, there...)
		result, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(99)}, cache.Options{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range result.Outcomes {
			if sent := o.Action == cache.Send; sent != (i >= 50) {
				t.Errorf("%d at once: %s: %s", lookups, o.Info.Path, o.Action)
			}
		}
		// The root, then 49 that are missing and the first that is there.
		if rounds, want := len(s.asked)-1, (50+max(lookups, 1)-1)/max(lookups, 1); rounds != want || len(s.asked[0]) != 1 {
			t.Errorf("%d at once: %d rounds after the first of %d, want %d", lookups, rounds, len(s.asked[0]), want)
		}
		for _, ps := range s.asked {
			if len(ps) > max(lookups, 1) {
				t.Errorf("%d at once: asked for %d", lookups, len(ps))
			}
		}
	}
}

// What was found missing is sent also when a path that is there, and is found
// later, refers to it.
func TestMissingIsNotImplied(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {1}, {0, 2}}, make([]int, 4))
	for _, lookups := range []int{0, 16} {
		s := newSink(cache.Traits{ClosureComplete: true, Lookups: lookups}, pathOf(1))
		if _, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(3)}, cache.Options{}); err != nil || !s.visible[pathOf(0)] {
			t.Errorf("%d at once: %v; sent: %v", lookups, err, s.visible[pathOf(0)])
		}
	}
}

// A cache that lost a path below one that it has: only --verify sees it.
func TestVerifyHeals(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {1}}, make([]int, 3))
	s := newSink(cache.Traits{ClosureComplete: true}, pathOf(1), pathOf(2))
	s.stored[pathOf(0)] = true
	if _, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(2)}, cache.Options{}); err != nil || s.visible[pathOf(0)] {
		t.Fatalf("%v", err)
	}
	if _, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(2)}, cache.Options{Verify: true}); err != nil || !s.visible[pathOf(0)] {
		t.Errorf("%v; healed: %v", err, s.visible[pathOf(0)])
	}
}

func TestLargestFirst(t *testing.T) {
	g := newGraph([][]int{{}, {}, {}, {0, 1, 2}}, []int{10, 300, 200, 5})
	s := newSink(cache.Traits{Large: 1})
	if _, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(3)}, cache.Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(s.order), fmt.Sprint([]nix.StorePath{pathOf(1), pathOf(2), pathOf(0), pathOf(3)}); got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

// One unreadable path fails with what refers to it; the rest arrives.
func TestBrokenPathFailsAlone(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {1}, {}, {2, 3}}, make([]int, 5))
	g.broken[pathOf(1)] = true
	s := newSink(cache.Traits{Large: 2})
	result, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(4)}, cache.Options{})
	var pe *cache.PathError
	if !errors.As(err, &pe) || pe.Side != "source" || pe.Path != pathOf(1) || !errors.Is(err, errBroken) {
		t.Errorf("error: %v", err)
	}
	got := map[nix.StorePath]cache.Action{}
	for _, o := range result.Outcomes {
		got[o.Info.Path] = o.Action
		if o.Action == cache.Failed && o.Info.Path == pathOf(2) && !strings.Contains(o.Reason, string(pathOf(1))) {
			t.Errorf("reason: %s", o.Reason)
		}
	}
	for i, want := range []cache.Action{cache.Sent, cache.Failed, cache.Failed, cache.Sent, cache.Failed} {
		if got[pathOf(i)] != want {
			t.Errorf("p%d: %s, want %s", i, got[pathOf(i)], want)
		}
	}
}

// A path that vanishes while others go up must not be reported as there.
func TestVanishedPathIsNoticed(t *testing.T) {
	g := newGraph([][]int{{}, {0}}, make([]int, 2))
	s := newSink(cache.Traits{ClosureComplete: true}, pathOf(0))
	s.stored[pathOf(0)] = true
	_, err := cache.Copy(t.Context(), &vanishing{s}, g, []nix.StorePath{pathOf(1)}, cache.Options{})
	var gone *cache.GoneError
	if !errors.As(err, &gone) || len(gone.Paths) != 1 || gone.Paths[0].Path != pathOf(0) {
		t.Errorf("%v", err)
	}
}

// vanishing loses p0 after each publish.
type vanishing struct{ *sink }

func (v *vanishing) Publish(ctx context.Context, infos []nix.NARInfo) error {
	err := v.sink.Publish(ctx, infos)
	v.mu.Lock()
	delete(v.visible, pathOf(0))
	v.mu.Unlock()
	return err
}

func TestDryRunTouchesNothing(t *testing.T) {
	g := newGraph([][]int{{}, {0}}, []int{5, 5})
	s := newSink(cache.Traits{ClosureComplete: true}, pathOf(0))
	var p cache.Progress
	result, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(1)}, cache.Options{DryRun: true, Progress: &p})
	if err != nil || len(s.order) != 0 || len(s.visible) != 1 {
		t.Errorf("%v, sent %v", err, s.order)
	}
	if result.Outcomes[1].Action != cache.Send || p.TotalPaths.Load() != 1 || p.TotalBytes.Load() != g.infos[1].NARSize {
		t.Errorf("%+v", result.Outcomes)
	}
}

func TestCancelStopsSoon(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {1}}, make([]int, 3))
	s := newSink(cache.Traits{Large: 2})
	ctx, cancel := context.WithCancel(t.Context())
	s.fail = func(op string, _ nix.StorePath) error {
		if op == "put" {
			cancel()
		}
		return nil
	}
	started := time.Now()
	result, err := cache.Copy(ctx, s, g, []nix.StorePath{pathOf(2)}, cache.Options{})
	if !errors.Is(err, context.Canceled) || time.Since(started) > time.Second {
		t.Errorf("%v after %v", err, time.Since(started))
	}
	if len(result.Outcomes) != 3 || s.fault != "" {
		t.Errorf("%+v %s", result, s.fault)
	}
}

func TestProgressAddsUp(t *testing.T) {
	g := newGraph([][]int{{}, {0}, {0, 1}}, []int{100, 200, 300})
	s := newSink(cache.Traits{Small: 2, SmallBelow: 150}, pathOf(0))
	s.stored[pathOf(0)] = true
	var p cache.Progress
	if _, err := cache.Copy(t.Context(), s, g, []nix.StorePath{pathOf(2)}, cache.Options{Progress: &p}); err != nil {
		t.Fatal(err)
	}
	if p.Paths.Load() != 2 || p.TotalPaths.Load() != 2 || p.Skipped.Load() != 1 || p.Bytes.Load() != p.TotalBytes.Load() {
		t.Errorf("paths %d/%d, bytes %d/%d, skipped %d", p.Paths.Load(), p.TotalPaths.Load(), p.Bytes.Load(), p.TotalBytes.Load(), p.Skipped.Load())
	}
}
