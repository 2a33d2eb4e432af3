// Package terminal shows work under way at the bottom of a terminal, for the
// commands.
package terminal

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Region is lines at the bottom of a terminal that are kept up to date. What is
// worth keeping goes above them and scrolls away. The terminal is put into no
// mode: whatever becomes of the process, it works as before. Methods may be
// called concurrently.
type Region struct {
	w    io.Writer
	size func() (columns, rows int)
	// ours tells whether the terminal is this process's at present; a job in
	// the background must not write over the shell's prompt.
	ours func() bool

	mu      sync.Mutex
	painted []string // the lines on the screen, the cursor below them
	columns int      // width of the terminal when they were painted
	closed  bool
}

// On returns a region on w, or false where w is no terminal, or one that cannot
// move its cursor.
func On(w io.Writer) (*Region, bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil, false
	}
	size := func() (columns, rows int) {
		columns, rows, err := term.GetSize(int(f.Fd()))
		if err != nil || columns < 1 || rows < 1 {
			return 80, 24
		}
		return columns, rows
	}
	ours := func() bool {
		group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
		return err != nil || group == unix.Getpgrp() // not known: another session's terminal
	}
	return &Region{w: f, size: size, ours: ours}, true
}

// New returns a region on a terminal of which only the size is known.
func New(w io.Writer, size func() (columns, rows int)) *Region {
	return &Region{w: w, size: size, ours: func() bool { return true }}
}

// Colored reports whether colours are wanted (no-color.org).
func Colored() bool { return os.Getenv("NO_COLOR") == "" }

// Keep shows what lines returns, at once and at intervals, until stop is called,
// which takes the region away. lines is told the terminal's size; each line must
// be narrower than that, without counting colours, and contain no new line.
func (r *Region) Keep(every time.Duration, lines func(columns, rows int) []string) (stop func()) {
	quit := make(chan struct{})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGCONT)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			r.Show(lines)
			select {
			case <-quit:
				return
			case <-tick.C:
			case s := <-signals:
				if s == syscall.SIGCONT {
					r.forget()
				}
			}
		}
	})
	var once sync.Once
	return func() {
		once.Do(func() {
			signal.Stop(signals)
			close(quit)
			wg.Wait()
			r.Close()
		})
	}
}

// Show brings the screen up to date, once. What is there already is not written
// again.
func (r *Region) Show(lines func(columns, rows int) []string) {
	columns, rows := r.size()
	want := lines(columns, rows)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || columns == r.columns && slices.Equal(want, r.painted) || !r.ours() {
		return
	}
	r.paint("", want, columns)
}

// Above prints text, whole lines, that stays, above the region.
func (r *Region) Above(text string) {
	columns, _ := r.size()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || !r.ours() {
		_, _ = io.WriteString(r.w, text)
		return
	}
	r.paint(text, r.painted, columns)
}

// Close takes the region away; what is shown afterwards is not. It may be called
// more than once.
func (r *Region) Close() {
	columns, _ := r.size()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && len(r.painted) > 0 && r.ours() {
		r.paint("", nil, columns)
	}
	r.closed = true
}

// forget leaves what is on the screen: somebody else has written below it.
func (r *Region) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.painted, r.columns = nil, 0
}

// paint writes in one piece: up to the region's first line, text, the lines, and
// clears what is left below.
func (r *Region) paint(text string, lines []string, columns int) {
	var b strings.Builder
	if up := r.height(columns); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", up)
	}
	if text != "" {
		b.WriteString("\x1b[J" + text)
	}
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	r.painted, r.columns = slices.Clone(lines), columns
	_, _ = io.WriteString(r.w, b.String()) // a terminal that is gone is no reason to stop
}

// height is how many rows the region takes now. A terminal that became narrower
// has wrapped its lines, as most do.
func (r *Region) height(columns int) int {
	rows := 0
	for _, line := range r.painted {
		rows += max(1, (Width(line)+columns-1)/max(1, columns))
	}
	return rows
}

// Width is how many columns a line takes: a character is one, and colours none.
func Width(line string) int {
	n := 0
	for {
		before, rest, ok := strings.Cut(line, "\x1b[")
		n += utf8.RuneCountInString(before)
		if !ok {
			return n
		}
		_, line, _ = strings.Cut(rest, "m")
	}
}

// Cut cuts text without colours to n columns.
func Cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:max(0, n)])
}
