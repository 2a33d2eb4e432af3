package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/cmd/terminal"
	"gitlab.com/pantheros/pantheros/cmd/terminal/terminaltest"
	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// newScreen is a live display of a given size on a clock that stands still.
func newScreen(columns, rows int, color bool, earlier past, hosts ...string) (*live, *terminaltest.Screen, func(time.Duration)) {
	s := terminaltest.NewScreen(columns, rows)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := newLive(terminal.New(s, func() (int, int) { return columns, rows }), "testfleet", hosts, report.StepBuild, earlier, color)
	l.now = func() time.Time { return now }
	return l, s, func(d time.Duration) { now = now.Add(d) }
}

// night is a run, moment by moment.
var night = []struct {
	name   string
	events []pipeline.Event
	wait   time.Duration
}{
	{name: "before anything"},
	{
		name:   "a check",
		events: []pipeline.Event{{Kind: pipeline.StepStarted, Step: "flake-check"}},
		wait:   4 * time.Second,
	},
	{
		name: "evaluating, and a build whose derivations are known",
		events: []pipeline.Event{
			{Kind: pipeline.StepFinished, Step: "flake-check", Status: report.Passed, Seconds: 4.04},
			{Kind: pipeline.StepStarted, Host: "yoga", Step: "evaluate"},
			{Kind: pipeline.StepStarted, Host: "zephyrus", Step: "build"},
			{
				Kind: pipeline.StepProgress, Host: "zephyrus", Step: "build", Done: 10, Total: 12, Unit: "derivations",
				Building: []string{"linux-6.12.41", "firefox-140.0"},
			},
		},
		wait: 75 * time.Second,
	},
	{
		name: "a queue whose length is another than the last time",
		events: []pipeline.Event{
			{
				Kind: pipeline.StepProgress, Host: "zephyrus", Step: "build", Done: 3, Total: 812, Unit: "derivations",
				Building: []string{"linux-6.12.41", "firefox-140.0", "thunderbird-140.1", "mesa-25.1.5", "llvm-20.1.6"},
			},
		},
		wait: time.Second,
	},
	{
		name: "fetching",
		events: []pipeline.Event{
			{Kind: pipeline.StepProgress, Host: "zephyrus", Step: "build", Fetching: 3, Fetched: 1 << 20, FetchTotal: 80 << 20, Unit: "derivations"},
			{},
			{Kind: pipeline.StepProgress, Host: "zephyrus", Step: "build", Fetching: 2, Fetched: 8 << 20, FetchTotal: 80 << 20, Unit: "derivations"},
			{},
			{Kind: pipeline.StepProgress, Host: "zephyrus", Step: "build", Fetching: 2, Fetched: 16 << 20, FetchTotal: 80 << 20, Unit: "derivations"},
		},
	},
	{
		name: "a host that failed, and a push",
		events: []pipeline.Event{
			{Kind: pipeline.StepFinished, Host: "yoga", Step: "evaluate", Status: report.Failed, Seconds: 1.25, Detail: "attribute 'disk' is missing, which is a message of more than a line's length"},
			{Kind: pipeline.StepFinished, Host: "zephyrus", Step: "build", Status: report.Passed, Seconds: 80, Detail: "812 built"},
			{Kind: pipeline.StepStarted, Step: "push"},
			{Kind: pipeline.StepProgress, Step: "push", Detail: "2 of 40 paths", Done: 1 << 20, Total: 10 << 20, Unit: "bytes", Sent: -1},
			{},
			{Kind: pipeline.StepProgress, Step: "push", Detail: "12 of 40 paths", Done: 4 << 20, Total: 10 << 20, Unit: "bytes", Sent: -1},
			{},
			{Kind: pipeline.StepProgress, Step: "push", Detail: "20 of 40 paths", Done: 5 << 20, Total: 10 << 20, Unit: "bytes", Sent: -1},
		},
	},
	{
		name: "a push to a bucket",
		events: []pipeline.Event{
			{Kind: pipeline.StepStarted, Step: "push"},
			{Kind: pipeline.StepProgress, Step: "push", Detail: "0 of 9 paths", Done: 10 << 20, Total: 10 << 20, Unit: "bytes"},
			{},
			{Kind: pipeline.StepProgress, Step: "push", Detail: "1 of 9 paths", Done: 10 << 20, Total: 10 << 20, Unit: "bytes", Sent: 3 << 20},
		},
	},
	{
		name:   "a push that stands still",
		events: []pipeline.Event{{Kind: pipeline.StepStarted, Host: "nobody", Step: "build"}, {Kind: pipeline.Note, Detail: "a note"}},
		wait:   time.Minute,
	},
}

