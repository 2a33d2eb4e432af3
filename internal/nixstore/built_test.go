package nixstore

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

func TestWatchBuilt(t *testing.T) {
	env := nixtest.New(t)
	before := env.Build(t, `sh "before-1.0" "echo before > $out"`)
	s := open(t, "")
	built, err := s.WatchBuilt(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.WatchBuilt(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	names := func(b *Built) (names []string) {
		t.Helper()
		paths, err := b.New(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			names = append(names, p.Name())
		}
		return names
	}
	if got := append(names(built), names(all)...); len(got) != 0 {
		t.Errorf("before anything was built: %v", got)
	}
	env.Build(t, diamond)
	want := []string{"base-1.0", "left-1.0", "right-2.0", "top"}
	got := names(built)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("built %v, want %v", got, want)
	}
	file := filepath.Join(t.TempDir(), "added")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	env.AddTree(t, file)
	if got := names(built); len(got) != 0 {
		t.Errorf("what was only added counts as built: %v", got)
	}
	// Derivations are added as well, so all has more.
	if got := names(all); !slices.Contains(got, "added") || !slices.Contains(got, "top") || slices.Contains(got, "before-1.0") {
		t.Errorf("all: %v after %s", got, before)
	}
}

// A root keeps its path from being collected while its link exists, whether it
// was registered by hand or by the daemon.
func TestAddIndirectRoot(t *testing.T) {
	for _, way := range []string{"by hand", "by the daemon"} {
		t.Run(way, func(t *testing.T) {
			env := nixtest.New(t)
			top := env.Build(t, diamond)
			s := open(t, "")
			auto := s.stateDir + "/gcroots/auto"
			if way == "by the daemon" {
				// Root may write anywhere; a folder that is not there yet
				// makes it ask.
				if err := os.RemoveAll(auto); err != nil {
					t.Fatal(err)
				}
			}
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(top, link); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := s.AddIndirectRoot(t.Context(), link); err != nil {
					t.Fatal(err)
				}
			}
			// Nix may have roots of its own there.
			entries, err := os.ReadDir(auto)
			if err != nil {
				t.Fatal(err)
			}
			ours := 0
			for _, e := range entries {
				if target, err := os.Readlink(filepath.Join(auto, e.Name())); err == nil && target == link {
					ours++
				}
			}
			if ours != 1 {
				t.Errorf("%d roots of %s among %v", ours, link, entries)
			}
			env.Run(t, "nix-store", "--gc")
			if _, err := s.Closure(t.Context(), nix.StorePath(top)); err != nil {
				t.Errorf("collected in spite of its root: %v", err)
			}
			if err := os.Remove(link); err != nil {
				t.Fatal(err)
			}
			env.Run(t, "nix-store", "--gc")
			if _, err := s.Closure(t.Context(), nix.StorePath(top)); err == nil {
				t.Error("not collected when its root was gone")
			}
		})
	}
	if err := open(t, t.TempDir()).AddIndirectRoot(t.Context(), "relative"); err == nil || !strings.Contains(err.Error(), "not absolute") {
		t.Errorf("relative link: %v", err)
	}
}
