package dir

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/blobtest"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := New(filepath.Join(t.TempDir(), "not", "yet", "there"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return newStore(t) })
}

func BenchmarkDir(b *testing.B) {
	blobtest.Benchmark(b, func(b *testing.B) blob.Store { return newStore(b) })
}

func TestNothingTemporaryRemains(t *testing.T) {
	s := newStore(t)
	if err := s.Put(t.Context(), "good", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "bad", strings.NewReader("x"), 2); err == nil {
		t.Fatal("a wrong size was taken")
	}
	left, err := os.ReadDir(filepath.Join(s.root, tmpDir))
	if err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestNotADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(file); err == nil {
		t.Error("a file was taken for a directory")
	}
}

// The cases that need a file system of their own run in a mount namespace, in
// a copy of this test binary.
const mountVariable = "PANTHEROS_TEST_MOUNT"

func inMount(t *testing.T, mount string, check func(t *testing.T, dir string)) {
	t.Helper()
	if dir := os.Getenv(mountVariable); dir != "" {
		check(t, dir)
		return
	}
	dir := t.TempDir()
	script := strings.ReplaceAll(mount, "DIR", dir) + ` && exec "$0" -test.run "^$1$" -test.v`
	cmd := exec.Command("unshare", "--mount", "--map-root-user", "sh", "-euc", script, os.Args[0], t.Name())
	cmd.Env = append(os.Environ(), mountVariable+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFullDisk(t *testing.T) {
	inMount(t, "mount -t tmpfs -o size=256k none DIR", func(t *testing.T, dir string) {
		s, err := New(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), "small", strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		err = s.Put(t.Context(), "large", strings.NewReader(strings.Repeat("x", 1<<20)), -1)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v", err)
		}
		if _, err := s.Stat(t.Context(), "large"); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("half an object: %v", err)
		}
		if err := s.Put(t.Context(), "other", strings.NewReader(strings.Repeat("x", 1<<10)), -1); err != nil {
			t.Errorf("the failed object still takes room: %v", err)
		}
	})
}

func TestReadOnlyFileSystem(t *testing.T) {
	inMount(t, "mount -t tmpfs none DIR && echo x > DIR/there && mount -o remount,ro DIR", func(t *testing.T, dir string) {
		s, err := New(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), "new", strings.NewReader("x"), 1); !errors.Is(err, syscall.EROFS) {
			t.Errorf("put: %v", err)
		}
		if data, err := blob.ReadAll(t.Context(), s, "there", 10); err != nil || string(data) != "x\n" {
			t.Errorf("read: %q, %v", data, err)
		}
	})
}
