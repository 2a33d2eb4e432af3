package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/google/go-cmp/cmp"
)

func storePath(t *testing.T, i int) nix.StorePath {
	t.Helper()
	p, err := nix.ParseStorePath(nix.DefaultStoreDir, fmt.Sprintf("/nix/store/%032d-path-%d", i, i))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func paths(entries []Entry) (ps []nix.StorePath) {
	for _, e := range entries {
		ps = append(ps, e.Path)
	}
	return ps
}

func TestQueue(t *testing.T) {
	q, err := Open(filepath.Join(t.TempDir(), "a", "queue"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := storePath(t, 2), storePath(t, 1)
	for _, p := range []nix.StorePath{a, b, a} {
		file, err := q.Add(p)
		if err != nil {
			t.Fatal(err)
		}
		if target, err := os.Readlink(file); err != nil || target != string(p) {
			t.Fatalf("%s points to %q, %v", file, target, err)
		}
		time.Sleep(5 * time.Millisecond) // times of files are coarse
	}
	check := func(what string, got []Entry, err error, want ...nix.StorePath) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, paths(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	got, err := q.Waiting()
	check("oldest first, each once", got, err, a, b)
	if err := q.Fail(a, "its bytes changed"); err != nil {
		t.Fatal(err)
	}
	got, err = q.Waiting()
	check("after a failure", got, err, b)
	got, err = q.Failed()
	check("failed", got, err, a)
	if got[0].Reason != "its bytes changed" {
		t.Errorf("reason %q", got[0].Reason)
	}
	if n, err := q.Retry(); n != 1 || err != nil {
		t.Errorf("Retry: %d, %v", n, err)
	}
	if rest, err := os.ReadDir(filepath.Join(q.Dir(), "failed")); err != nil || len(rest) != 0 {
		t.Errorf("Retry left %v, %v", rest, err)
	}
	for _, p := range []nix.StorePath{a, b, b} {
		if err := q.Done(p); err != nil {
			t.Fatal(err)
		}
	}
	got, err = q.Waiting()
	check("in the end", got, err)
}

// What is no entry is neither pushed nor removed.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	q, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := storePath(t, 1)
	for name, target := range map[string]string{
		"elsewhere":    "/etc/passwd",
		p.Base():       "/nix/store/../etc",
		"x" + p.Base(): string(p),
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, storePath(t, 2).Base()), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := q.Waiting(); err != nil || len(got) != 0 {
		t.Errorf("entries %v, %v", got, err)
	}
}

func TestOpenRefusesWhatOthersMayWrite(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("error %v", err)
	}
}

func TestLock(t *testing.T) {
	q, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := q.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Lock(); !errors.Is(err, ErrBusy) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	if unlock, err = q.Lock(); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestConcurrentAdds(t *testing.T) {
	q, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				if _, err := q.Add(storePath(t, (i*7+w)%100)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	taken := make(map[nix.StorePath]bool)
	wg.Go(func() {
		for range 20 {
			got, err := q.Waiting()
			if err != nil {
				t.Error(err)
			}
			for _, e := range got {
				taken[e.Path] = true
				if err := q.Done(e.Path); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	rest, err := q.Waiting()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range rest {
		taken[e.Path] = true
	}
	if len(taken) != 100 {
		t.Errorf("%d of 100 paths seen", len(taken))
	}
}
