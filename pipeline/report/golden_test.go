package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); run with -update if that is meant:\n%s", path, diff)
	}
}

// tester is what *testing.T, *testing.F and *rapid.T have in common.
type tester interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

func render(t tester, r *Report) (json, md, table string) {
	t.Helper()
	var j, m, x bytes.Buffer
	if err := r.Write(&j); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(&m, r); err != nil {
		t.Fatal(err)
	}
	if err := Table(&x, r); err != nil {
		t.Fatal(err)
	}
	return j.String(), m.String(), x.String()
}

func TestGolden(t *testing.T) {
	for name, run := range scenarios {
		t.Run(name, func(t *testing.T) {
			r := run(t)
			json, md, table := render(t, &r)
			golden(t, name+"/report.json", []byte(json))
			golden(t, name+"/report.md", []byte(md))
			golden(t, name+"/table.txt", []byte(table))

			back, err := Read(strings.NewReader(json))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&r, back); diff != "" {
				t.Errorf("read back (-written +read):\n%s", diff)
			}
			checkText(t, md)
			checkText(t, table)
			checkMarkdown(t, md, "<script", "@all", "javascript:", "](", "http", "evil", "img")
			for line := range strings.Lines(table) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > tableWidth {
					t.Errorf("table line of %d columns: %q", n, line)
				}
			}
			for _, secret := range []string{"hunter2", "secret", "token"} {
				if strings.Contains(json+md+table, secret) {
					t.Errorf("a credential (%s) is in the output", secret)
				}
			}
		})
	}
}

// checkText fails on anything that a terminal or a browser would act on.
func checkText(t tester, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Error("not valid UTF-8")
	}
	for _, r := range s {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Errorf("control or formatting character %U", r)
		}
	}
}

// checkMarkdown takes code blocks and code spans out as CommonMark finds
// them, and fails if what is left is markup that we did not write, or holds
// one of the words, which are those of a hostile report.
func checkMarkdown(t tester, md string, words ...string) {
	t.Helper()
	fence := ""
	columns, details := 0, 0
	for line := range strings.Lines(md) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "/") {
			t.Errorf("GitLab would take this for a quick action: %q", line)
		}
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fence != "":
			if len(ticks) >= len(fence) && strings.TrimSpace(line) == ticks {
				fence = ""
			}
			continue
		case len(ticks) >= 3 && ticks == line:
			fence = ticks
			continue
		}
		rest := withoutSpans(t, line)
		details += strings.Count(rest, "<details>") - strings.Count(rest, "</details>")
		for _, bad := range words {
			if strings.Contains(rest, bad) {
				t.Errorf("%q outside of code in %q", bad, line)
			}
		}
		if strings.Count(rest, "<") != strings.Count(rest, "<details>")+strings.Count(rest, "</details>")+
			strings.Count(rest, "<summary>")+strings.Count(rest, "</summary>")+strings.Count(rest, "<0.1 MiB") {
			t.Errorf("unexpected markup in %q", line)
		}
		// Bars end cells even within code: count them in the whole line.
		if n := strings.Count(line, "|"); !strings.HasPrefix(line, "|") {
			columns = 0
		} else if columns == 0 {
			columns = n
		} else if n != columns {
			t.Errorf("table row with %d bars, not %d: %q", n, columns, line)
		}
	}
	if fence != "" {
		t.Error("a code block is not closed")
	}
	if details != 0 {
		t.Error("details are not closed")
	}
}

func withoutSpans(t tester, line string) string {
	var out strings.Builder
	for line != "" {
		if after, ok := strings.CutPrefix(line, "<code>"); ok {
			_, rest, closed := strings.Cut(after, "</code>")
			if !closed {
				t.Errorf("open code element in %q", line)
			}
			line = rest
			continue
		}
		n := len(line) - len(strings.TrimLeft(line, "`"))
		if n == 0 {
			out.WriteByte(line[0])
			line = line[1:]
			continue
		}
		end := -1
		for i := n; i < len(line); {
			run := len(line[i:]) - len(strings.TrimLeft(line[i:], "`"))
			if run == n {
				end = i + n
				break
			}
			i += max(run, 1)
		}
		if end < 0 {
			t.Errorf("open code span in %q", line)
			return out.String()
		}
		line = line[end:]
	}
	return out.String()
}