// lastNight is what the previous run knew.
var lastNight = past{
	run:    185,
	checks: map[string]float64{"flake-check": 20},
	steps: map[[2]string]report.Step{
		{"yoga", "evaluate"}:  {Seconds: 100},
		{"zephyrus", "build"}: {Seconds: 900},
	},
	built: map[string]int{"zephyrus": 40},
	drvs:  map[string]float64{"package linux": 1500, "firefox-140.0": 300},
}

// TestLive holds the display to testdata/live.txt: each moment of a night in 80
// columns, and in others.
func TestLive(t *testing.T) {
	var got strings.Builder
	for _, columns := range []int{80, 40, 200} {
		l, s, wait := newScreen(columns, 24, true, lastNight, "yoga", "zephyrus", "ovh-cloud-vps")
		for _, moment := range night {
			for _, e := range moment.events {
				if e.Kind == "" { // time goes by between two events
					wait(10 * time.Second)
					continue
				}
				l.event(e)
			}
			wait(moment.wait)
			l.region.Show(l.lines)
			fmt.Fprintf(&got, "--- %d columns: %s\n%s\n", columns, moment.name, s.Text())
		}
		if u := s.Unknown(); len(u) > 0 {
			t.Errorf("control sequences that no test knows: %q", u)
		}
		l.start()
		l.close()
		if text := s.Text(); strings.Contains(text, "waiting") || !strings.HasSuffix(text, "a note") {
			t.Errorf("the region is still there after close:\n%s", text)
		}
	}
	const file = "testdata/live.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-want +got); run with -update if that is meant:\n%s", file, diff)
	}
}

// With more hosts than lines those under way are shown, the others counted.
func TestLiveManyHosts(t *testing.T) {
	var hosts []string
	for i := range 100 {
		hosts = append(hosts, fmt.Sprintf("host-%02d", i))
	}
	l, s, _ := newScreen(80, 10, false, past{}, hosts...)
	for i, h := range hosts[:30] {
		l.event(pipeline.Event{Kind: pipeline.StepStarted, Host: h, Step: "build"})
		if i < 20 {
			l.event(pipeline.Event{Kind: pipeline.StepFinished, Host: h, Step: "build", Status: report.Passed})
		}
	}
	l.region.Show(l.lines)
	lines := strings.Split(s.Text(), "\n")
	if len(lines) > 6 || lines[0] != "testfleet  0 s  20 of 100 built  70 waiting" ||
		lines[1] != "host-20  building            0 s" || lines[len(lines)-1] != "and 6 more hosts under way" {
		t.Errorf("screen:\n%s", s.Text())
	}
}

// Lines never wrap, whatever the width: the region would grow.
func TestLiveWidth(t *testing.T) {
	for _, columns := range []int{1, 2, 5, 20, 40, 63, 64, 65, 79, 80, 200} {
		for _, color := range []bool{true, false} {
			l, _, _ := newScreen(columns, 24, color, lastNight, "yoga", strings.Repeat("long", 30))
			l.event(pipeline.Event{Kind: pipeline.StepStarted, Step: "push"})
			l.event(pipeline.Event{Kind: pipeline.StepProgress, Step: "push", Detail: "x of y paths", Done: 1, Total: 1 << 40, Unit: "bytes"})
			l.event(pipeline.Event{Kind: pipeline.StepStarted, Host: "yoga", Step: "build"})
			l.event(pipeline.Event{
				Kind: pipeline.StepProgress, Host: "yoga", Step: "build", Done: 1, Total: 2, Fetching: 3, Fetched: 1 << 40, FetchTotal: 1 << 41,
				Building: []string{strings.Repeat("x", 30), strings.Repeat("y", 30), strings.Repeat("z", 300)},
			})
			for _, line := range l.lines(columns, 24) {
				if n := terminal.Width(line); n >= max(2, columns) {
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
	l := newLive(terminal.New(&out, func() (int, int) { return 80, 24 }), "testfleet", []string{"yoga"}, report.StepBuild, past{}, true)
	l.now = func() time.Time { return now }
	l.event(pipeline.Event{Kind: pipeline.StepStarted, Host: "yoga", Step: "build"})
	l.region.Show(l.lines)
	before := out.Len()
	for range 4 {
		now = now.Add(200 * time.Millisecond)
		l.region.Show(l.lines)
	}
	if out.Len() != before {
		t.Errorf("%d bytes were written for nothing", out.Len()-before)
	}
	now = now.Add(200 * time.Millisecond)
	l.region.Show(l.lines)
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
