package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	tableWidth = 80 // columns
	maxNotes   = 20 // paragraphs below the table
)

// Table renders r for a terminal of 80 columns: a row for each host, the
// totals, then what failed, what was pushed, and what the inputs were.
func Table(w io.Writer, r *Report) error {
	rows := [][]string{{"HOST", "RESULT", "TIME", "CLOSURE", "SENT"}}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		closure, sent := "-", "-"
		if h.Closure != nil {
			closure, sent = mib(h.Closure.NARBytes), mib(h.Sent.FileBytes)
		}
		rows = append(rows, []string{h.Name, h.result(clean), h.time(), closure, sent})
	}
	closure, sent := "-", "-"
	if _, bytes, known := r.union(); known {
		closure = mib(bytes)
	}
	if r.Push != nil {
		sent = mib(r.Push.Sent.FileBytes)
	}
	passed := fmt.Sprintf("%d of %d passed", r.hostsByStatus()[Passed], len(r.Hosts))
	rows = append(rows, []string{count(len(r.Hosts), "host"), passed, duration(r.Run.Seconds), closure, sent})

	var b strings.Builder
	writeColumns(&b, rows)
	notes := tableNotes(r)
	for _, note := range notes[:min(len(notes), maxNotes)] {
		for _, line := range wrap(note, tableWidth, "  ", 4) {
			b.WriteString(line + "\n")
		}
	}
	if more := len(notes) - maxNotes; more > 0 {
		fmt.Fprintf(&b, "and %s more, see the report\n", count(more, "note"))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// writeColumns lines the cells up: the first two columns to the left and cut
// to what the others leave them, a rule above the last row.
func writeColumns(b *strings.Builder, rows [][]string) {
	const gap, minHost, maxResult = 2, 12, 26
	widths := make([]int, len(rows[0]))
	for _, cells := range rows {
		for i, c := range cells {
			if i == 0 {
				c = ascii(c)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	widths[1] = min(widths[1], maxResult)
	rest := 0
	for _, n := range widths[1:] {
		rest += gap + n
	}
	widths[0] = min(widths[0], max(minHost, tableWidth-rest))
	for i, cells := range rows {
		if i == len(rows)-1 {
			b.WriteString(strings.Repeat("-", widths[0]+rest) + "\n")
		}
		fmt.Fprintf(b, "%-*s  %-*s", widths[0], cut(ascii(cells[0]), widths[0]), widths[1], cut(cells[1], widths[1]))
		for j, c := range cells[2:] {
			fmt.Fprintf(b, "  %*s", widths[j+2], c)
		}
		b.WriteString("\n")
	}
}

// ascii keeps a name to one column a character.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, clean(s))
}

// tableNotes are the paragraphs below the table; the failures of hosts and
// checks, which can be many, come last.
func tableNotes(r *Report) []string {
	var notes []string
	if r.Run.Inputs == "offline" {
		note := "OFFLINE INPUTS: these systems are made from stand-ins and are no NixOS."
		if why := clean(r.Run.InputsNote); why != "" {
			note += " " + why
		}
		notes = append(notes, note)
	}
	if e := clean(r.Run.Error); e != "" {
		notes = append(notes, "the run stopped: "+e)
	}
	failures := r.failures()
	if p := r.Push; p != nil {
		notes = append(notes, p.summary())
		said := p.Error == r.Run.Error || slices.ContainsFunc(failures, func(f *failure) bool {
			return f.first.Failure.Message == p.Error
		})
		if e := clean(p.Error); e != "" && !said {
			notes = append(notes, "push: "+e)
		}
	}
	for _, g := range r.Regressions {
		notes = append(notes, "regression: "+g.String())
	}
	for _, f := range failures {
		notes = append(notes, fmt.Sprintf("%s: %s: %s", f.names(ascii), f.first.result(clean), clean(f.first.Failure.Message)))
	}
	for _, c := range r.Checks {
		if c.Status != Failed {
			continue
		}
		of := ""
		if c.Host != "" {
			of = " of " + ascii(c.Host)
		}
		notes = append(notes, fmt.Sprintf("check %s%s failed: %s", clean(c.Name), of, orElse(clean(c.Detail), "see the report")))
	}
	return notes
}
