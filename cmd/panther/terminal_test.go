package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gitlab.com/pantheros/pantheros/cmd/terminal/terminaltest"
)

// A run on a terminal: hosts and derivations under way are there, in 80 columns
// and after the terminal became narrower, and after Ctrl-C nothing of it is left
// but the result. What a terminal shows a pipe does not get.
func TestTerminal(t *testing.T) {
	c := newFleet(t)
	marker := fmt.Sprintf("3000%d", os.Getpid())
	c.configure(t, "beta", `{ script = "sleep `+marker+`"; }`)
	cmd := c.command(t.Context(), "build-all")
	cmd.Env = append(cmd.Env, "TERM=xterm")
	s := terminaltest.Start(t, cmd, 80, 24)
	s.Shows(t, "nixos-system-beta")
	text := s.Until(t, "the push of alpha", func(text string) bool { return strings.Contains(text, "push: passed") })
	contains(t, text, "testfleet  ", " built  1 waiting", "\nalpha  built  ", "\nbeta   building  ", "\ngamma  waiting", "flake-check: passed")
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(line); n > 81 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	// Not so narrow that lines wrap: a paint under way while the terminal wraps
	// them cannot know of it.
	s.Resize(t, 60, 12)
	text = s.Until(t, "a narrow region", func(text string) bool { return strings.Contains(text, "\nbeta   building 0:") })
	if strings.Count(text, "gamma  waiting") != 1 || strings.Count(text, "testfleet  ") != 1 {
		t.Errorf("the region was left when the terminal became narrower:\n%s", text)
	}
	s.Resize(t, 200, 50)
	s.Until(t, "a wide region", func(text string) bool { return strings.Contains(text, "beta   building         ") })
	began := time.Now()
	s.Type(t, "\x03")
	code := s.Wait()
	if took := time.Since(began); code != 130 || took > 10*time.Second {
		t.Errorf("code %d after %s", code, took)
	}
	text = s.Text()
	contains(t, text, "interrupted in build", "panther: interrupted")
	for _, word := range []string{"waiting", "building", "testfleet  ", "^C"} {
		if strings.Contains(text, word) {
			t.Errorf("%q is left on the screen:\n%s", word, text)
		}
	}
	if column, last := s.Cursor(); column != 0 || !last || len(s.Unknown()) > 0 {
		t.Errorf("the cursor is in column %d, on the last line: %v; not understood: %q", column, last, s.Unknown())
	}
}

// A second Ctrl-C, which waits for nothing, leaves nothing of the region either.
func TestTerminalInterruptTwice(t *testing.T) {
	c := newFleet(t)
	c.configure(t, "alpha", fmt.Sprintf(`{ script = "sleep 4000%d"; }`, os.Getpid()))
	cmd := c.command(t.Context(), "build-all")
	cmd.Env = append(cmd.Env, "TERM=xterm")
	s := terminaltest.Start(t, cmd, 80, 24)
	s.Shows(t, "nixos-system-alpha")
	s.Type(t, "\x03\x03")
	if code := s.Wait(); code != 130 {
		t.Errorf("code %d", code)
	}
	if text := s.Text(); strings.Contains(text, "gamma  waiting") || strings.Contains(text, "building") {
		t.Errorf("the region is left on the screen:\n%s", text)
	}
}

// A terminal that cannot move its cursor gets plain lines.
func TestDumbTerminal(t *testing.T) {
	c := newFleet(t)
	cmd := c.command(t.Context(), "check", "alpha")
	cmd.Env = append(cmd.Env, "TERM=dumb")
	s := terminaltest.Start(t, cmd, 80, 24)
	if code := s.Wait(); code != 0 {
		t.Errorf("code %d", code)
	}
	contains(t, s.Text(), "alpha: evaluate: passed")
	if strings.Contains(s.Text(), "waiting") || len(s.Unknown()) > 0 {
		t.Errorf("%s\n%q", s.Text(), s.Unknown())
	}
}
