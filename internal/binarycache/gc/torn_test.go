package gc

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
)

// torn is a store in which a push comes to its end while the first listing is
// under way: its paths are written where the listing has been, its manifest
// where it has not.
type torn struct {
	*dir.Store
	push   func() error
	pushed bool
}

func (s *torn) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	if s.pushed || prefix != "" {
		return s.Store.List(ctx, prefix)
	}
	return func(yield func(blob.Info, error) bool) {
		for info, err := range s.Store.List(ctx, "") { // as it was before
			if !yield(info, err) {
				return
			}
		}
		s.pushed = true
		if err := s.push(); err != nil {
			yield(blob.Info{}, err)
			return
		}
		for info, err := range s.Store.List(ctx, "roots/") {
			if !yield(info, err) {
				return
			}
		}
	}
}

func TestTornListing(t *testing.T) {
	files, err := dir.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, text string) error {
		return files.Put(t.Context(), key, strings.NewReader(text), int64(len(text)))
	}
	push := func(nar bool) error {
		name := pathName(1)
		objects := [][2]string{
			{name[:32] + ".narinfo", narInfoText(1)},
			{"roots/host/20260101T000000.000Z-00000000.json", `{"version":1,"name":"host","generation":"20260101T000000.000Z-00000000","time":"2026-01-01T00:00:00Z","paths":["/nix/store/` + name + `"]}`},
		}
		if nar {
			objects = append([][2]string{{fmt.Sprintf("nar/%052d.nar.zst", 1), "x"}}, objects...)
		}
		for _, o := range objects {
			if err := put(o[0], o[1]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := put("nix-cache-info", "StoreDir: /nix/store\n"); err != nil {
		t.Fatal(err)
	}
	// Path 1 refers to path 0.
	for _, o := range [][2]string{{pathName(0)[:32] + ".narinfo", narInfoText(0)}, {fmt.Sprintf("nar/%052d.nar.zst", 0), "x"}} {
		if err := put(o[0], o[1]); err != nil {
			t.Fatal(err)
		}
	}
	s := &torn{Store: files, push: func() error { return push(true) }}
	c, err := DryRun(t.Context(), s, Options{Name: "test"})
	if err != nil {
		t.Fatalf("a push that ended meanwhile is taken for damage: %v", err)
	}
	if len(c.Plan.Generations) != 1 || !s.pushed {
		t.Errorf("%d generations", len(c.Plan.Generations))
	}
	// What really is gone still stops it.
	if err := files.Delete(t.Context(), fmt.Sprintf("nar/%052d.nar.zst", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := DryRun(t.Context(), s, Options{Name: "test"}); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("a broken root: %v", err)
	}
}
