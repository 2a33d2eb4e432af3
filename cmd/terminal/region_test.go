package terminal

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/cmd/terminal/terminaltest"
)

func fixed(lines ...string) func(int, int) []string {
	return func(int, int) []string { return lines }
}

// region is a region on a screen whose size can be changed.
func region(columns, rows int) (*Region, *terminaltest.Screen, *int) {
	s := terminaltest.NewScreen(columns, rows)
	return New(s, func() (int, int) { return columns, rows }), s, &columns
}

func see(t *testing.T, s *terminaltest.Screen, want ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), s.Text()); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
	if u := s.Unknown(); len(u) > 0 {
		t.Errorf("control sequences that no test knows: %q", u)
	}
}

func TestRegion(t *testing.T) {
	r, s, _ := region(20, 10)
	r.Above("before\n")
	r.Show(fixed("\x1b[32mone\x1b[0m", "two"))
	see(t, s, "before", "one", "two")
	r.Above("kept\n")
	see(t, s, "before", "kept", "one", "two")
	r.Show(fixed("longer one", "two", "three"))
	see(t, s, "before", "kept", "longer one", "two", "three")
	r.Show(fixed("1"))
	see(t, s, "before", "kept", "1")
	// As the terminal driver does when a key is hit.
	fmt.Fprint(s, "^C")
	r.Close()
	see(t, s, "before", "kept")
	if column, last := s.Cursor(); column != 0 || !last {
		t.Errorf("the cursor is in column %d, on the last line: %v", column, last)
	}
	r.Show(fixed("late"))
	r.Above("afterwards\n")
	r.Close()
	see(t, s, "before", "kept", "afterwards")
}

// What is on the screen is not written again.
func TestRegionIsCalm(t *testing.T) {
	var out bytes.Buffer
	columns := 80
	r := New(&out, func() (int, int) { return columns, 24 })
	r.Show(fixed("one", "two"))
	n := out.Len()
	for range 5 {
		r.Show(fixed("one", "two"))
	}
	if out.Len() != n {
		t.Errorf("%q was written for nothing", out.String()[n:])
	}
	columns = 100
	r.Show(fixed("one", "two"))
	if out.Len() == n {
		t.Error("nothing was written after the width had changed")
	}
}

// A terminal that became narrower has wrapped the lines: the region goes up over
// all their rows, and nothing of it is left.
func TestRegionNarrower(t *testing.T) {
	r, _, columns := region(20, 10)
	narrow := terminaltest.NewScreen(8, 10)
	fmt.Fprint(narrow, "before\r\n0123456789abcd\r\n\x1b[31mshort\x1b[0m\r\n")
	see(t, narrow, "before", "01234567", "89abcd", "short")
	r.Show(fixed("0123456789abcd", "\x1b[31mshort\x1b[0m"))
	*columns, r.w = 8, narrow
	r.Show(fixed("0123456", "short"))
	see(t, narrow, "before", "0123456", "short")
}

// Somebody else wrote on the screen while the process was stopped.
func TestRegionForgets(t *testing.T) {
	r, s, _ := region(20, 10)
	r.Show(fixed("one"))
	fmt.Fprint(s, "$ fg\n")
	r.forget()
	r.Show(fixed("one"))
	see(t, s, "one", "$ fg", "one")
}

// A job in the background prints what is to stay and nothing else.
func TestRegionInBackground(t *testing.T) {
	r, s, _ := region(20, 10)
	r.ours = func() bool { return false }
	r.Show(fixed("one"))
	r.Above("kept\n")
	r.Close()
	see(t, s, "kept")
}

func TestKeep(t *testing.T) {
	r, s, _ := region(20, 10)
	n := make(chan int, 100)
	stop := r.Keep(time.Millisecond, func(columns, _ int) []string {
		select {
		case n <- columns:
		default:
		}
		return []string{"line"}
	})
	for range 3 {
		if got := <-n; got != 20 {
			t.Errorf("%d columns", got)
		}
	}
	stop()
	stop()
	see(t, s, "")
}

func TestOn(t *testing.T) {
	if _, ok := On(&bytes.Buffer{}); ok {
		t.Error("a buffer is a terminal")
	}
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := On(f); ok {
		t.Error("a file is a terminal")
	}
}

func TestMeter(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * 1e9)) }
	var m Meter
	if _, ok := m.Rate(at(0)); ok {
		t.Error("a rate of nothing")
	}
	for i := range 200 { // 1 MiB a second, told ten times a second
		m.Add(at(float64(i)/10), int64(i)<<20/10)
		if _, ok := m.Left(at(float64(i)/10), 30<<20); ok != (i >= 150) {
			t.Fatalf("after %d steps it is known how much is left: %v", i, ok)
		}
		if rate, ok := m.Rate(at(float64(i) / 10)); ok != (i >= 20) || ok && (rate < 0.99*(1<<20) || rate > 1.01*(1<<20)) {
			t.Fatalf("after %d steps: %g, %v", i, rate, ok)
		}
	}
	if left, ok := m.Left(at(19.9), 30<<20); !ok || left.Round(100*time.Millisecond) != 10100*time.Millisecond {
		t.Errorf("left: %s, %v", left, ok)
	}
	// It stands still: the rate goes down, and then there is none.
	if rate, _ := m.Rate(at(24.9)); rate < 0.45*(1<<20) || rate > 0.55*(1<<20) {
		t.Errorf("five seconds later: %g", rate)
	}
	if rate, ok := m.Rate(at(40)); !ok || rate != 0 {
		t.Errorf("twenty seconds later: %g, %v", rate, ok)
	}
	if left, ok := m.Left(at(40), 30<<20); ok {
		t.Errorf("it stands still, and %s are left", left)
	}
	if len(m.seen) > 60 {
		t.Errorf("%d samples are kept", len(m.seen))
	}
	m.Add(at(41), 5)
	if _, ok := m.Rate(at(41)); ok {
		t.Error("a count that began anew has a rate at once")
	}
}

func TestLeft(t *testing.T) {
	for d, want := range map[time.Duration]string{
		100 * time.Millisecond: "~1 s left", 4 * time.Second: "~4 s left", 33 * time.Second: "~35 s left",
		57 * time.Second: "~1 min left", 89 * time.Minute: "~89 min left", 100 * time.Minute: "~2 h left",
	} {
		if got := Left(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestWidth(t *testing.T) {
	if n := Width("a\x1b[31mbc\x1b[0md"); n != 4 {
		t.Errorf("%d", n)
	}
	if got := Cut("zürich", 2); got != "zü" {
		t.Errorf("%q", got)
	}
}
