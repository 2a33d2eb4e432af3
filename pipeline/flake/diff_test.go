package flake

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDiff(t *testing.T) {
	lines := func(from, to int) string {
		var b strings.Builder
		for i := from; i <= to; i++ {
			fmt.Fprintf(&b, "%d\n", i)
		}
		return b.String()
	}
	tests := []struct {
		name string
		c    Change
		want string
	}{
		{"new file", Change{Path: "hosts/a/home.nix", After: []byte("{\n}\n")},
			"--- /dev/null\n+++ b/hosts/a/home.nix\n@@ -0,0 +1,2 @@\n+{\n+}\n"},
		{"changed line", Change{Path: "f", Before: []byte(lines(1, 9)), After: []byte(lines(1, 4) + "five\n" + lines(6, 9))},
			"--- a/f\n+++ b/f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"},
		{"two hunks", Change{Path: "f", Before: []byte(lines(1, 20)), After: []byte("0\n" + lines(1, 18) + "20\n")},
			"--- a/f\n+++ b/f\n@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -16,5 +17,4 @@\n 16\n 17\n 18\n-19\n 20\n"},
		{"changes six lines apart share a hunk", Change{Path: "f", Before: []byte(lines(1, 8)), After: []byte(lines(2, 7))},
			"--- a/f\n+++ b/f\n@@ -1,8 +1,6 @@\n-1\n 2\n 3\n 4\n 5\n 6\n 7\n-8\n"},
		{"no line end before", Change{Path: "f", Before: []byte("a"), After: []byte("a\n")},
			"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"},
		{"emptied", Change{Path: "f", Before: []byte("a\n"), After: nil},
			"--- a/f\n+++ b/f\n@@ -1 +0,0 @@\n-a\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Diff([]Change{test.c})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if got := Diff(nil); got != "" {
		t.Errorf("Diff(nil) = %q", got)
	}
}

// Beyond maxEdits the script is not the shortest, but still right.
func TestDiffLarge(t *testing.T) {
	var before, after []string
	for i := range 3 * maxEdits {
		before = append(before, fmt.Sprintf("a%d\n", i))
		after = append(after, fmt.Sprintf("b%d\n", i))
	}
	c := Change{Path: "f", Before: []byte(strings.Join(before, "")), After: []byte(strings.Join(after, ""))}
	if got, err := patch(string(c.Before), Diff([]Change{c})); err != nil || got != string(c.After) {
		t.Errorf("%v, %d bytes", err, len(got))
	}
}

func TestDiffApplies(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) string {
		lines := rapid.SliceOfN(rapid.SampledFrom([]string{"a\n", "b\n", "c\n", "\n"}), 0, 40).Draw(t, "lines")
		return strings.Join(lines, "") + rapid.SampledFrom([]string{"", "", "a"}).Draw(t, "end")
	})
	rapid.Check(t, func(t *rapid.T) {
		c := Change{Path: "f", Before: []byte(text.Draw(t, "before")), After: []byte(text.Draw(t, "after"))}
		diff := Diff([]Change{c})
		got, err := patch(string(c.Before), diff)
		if err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
		if got != string(c.After) {
			t.Errorf("applied: %q\n%s", got, diff)
		}
		if want := shortest(splitLines(c.Before), splitLines(c.After)); changed(diff) != want {
			t.Errorf("%d lines changed, %d would do\n%s", changed(diff), want, diff)
		}
	})
}

// patch applies a unified diff of one file, and checks every number in it.
func patch(before, diff string) (string, error) {
	old := splitLines([]byte(before))
	var out strings.Builder
	at, written := 0, 0 // lines of old consumed, of the result written
	lines := strings.SplitAfter(diff, "\n")[2:]
	for len(lines) > 0 && lines[0] != "" {
		var spans [2][2]int // start and count, of old and new
		fields := strings.Fields(lines[0])
		if len(fields) != 4 {
			return "", fmt.Errorf("hunk header %q", lines[0])
		}
		for i, f := range fields[1:3] {
			start, count, found := strings.Cut(f[1:], ",")
			spans[i][0], _ = strconv.Atoi(start)
			spans[i][1] = 1
			if found {
				spans[i][1], _ = strconv.Atoi(count)
			}
			if spans[i][1] > 0 {
				spans[i][0]--
			}
		}
		for at < spans[0][0] {
			out.WriteString(old[at])
			at, written = at+1, written+1
		}
		if written != spans[1][0] {
			return "", fmt.Errorf("hunk %q is at line %d of the result", lines[0], written)
		}
		lines = lines[1:]
		atEnd, writtenEnd := at+spans[0][1], written+spans[1][1]
		for at < atEnd || written < writtenEnd {
			line := lines[0][1:]
			op := lines[0][0]
			lines = lines[1:]
			if len(lines) > 0 && strings.HasPrefix(lines[0], "\\") {
				line = strings.TrimSuffix(line, "\n")
				lines = lines[1:]
			}
			if op != '+' {
				if at >= len(old) || old[at] != line {
					return "", fmt.Errorf("line %d is not %q", at, line)
				}
				at++
			}
			if op != '-' {
				out.WriteString(line)
				written++
			}
		}
	}
	for ; at < len(old); at++ {
		out.WriteString(old[at])
	}
	return out.String(), nil
}

func changed(diff string) int {
	n := 0
	for _, line := range strings.Split(diff, "\n") {
		if strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") {
			n++
		}
	}
	return max(0, n-2)
}

// shortest is the length of a shortest edit script, by the longest common
// subsequence in its textbook form.
func shortest(a, b []string) int {
	row := make([]int, len(b)+1)
	for i := range a {
		diagonal := 0
		for j := range b {
			above := row[j+1]
			if a[i] == b[j] {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return len(a) + len(b) - 2*row[len(b)]
}
