package flake

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
)

// Diff shows changes as one unified diff that `patch -p1` and `git apply`
// take in the flake's folder. It is empty if there are none.
func Diff(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		before, after := "a/"+c.Path, "b/"+c.Path
		if c.Before == nil {
			before = "/dev/null"
		}
		fmt.Fprintf(&b, "--- %s\n+++ %s\n", before, after)
		writeHunks(&b, edits(splitLines(c.Before), splitLines(c.After)))
	}
	return b.String()
}

// An edit is one line of a comparison: kept (' '), removed ('-') or added
// ('+'). The line has its line end, unless it is the last and had none.
type edit struct {
	op   byte
	line string
}

func splitLines(text []byte) []string {
	var lines []string
	for line := range bytes.Lines(text) {
		lines = append(lines, string(line))
	}
	return lines
}

// maxEdits bounds the search for a shortest script: its memory is quadratic
// in the number of edits. Beyond it everything that differs is replaced.
const maxEdits = 1000

// edits returns a shortest edit script from a to b, found by Myers' greedy
// algorithm ("An O(ND) Difference Algorithm and Its Variations", 1986).
func edits(a, b []string) []edit {
	var head, tail []edit
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head = append(head, edit{' ', a[0]})
		a, b = a[1:], b[1:]
	}
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	for _, line := range a[len(a)-n:] {
		tail = append(tail, edit{' ', line})
	}
	a, b = a[:len(a)-n], b[:len(b)-n]
	return append(append(head, script(a, b)...), tail...)
}

func script(a, b []string) []edit {
	// furthest[k] is how far into a the paths on diagonal k have come; trace
	// keeps it as it was before each number of edits.
	furthest := map[int]int{1: 0}
	var trace []map[int]int
	for d := 0; d <= min(len(a)+len(b), maxEdits); d++ {
		trace = append(trace, maps.Clone(furthest))
		for k := -d; k <= d; k += 2 {
			x := step(furthest, k, d)
			for x < len(a) && x-k >= 0 && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			furthest[k] = x
			if x >= len(a) && x-k >= len(b) {
				return backtrack(a, b, trace)
			}
		}
	}
	var all []edit
	for _, line := range a {
		all = append(all, edit{'-', line})
	}
	for _, line := range b {
		all = append(all, edit{'+', line})
	}
	return all
}

// step is where a path on diagonal k starts its d-th edit's run: after adding
// a line (from the diagonal above) or removing one (from the one below).
func step(furthest map[int]int, k, d int) int {
	if k == -d || k != d && furthest[k-1] < furthest[k+1] {
		return furthest[k+1]
	}
	return furthest[k-1] + 1
}

func backtrack(a, b []string, trace []map[int]int) []edit {
	var reversed []edit
	x, y := len(a), len(b)
	for d := len(trace) - 1; d >= 0; d-- {
		k := x - y
		start := step(trace[d], k, d)
		for x > start && y > 0 && x > 0 {
			x, y = x-1, y-1
			reversed = append(reversed, edit{' ', a[x]})
		}
		if d == 0 {
			break
		}
		if k == -d || k != d && trace[d][k-1] < trace[d][k+1] {
			y--
			reversed = append(reversed, edit{'+', b[y]})
		} else {
			x--
			reversed = append(reversed, edit{'-', a[x]})
		}
	}
	script := make([]edit, len(reversed))
	for i, e := range reversed {
		script[len(reversed)-1-i] = e
	}
	return script
}

// contextLines surround each change, as in every unified diff.
const contextLines = 3

func writeHunks(b *strings.Builder, all []edit) {
	oldLine, newLine := 1, 1 // of all[i]
	for i := 0; i < len(all); {
		if all[i].op == ' ' {
			oldLine, newLine, i = oldLine+1, newLine+1, i+1
			continue
		}
		start := max(0, i-contextLines)
		end, kept := i, 0
		for end < len(all) && kept <= 2*contextLines {
			if kept++; all[end].op != ' ' {
				kept = 0
			}
			end++
		}
		end -= max(0, kept-contextLines)
		oldStart, newStart := oldLine-(i-start), newLine-(i-start)
		oldCount, newCount := 0, 0
		var body strings.Builder
		for _, e := range all[start:end] {
			if e.op != '+' {
				oldCount++
			}
			if e.op != '-' {
				newCount++
			}
			fmt.Fprintf(&body, "%c%s", e.op, e.line)
			if !strings.HasSuffix(e.line, "\n") {
				body.WriteString("\n\\ No newline at end of file\n")
			}
		}
		fmt.Fprintf(b, "@@ -%s +%s @@\n%s", span(oldStart, oldCount), span(newStart, newCount), body.String())
		oldLine, newLine, i = oldStart+oldCount, newStart+newCount, end
	}
}

// span is a hunk's position in one file; an empty one is placed after the
// line before it.
func span(start, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", start-1)
	case 1:
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, count)
}
