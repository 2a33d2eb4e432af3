package report

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestCompareVersions(t *testing.T) {
	// The examples of the Nix manual, "nix-env --upgrade", and more.
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"1.0", "2.3", -1},
		{"2.1", "2.3", -1},
		{"2.3", "2.3", 0},
		{"2.5", "2.3", 1},
		{"3.1", "2.3", 1},
		{"2.3.1", "2.3", 1},
		{"2.3.1", "2.3a", 1},
		{"2.3pre1", "2.3", -1},
		{"2.3pre3", "2.3pre12", -1},
		{"2.3a", "2.3c", -1},
		{"2.3pre1", "2.3c", -1},
		{"2.3pre1", "2.3q", -1},
		{"", "", 0},
		{"", "1", -1},
		{"1.10", "1.9", 1},
		{"1.02", "1.2", 0},
		{"1-2", "1.2", 0},
		{"20250601123456", "20250601123457", -1},
		{"9", "20250601123456", -1},
		{"2.40-66", "2.40-218", -1},
	} {
		if got := sign(compareVersions(tt.a, tt.b)); got != tt.want {
			t.Errorf("compareVersions(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := sign(compareVersions(tt.b, tt.a)); got != -tt.want {
			t.Errorf("compareVersions(%q, %q) = %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
}

// TestCompareVersionsAsNix checks against what builtins.compareVersions of
// Nix 2.26.3 said: lines of two versions and -1, 0 or 1.
func TestCompareVersionsAsNix(t *testing.T) {
	data, err := os.ReadFile("testdata/compare-versions.tsv")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); n++ {
		f := strings.Split(s.Text(), "\t")
		want, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatal(err)
		}
		if got := sign(compareVersions(f[0], f[1])); got != want {
			t.Errorf("compareVersions(%q, %q) = %d, Nix says %d", f[0], f[1], got, want)
		}
	}
	if n < 400 {
		t.Errorf("only %d comparisons", n)
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	default:
		return 0
	}
}

func TestSplitPath(t *testing.T) {
	for _, tt := range []struct{ base, name, version string }{
		{"foo-1.2", "foo", "1.2"},
		{"foo-1.2-man", "foo", "1.2"},
		{"foo-1.2-dev", "foo", "1.2"},
		{"foo-1.2-lib32", "foo", "1.2"},
		{"foo-1.2-unstable-2025-01-01", "foo", "1.2-unstable-2025-01-01"},
		{"foo-unstable-2025-01-01", "foo-unstable", "2025-01-01"},
		{"glibc-2.40-66-bin", "glibc", "2.40-66"},
		{"linux-6.12.30-modules", "linux", "6.12.30"},
		{"bash-interactive-5.2p37", "bash-interactive", "5.2p37"},
		{"python3.12-requests-2.32.3", "python3.12-requests", "2.32.3"},
		{"nixos-system-yoga-25.05.20250601.3f1c9d2", "nixos-system-yoga", "25.05.20250601.3f1c9d2"},
		{"hello", "hello", ""},
		{"hello-man", "hello-man", ""},
		{"etc", "etc", ""},
		{"unit-foo.service", "unit-foo.service", ""},
		{"unit-dbus-1.service", "unit-dbus-1.service", ""},
		{"unit-systemd-fsck-.service", "unit-systemd-fsck-.service", ""},
		{"etc-sysctl.d-60-nixos.conf", "etc-sysctl.d-60-nixos.conf", ""},
		{"70-foo.rules", "70-foo.rules", ""},
		{"foo--1", "foo", "-1"},
		{"foo-", "foo-", ""},
		{"foo-_1", "foo", "_1"},
		{"foo-1-", "foo", "1-"},
		{"-1", "", "1"},
	} {
		name, version := splitPath("/nix/store/" + strings.Repeat("0", 32) + "-" + tt.base)
		if name != tt.name || version != tt.version {
			t.Errorf("splitPath(%q) = %q, %q, want %q, %q", tt.base, name, version, tt.name, tt.version)
		}
	}
	for _, odd := range []string{"", "/", "x", "/nix/store/short-1.2", strings.Repeat("-", 40)} {
		splitPath(odd) // must not panic
	}
}

// closureReport is a report of one host with these packages.
func closureReport(host string, packages ...pkg) *Report {
	b := NewBuilder(Run{Inputs: "real"}, Host{Name: host})
	var paths []Path
	for _, p := range packages {
		paths = append(paths, Path{Path: p.path(), NARBytes: p.bytes})
	}
	if err := b.Closure(host, paths); err != nil {
		panic(err)
	}
	b.SetToplevel(host, packages[0].path())
	r := b.Snapshot()
	return &r
}

func TestCompare(t *testing.T) {
	top := pkg{"nixos-system-h-25.05", "1", 10}
	for _, tt := range []struct {
		name      string
		prev, cur *Report
		want      *Changes
	}{
		{
			name: "same",
			prev: closureReport("h", top, pkg{"a-1", "1", 5}),
			cur:  closureReport("h", top, pkg{"a-1", "1", 5}),
			want: &Changes{SameToplevel: true},
		},
		{
			name: "every kind",
			prev: closureReport("h", top, pkg{"up-1.9", "1", 100}, pkg{"gone-1", "1", 50}, pkg{"etc", "1", 1}, pkg{"two-1", "1", 7}, pkg{"two-2", "1", 7}),
			cur: closureReport("h", pkg{"nixos-system-h-25.05", "2", 10}, pkg{"up-1.10", "1", 130}, pkg{"up-1.10-man", "1", 1},
				pkg{"new-3", "1", 9}, pkg{"etc", "2", 2}, pkg{"two-2", "1", 7}, pkg{"two-3", "1", 8}),
			want: &Changes{
				PathsAdded: 6, PathsRemoved: 5, NARBytes: -8,
				Packages: []PackageChange{
					{Name: "etc", Kind: Rebuilt, Before: []string{""}, After: []string{""}, NARBytes: 1},
					{Name: "gone", Kind: Removed, Before: []string{"1"}, NARBytes: -50},
					{Name: "new", Kind: Added, After: []string{"3"}, NARBytes: 9},
					{Name: "nixos-system-h", Kind: Rebuilt, Before: []string{"25.05"}, After: []string{"25.05"}},
					{Name: "two", Kind: Changed, Before: []string{"1", "2"}, After: []string{"2", "3"}, NARBytes: 1},
					{Name: "up", Kind: Changed, Before: []string{"1.9"}, After: []string{"1.10"}, NARBytes: 31},
				},
			},
		},
		{
			name: "version appears",
			prev: closureReport("h", pkg{"tool", "1", 1}),
			cur:  closureReport("h", pkg{"tool-1.0", "1", 1}),
			want: &Changes{PathsAdded: 1, PathsRemoved: 1, Packages: []PackageChange{
				{Name: "tool", Kind: Changed, Before: []string{""}, After: []string{"1.0"}},
			}},
		},
		{
			name: "host not in the previous report",
			prev: closureReport("other", top),
			cur:  closureReport("h", top),
		},
		{
			name: "host was not built before",
			prev: func() *Report { r := NewBuilder(Run{Inputs: "real"}, Host{Name: "h"}).Snapshot(); return &r }(),
			cur:  closureReport("h", top),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mustCompare(t, tt.prev, tt.cur)
			if diff := cmp.Diff(tt.want, tt.cur.Hosts[0].Changes); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if tt.cur.Previous == nil || !tt.cur.Previous.Started.Equal(tt.prev.Run.Started) {
				t.Errorf("Previous = %+v", tt.cur.Previous)
			}
		})
	}
}

