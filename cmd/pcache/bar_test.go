package main

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/cmd/terminal"
	"gitlab.com/pantheros/pantheros/cmd/terminal/terminaltest"
	"gitlab.com/pantheros/pantheros/internal/badnet"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

// The line of a copy, at its moments and in several widths.
func TestBar(t *testing.T) {
	p := new(cache.Progress)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := &bar{progress: p, verb: "sending", now: func() time.Time { return now }}
	if lines := b.lines(80, 24); lines != nil {
		t.Errorf("before it is planned: %q", lines)
	}
	p.TotalPaths.Store(40)
	p.TotalBytes.Store(80 << 20)
	p.Planned.Store(true)
	var got []string
	for _, moment := range []struct {
		paths, bytes int64
		wait         time.Duration
		columns      int
	}{
		{0, 0, 0, 100},
		{3, 8 << 20, 15 * time.Second, 100},
		{30, 78 << 20, 8 * time.Second, 80},
		{30, 78 << 20, 0, 40},
		{30, 78 << 20, 0, 10},
		{30, 78 << 20, time.Minute, 120},
	} {
		now = now.Add(moment.wait)
		p.Paths.Store(moment.paths)
		p.Bytes.Store(moment.bytes)
		lines := b.lines(moment.columns, 24)
		if len(lines) != 1 || terminal.Width(lines[0]) >= moment.columns {
			t.Fatalf("%d columns: %q", moment.columns, lines)
		}
		got = append(got, lines[0])
	}
	want := []string{
		"[                    ] sending 0/40 paths  0.0 of 80.0 MiB",
		"[==                  ] sending 3/40 paths  8.0 of 80.0 MiB  546 KiB/s  ~2 min left",
		"sending 30/40 paths  78.0 of 80.0 MiB  3.4 MiB/s  ~1 s left",
		"sending 30/40 paths  78.0 of 80.0 MiB  ",
		"sending 3",
		"[=================== ] sending 30/40 paths  78.0 of 80.0 MiB  0 KiB/s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// Ctrl-C on a terminal: a copy from a slow server ends at once, and of its line
// nothing is left.
func TestInterruptOnTerminal(t *testing.T) {
	env := nixtest.New(t)
	file := filepath.Join(t.TempDir(), "big")
	data := make([]byte, 8<<20)
	_, _ = rand.Read(data)
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	path := strings.TrimSpace(env.Run(t, "nix-store", "--add", file))
	dir := t.TempDir()
	if out, err := exec.Command("pcache", "push", "--unsigned", "--root", "big", "file://"+dir, path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	slow, err := badnet.Listen(strings.TrimPrefix(server.URL, "http://"), badnet.Options{Bandwidth: 200 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()

	cmd := exec.Command("pcache", "copy", "--no-check-signatures", "http://"+slow.Addr, "file://"+t.TempDir(), path)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	s := terminaltest.Start(t, cmd, 120, 24)
	s.Shows(t, "] copying 0/1 paths")
	s.Shows(t, "KiB/s")
	// Not so narrow that the line wraps: a paint under way while the terminal
	// wraps it cannot know of it.
	s.Resize(t, 80, 24)
	s.Until(t, "a line without a bar", func(text string) bool {
		return strings.HasPrefix(text, "copying 0/1 paths")
	})
	began := time.Now()
	s.Type(t, "\x03")
	code := s.Wait()
	if took := time.Since(began); code != exitInterrupted || took > 5*time.Second {
		t.Errorf("code %d after %s", code, took)
	}
	if text, want := s.Text(), "pcache: interrupted; running it again does the rest"; text != want {
		t.Errorf("on the screen is left:\n%s", text)
	}
	if column, last := s.Cursor(); column != 0 || !last || len(s.Unknown()) > 0 {
		t.Errorf("the cursor is in column %d, on the last line: %v; not understood: %q", column, last, s.Unknown())
	}
}
