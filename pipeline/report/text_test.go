package report

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"  a \t b\r\nc ":                 "a b c",
		"\x1b[1;31mred\x1b[0m":           "red",
		"\x1b]0;title\atext":             "text",
		"\x1b]8;;http://x\x1b\\link":     "link",
		"\x1b(Btext":                     "text",
		"\x1bPdevice\x1b\\text":          "text",
		"\u009b31mred":                   "red",
		"a\x1b":                          "a",
		"a\x1b[":                         "a",
		"a\x1b]never ends":               "anever ends",
		"\x1b\x1b[31mx":                  "x",
		"bell\a back\b nul\x00":          "bell back nul",
		"\xff":                           "\uFFFD",
		"\u202eabc\u2066\u200b\u2028def": "abc def",
		"naïve ‘quotes’ 日本":              "naïve ‘quotes’ 日本",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		once := clean(text().Draw(t, "s"))
		if again := clean(once); again != once {
			t.Errorf("not stable: %q, then %q", once, again)
		}
		checkText(t, once)
	})
}

func TestCleanLog(t *testing.T) {
	got := cleanLog([]string{"  indented\r\n", "10%\r20%\rdone", "two\nlines", "\ttab", "", strings.Repeat("x", 3*maxLineRunes)})
	want := []string{"  indented", "done", "two", "lines", "    tab", "", strings.Repeat("x", maxLineRunes-3) + "..."}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	many := cleanLog([]string{strings.Repeat("line\n", 3*maxLogLines) + "last"})
	if len(many) != maxLogLines || many[maxLogLines-1] != "last" {
		t.Errorf("%d lines, the last is %q", len(many), many[len(many)-1])
	}
	if cleanLog(nil) != nil {
		t.Error("a log out of nothing")
	}
}

func TestCode(t *testing.T) {
	for in, want := range map[string]string{
		"":      "",
		"a":     "`a`",
		"a`b":   "``a`b``",
		"`":     "`` ` ``",
		"``a":   "``` ``a ```",
		"a|b":   "`a|b`",
		"<b>":   "`<b>`",
		"\n":    "",
		"a\n#b": "`a #b`",
	} {
		if got := code(in, 80); got != want {
			t.Errorf("code(%q) = %q, want %q", in, got, want)
		}
	}
	if got, want := codeCell("a|b<c>", 80), "<code>a&#124;b&#60;c&#62;</code>"; got != want {
		t.Errorf("codeCell: %q, want %q", got, want)
	}
	if got, want := codeHTML("<`|", 80), "<code>&lt;`|</code>"; got != want {
		t.Errorf("codeHTML: %q, want %q", got, want)
	}
}

func TestWrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := clean(text().Draw(t, "s"))
		for _, line := range wrap(s, 20, "  ", 4) {
			if n := utf8.RuneCountInString(line); n > 20 {
				t.Errorf("%q has %d columns", line, n)
			}
		}
	})
	got := wrap("one two three four five six", 9, "  ", 3)
	if diff := cmp.Diff([]string{"one two", "  three", "  four..."}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		bytes        int64
		size, change string
	}{
		{0, "0 MiB", "0 MiB"},
		{1, "<0.1 MiB", "+0.0 MiB"},
		{mebibyte / 20, "<0.1 MiB", "+0.0 MiB"},
		{mebibyte/20 + 1, "0.1 MiB", "+0.1 MiB"},
		{mebibyte, "1.0 MiB", "+1.0 MiB"},
		{mebibyte*10 - 1, "10.0 MiB", "+10.0 MiB"},
		{1536 * mebibyte, "1536.0 MiB", "+1536.0 MiB"},
		{-mebibyte * 3 / 2, "0 MiB", "-1.5 MiB"},
		{math.MaxInt64, "8796093022208.0 MiB", "+8796093022208.0 MiB"},
		{math.MinInt64, "0 MiB", "-8796093022208.0 MiB"},
	} {
		if got := mib(tt.bytes); got != tt.size {
			t.Errorf("mib(%d) = %q, want %q", tt.bytes, got, tt.size)
		}
		if got := growth(tt.bytes); got != tt.change {
			t.Errorf("growth(%d) = %q, want %q", tt.bytes, got, tt.change)
		}
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[float64]string{
		0:            "0 ms",
		0.0804:       "80 ms",
		0.9994:       "999 ms",
		0.9996:       "1.0 s",
		1.25:         "1.3 s",
		59.94:        "59.9 s",
		59.96:        "1 min 00 s",
		61.4:         "1 min 01 s",
		3599.4:       "59 min 59 s",
		3599.6:       "1 h 00 min",
		7384:         "2 h 03 min",
		100 * 3600:   "100 h 00 min",
		-1:           "?",
		math.Inf(1):  "over a century",
		math.Inf(-1): "?",
		1e300:        "over a century",
	} {
		if got := duration(in); got != want {
			t.Errorf("duration(%v) = %q, want %q", in, got, want)
		}
	}
	if got := duration(math.NaN()); got != "?" {
		t.Errorf("duration(NaN) = %q", got)
	}
}

// TestManyFailures bounds a note for a fleet in which everything is broken.
func TestManyFailures(t *testing.T) {
	r := &Report{Schema: Schema, Status: Failed}
	log := make([]string, maxLogLines)
	for i := range log {
		log[i] = strings.Repeat("`x|", 150)
	}
	for i := range 600 {
		name := fmt.Sprintf("%s%03d", strings.Repeat("h", 70), i)
		r.Hosts = append(r.Hosts, Host{Name: name, Status: Failed, Failure: &Failure{Step: StepBuild, Message: name + strings.Repeat("|", 1000), LogTail: log[i%2:]}})
		r.Checks = append(r.Checks, Check{Name: "security", Host: name, Status: Failed, Log: log[:10]})
	}
	var out, notes strings.Builder
	if err := errors.Join(Markdown(&out, r), Table(&notes, r)); err != nil {
		t.Fatal(err)
	}
	md, table := out.String(), notes.String()
	if len(md) > 1_000_000 {
		t.Errorf("%d bytes are more than GitLab takes", len(md))
	}
	checkMarkdown(t, md)
	for _, want := range []string{"100 hosts more", "100 checks more", "sections left out for length", "Its log is in `report.json`"} {
		if !strings.Contains(md, want) {
			t.Errorf("no %q in the Markdown", want)
		}
	}
	if !strings.Contains(table, "and 1180 notes more") {
		t.Errorf("the table ends in %q", table[len(table)-200:])
	}
}