func TestCompareRefuses(t *testing.T) {
	top := pkg{"top-1", "1", 10}
	for name, edit := range map[string]func(*Report){
		"schema": func(r *Report) { r.Schema = "pantheros.report/2" },
		"inputs": func(r *Report) { r.Run.Inputs = "offline" },
	} {
		prev, cur := closureReport("h", top), closureReport("h", top)
		edit(prev)
		err := Compare(prev, cur)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
		if cur.Previous != nil || cur.Hosts[0].Changes != nil {
			t.Errorf("%s: the report was touched", name)
		}
	}
	cur := closureReport("h", top)
	if err := Compare(nil, cur); err != nil || cur.Previous != nil {
		t.Errorf("no previous report: %v, %+v", err, cur.Previous)
	}
}

func TestDirection(t *testing.T) {
	for _, tt := range []struct {
		before, after string
		want          int
	}{
		{"1.0", "1.1", 1},
		{"1.10", "1.9", -1},
		{"1.0pre1", "1.0", 1},
		{"1.0 2.0", "1.0 3.0", 1},
		{"1.0 2.0", "2.0 0.9", -1},
		{"1.0", "1.0 2.0", 0},
		{"1.0 2.0", "2.0", 0},
		{"1.0", "1-0", 0},
		{"1.0", "1.0", 0},
	} {
		p := PackageChange{Kind: Changed, Before: strings.Fields(tt.before), After: strings.Fields(tt.after)}
		if got := p.Direction(); got != tt.want {
			t.Errorf("%s -> %s: %d, want %d", tt.before, tt.after, got, tt.want)
		}
	}
}

