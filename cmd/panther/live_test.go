package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// screen is a terminal of which only what live uses is understood: text, new
// lines, cursor up and clear to the end.
type screen struct {
	lines []string
	row   int
}

var control = regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`)

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		if m := control.FindStringSubmatch(text); m != nil {
			text = text[len(m[0]):]
			switch m[2] {
			case "A":
				var n int
				fmt.Sscan(m[1], &n)
				s.row -= n
			case "J":
				s.lines = s.lines[:s.row]
			case "m": // colours
			default:
				return 0, fmt.Errorf("escape sequence %q", m[0])
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		for s.row >= len(s.lines) {
			s.lines = append(s.lines, "")
		}
		switch r {
		case '\n':
			s.row++
		case '\r':
		default:
			s.lines[s.row] += string(r)
		}
	}
	return len(p), nil
}

func (s *screen) text() string { return strings.TrimRight(strings.Join(s.lines, "\n"), "\n") }

// newScreen is a live display of a given size on a clock that stands still.
func newScreen(columns, rows int, color bool, hosts ...string) (*live, *screen, func(time.Duration)) {
	s := &screen{}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := newLive(s, hosts, func() (int, int) { return columns, rows }, color)
	l.now = func() time.Time { return now }
	return l, s, func(d time.Duration) { now = now.Add(d) }
}

func TestLive(t *testing.T) {
	l, s, wait := newScreen(80, 24, true, "yoga", "zephyrus", "ovh-cloud-vps")
	steps := []struct {
		events []pipeline.Event
		wait   time.Duration
		want   string
	}{
		{want: `
yoga           waiting
zephyrus       waiting
ovh-cloud-vps  waiting`},
		{
			events: []pipeline.Event{{Kind: pipeline.StepStarted, Step: "flake-check"}},
			wait:   1900 * time.Millisecond,
			want: `
flake-check         1 s
yoga           waiting
zephyrus       waiting
ovh-cloud-vps  waiting`},
		{
			events: []pipeline.Event{
				{Kind: pipeline.StepFinished, Step: "flake-check", Status: report.Passed, Seconds: 2.04},
				{Kind: pipeline.StepStarted, Host: "yoga", Step: "evaluate"},
				{Kind: pipeline.StepStarted, Host: "zephyrus", Step: "build"},
				{Kind: pipeline.StepProgress, Host: "zephyrus", Step: "build", Detail: "linux-6.12.40 firefox-140.0", Done: 3, Total: 812},
			},
			wait: 75 * time.Second,
			want: `
flake-check: passed after 2.0 s
yoga           evaluating   1 min 15 s
zephyrus       building     1 min 15 s  3/812  linux-6.12.40 firefox-140.0
ovh-cloud-vps  waiting`},
		{
			events: []pipeline.Event{
				{Kind: pipeline.StepFinished, Host: "yoga", Step: "evaluate", Status: report.Failed, Seconds: 1.25, Detail: "attribute 'disk' is missing, which is a message of more than a line's length"},
				{Kind: pipeline.StepFinished, Host: "zephyrus", Step: "build", Status: report.Passed, Seconds: 80, Detail: "812 built"},
				{Kind: pipeline.StepStarted, Step: "push"},
				{Kind: pipeline.StepProgress, Step: "push", Detail: "20 of 40 paths", Done: 5 << 20, Total: 10 << 20, Unit: "bytes"},
			},
			want: `
flake-check: passed after 2.0 s
yoga: evaluate: failed after 1.2 s: attribute 'disk' is missing, which is a message of more than a line's length
pushing             0 s  5.0 of 10.0 MiB  20 of 40 paths
yoga           failed            1.2 s  attribute 'disk' is missing, which is a
zephyrus       built        1 min 20 s  812 built
ovh-cloud-vps  waiting`},
		{
			events: []pipeline.Event{{Kind: pipeline.StepStarted, Host: "nobody", Step: "build"}, {Kind: pipeline.Note, Detail: "a note"}},
			want: `
