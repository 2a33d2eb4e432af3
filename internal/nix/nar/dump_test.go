package nar_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nix/nar"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// hardTree has what archivers get wrong.
func hardTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("empty", "", 0o644)
	write("bin/run", "#!/bin/sh\n", 0o755)
	write("bin/group-executable-only", "x", 0o654)
	write("bin/owner-executable-only", "x", 0o744)
	for i := range 17 { // every remainder of eight, twice
		write(fmt.Sprintf("sizes/%d", i), strings.Repeat("s", i), 0o644)
	}
	write("large/just-below", strings.Repeat("b", 256<<10-1), 0o644)
	write("large/exact", strings.Repeat("c", 256<<10), 0o644)
	write("large/more", strings.Repeat("0123456789abcdef", 100_003), 0o755)
	// Sorting is by bytes: '-' < '.' < '/' < '0', upper before lower case.
	for _, name := range []string{"a", "a-b", "a.b", "a0", "A", "Z", "z", "..x", ".hidden", "...", "sp ace", "new\nline", "tab\t", "quo\"te", "back\\slash", "ünï", "日本", "\xff\xfe", "case", "CASE", "(", ")", "entry", strings.Repeat("n", 255)} {
		write("names/"+name, name, 0o644)
	}
	write("names/a.d/file", "", 0o644)
	if err := os.MkdirAll(filepath.Join(dir, "empty-dir/nested/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"link-file": "bin/run", "link-dir": "bin", "link-broken": "no/such/thing", "link-self": "link-self",
		"link-absolute": "/etc/passwd", "link-odd": "\xff ü\n", "link-long": strings.Repeat("l/", 2000),
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func dumpHash(t *testing.T, path string) (string, int64) {
	t.Helper()
	h := sha256.New()
	var n counter
	if err := nar.Dump(io.MultiWriter(h, &n), path); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil)), int64(n)
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// What Nix itself writes is the only measure.
func TestDumpEqualsNix(t *testing.T) {
	env := nixtest.Another(t)
	tree := hardTree(t)
	for _, path := range []string{tree, tree + "/bin/run", tree + "/empty", tree + "/link-broken", tree + "/empty-dir", tree + "/names", tree + "/large/more"} {
		want, err := env.Command("nix-store", "--dump", path).Output()
		if err != nil {
			t.Fatalf("nix-store --dump %s: %v", path, err)
		}
		var got bytes.Buffer
		if err := nar.Dump(&got, path); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %d bytes differ from Nix's %d", path, got.Len(), len(want))
		}
	}
}

// A size that does not fit 32 bits. The file is sparse: it takes no room.
func TestDumpBeyondFourGiB(t *testing.T) {
	env := nixtest.Another(t)
	file := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 4<<30 + 12345
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("end"), size-3); err != nil {
		t.Fatal(err)
	}
	cmd := env.Command("nix-store", "--dump", file)
	h := sha256.New()
	cmd.Stdout = h
	wait := make(chan error, 1)
	go func() { wait <- cmd.Run() }()
	got, n := dumpHash(t, file)
	if err := <-wait; err != nil {
		t.Fatal(err)
	}
	if want := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("hash %s, Nix's is %s", got, want)
	}
	if n <= size {
		t.Errorf("%d bytes", n)
	}
}

func TestDumpErrors(t *testing.T) {
	dir := t.TempDir()
	if err := nar.Dump(io.Discard, dir+"/absent"); !strings.Contains(fmt.Sprint(err), "absent") {
		t.Errorf("absent: %v", err)
	}
	if err := syscall.Mkfifo(dir+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := nar.Dump(io.Discard, dir); err == nil || !strings.Contains(err.Error(), "fifo: it is neither") {
		t.Errorf("a fifo: %v", err)
	}
	full := errors.New("full")
	if err := nar.Dump(writerFunc(func([]byte) (int, error) { return 0, full }), hardTree(t)); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func BenchmarkDump(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), bytes.Repeat([]byte{byte(i)}, 40_000), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(40_000_000)
	for b.Loop() {
		if err := nar.Dump(io.Discard, dir); err != nil {
			b.Fatal(err)
		}
	}
}