// TestCompareWork bounds the work on a large fleet: names are taken apart once
// a path, not once a host, and closures are walked twice.
func TestCompareWork(t *testing.T) {
	const hosts, paths = 200, 20_000
	prev, cur := bigReport(hosts, paths, "a"), bigReport(hosts, paths, "bb")
	c, err := DefaultLimits.compare(prev, cur)
	if err != nil {
		t.Fatal(err)
	}
	members := 0
	for _, r := range []*Report{prev, cur} {
		for _, h := range r.Hosts {
			members += len(h.Closure.Members)
		}
	}
	if c.parsed != 2*paths {
		t.Errorf("%d names parsed, want %d", c.parsed, 2*paths)
	}
	if c.visited != members {
		t.Errorf("%d members visited, want %d", c.visited, members)
	}
	for _, h := range cur.Hosts {
		if h.Changes == nil || h.Changes.PathsAdded == 0 || len(h.Changes.Packages) == 0 {
			t.Fatalf("host %s: changes %+v", h.Name, h.Changes)
		}
	}
	var md bytes.Buffer
	if err := Markdown(&md, cur); err != nil {
		t.Fatal(err)
	}
	if md.Len() > maxMarkdown {
		t.Errorf("%d bytes of Markdown, more than %d", md.Len(), maxMarkdown)
	}
	checkMarkdown(t, md.String())
}

// TestMarkdownLarge holds the note of a large fleet, in which much changed, much
// got worse and hosts failed, to what GitLab takes: a million characters. What
// is left out is said.
func TestMarkdownLarge(t *testing.T) {
	const hosts, paths = 200, 20_000
	prev, cur := bigReport(hosts, paths, "a"), bigReport(hosts, paths, "bb")
	cur.Status = Failed
	for i := range cur.Hosts {
		h := &cur.Hosts[i]
		h.Name, prev.Hosts[i].Name = strings.Repeat("h", 55)+h.Name, strings.Repeat("h", 55)+h.Name
		prev.Hosts[i].Steps = nil
		h.Steps = nil
		for _, step := range []string{StepEvaluate, StepBuild, StepPush} {
			prev.Hosts[i].Steps = append(prev.Hosts[i].Steps, Step{Name: step, Status: Passed, Seconds: 10})
			h.Steps = append(h.Steps, Step{Name: step, Status: Passed, Seconds: 100})
		}
		if i%10 == 0 {
			h.Status = Failed
			h.Failure = &Failure{Step: StepBuild, Message: fmt.Sprintf("host %d %s", i, strings.Repeat("x", 900)), LogTail: slices.Repeat([]string{strings.Repeat("<b>", 300)}, 200)}
		}
	}
	if err := Compare(prev, cur); err != nil {
		t.Fatal(err)
	}
	if len(cur.Regressions) < 3*hosts {
		t.Fatalf("only %d regressions", len(cur.Regressions))
	}
	var md bytes.Buffer
	if err := Markdown(&md, cur); err != nil {
		t.Fatal(err)
	}
	text := md.String()
	t.Logf("%d characters", utf8.RuneCountInString(text))
	if utf8.RuneCountInString(text) > 1_000_000 || md.Len() > 1_000_000 {
		t.Errorf("%d bytes are more than GitLab takes", md.Len())
	}
	checkMarkdown(t, text)
	for _, want := range []string{
		fmt.Sprintf("And %d regressions more, see `report.json`", len(cur.Regressions)-500),
		"smaller in size", "Its log is in `report.json`",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the Markdown", want)
		}
	}
	for _, kept := range []string{"| **Total** |", cur.Hosts[hosts-1].Name} {
		if !strings.Contains(text, kept) {
			t.Errorf("%q is missing", kept)
		}
	}
}

func BenchmarkCompareMarkdown(b *testing.B) {
	prev, cur := bigReport(200, 20_000, "a"), bigReport(200, 20_000, "bb")
	b.ReportAllocs()
	for b.Loop() {
		if err := Compare(prev, cur); err != nil {
			b.Fatal(err)
		}
		var md bytes.Buffer
		if err := Markdown(&md, cur); err != nil {
			b.Fatal(err)
		}
	}
}