flake-check: passed after 2.0 s
yoga: evaluate: failed after 1.2 s: attribute 'disk' is missing, which is a message of more than a line's length
a note
pushing             0 s  5.0 of 10.0 MiB  20 of 40 paths
yoga           failed            1.2 s  attribute 'disk' is missing, which is a
zephyrus       built        1 min 20 s  812 built
ovh-cloud-vps  waiting`},
	}
	for i, step := range steps {
		for _, e := range step.events {
			l.event(e)
		}
		wait(step.wait)
		l.paint()
		if diff := cmp.Diff(step.want[1:], s.text()); diff != "" {
			t.Errorf("screen %d (-want +got):\n%s", i, diff)
		}
	}
	l.start()
	l.close()
	if got := s.text(); strings.Contains(got, "waiting") || !strings.HasSuffix(got, "a note") {
		t.Errorf("the region is still there after close:\n%s", got)
	}
}

// With more hosts than lines those under way are shown, the others counted.
func TestLiveManyHosts(t *testing.T) {
	var hosts []string
	for i := range 100 {
		hosts = append(hosts, fmt.Sprintf("host-%02d", i))
	}
	l, s, _ := newScreen(80, 10, false, hosts...)
	for i, h := range hosts[:30] {
		l.event(pipeline.Event{Kind: pipeline.StepStarted, Host: h, Step: "build"})
		if i < 20 {
			l.event(pipeline.Event{Kind: pipeline.StepFinished, Host: h, Step: "build", Status: report.Passed})
		}
	}
	l.paint()
	lines := strings.Split(s.text(), "\n")
	if len(lines) > 6 || lines[0] != "host-20  building            0 s" || lines[len(lines)-1] != "20 done, 0 failed, 5 more at work, 70 waiting" {
		t.Errorf("screen:\n%s", s.text())
	}
}

// Lines never wrap, whatever the width: the region would grow.
func TestLiveWidth(t *testing.T) {
	for _, columns := range []int{1, 5, 20, 40, 79, 80, 200} {
		for _, color := range []bool{true, false} {
			l, s, _ := newScreen(columns, 24, color, "yoga", strings.Repeat("long", 30))
			l.event(pipeline.Event{Kind: pipeline.StepStarted, Step: "push"})
			l.event(pipeline.Event{Kind: pipeline.StepProgress, Host: "yoga", Step: "build", Detail: strings.Repeat("x", 300), Done: 1, Total: 2})
			l.event(pipeline.Event{Kind: pipeline.StepStarted, Host: "yoga", Step: "build"})
			l.paint()
			for _, line := range strings.Split(s.text(), "\n") {
				if n := utf8.RuneCountInString(line); n >= max(2, min(columns, 80)) {
					t.Errorf("%d columns: a line of %d: %q", columns, n, line)
				}
			}
		}
	}
}

// A screen that is as it should be is not written again.
func TestLiveIsCalm(t *testing.T) {
	var out bytes.Buffer
	now := time.Now()
	l := newLive(&out, []string{"yoga"}, func() (int, int) { return 80, 24 }, true)
	l.now = func() time.Time { return now }
	l.event(pipeline.Event{Kind: pipeline.StepStarted, Host: "yoga", Step: "build"})
	l.paint()
	before := out.Len()
	for range 4 {
		now = now.Add(200 * time.Millisecond)
		l.paint()
	}
	if out.Len() != before {
		t.Errorf("%d bytes were written for nothing", out.Len()-before)
	}
	now = now.Add(200 * time.Millisecond)
	l.paint()
	if out.Len() == before {
		t.Error("a second later nothing was written")
	}
}

func TestLines(t *testing.T) {
	var out bytes.Buffer
	l := &lines{w: &out}
	for _, e := range []pipeline.Event{
		{Kind: pipeline.StepStarted, Step: "inputs", Detail: "trying"},
		{Kind: pipeline.StepStarted, Step: "syntax"},
		{Kind: pipeline.StepFinished, Step: "syntax", Status: report.Passed, Seconds: 0.26, Detail: "12 files"},
		{Kind: pipeline.StepStarted, Host: "yoga", Step: "build"},
		{Kind: pipeline.StepProgress, Host: "yoga", Step: "build", Detail: "x", Done: 1, Total: 2},
		{Kind: pipeline.StepFinished, Host: "yoga", Step: "build", Status: report.Failed, Seconds: 125.5},
		{Kind: pipeline.StepStarted, Step: "push"},
		{Kind: pipeline.Note, Host: "yoga", Step: "push", Detail: "not pushed"},
		{Kind: pipeline.Note, Detail: "no comparison"},
	} {
		l.event(e)
	}
	want := `inputs: trying
syntax: passed after 260 ms: 12 files
yoga: build: failed after 2 min 05 s
push: started
yoga: push: not pushed
no comparison
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
