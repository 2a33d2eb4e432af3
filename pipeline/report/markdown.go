package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bounds that keep report.md readable, and within the million characters
// that GitLab takes for a note.
const (
	maxMarkdown     = 900_000 // bytes
	maxHostRows     = 500
	maxPackageRows  = 20  // of one host's changes
	maxLogs         = 10  // logs in all
	maxMarkdownLog  = 60  // lines of one log
	maxMarkdownLine = 400 // runes of a line of one
	maxStepColumns  = 5
	maxNameRunes    = 80
	maxMessageRunes = 1000
)

// document collects Markdown in blocks that stand by themselves. A block that
// no longer fits is left out whole, and counted.
type document struct {
	strings.Builder
	left int
}

func (d *document) block(s string) {
	if d.Len()+len(s) > maxMarkdown {
		d.left++
		return
	}
	d.WriteString(s)
}

// Markdown renders r as report.md: the verdict first, then hosts, checks,
// failures, changes and the push, in a form that GitLab shows as a merge
// request note. Text from outside can neither break out of its place nor
// mention anyone, and the result stays under 900,000 bytes.
func Markdown(w io.Writer, r *Report) error {
	var d document
	d.block(verdict(r))
	d.block(hostTable(r))
	d.block(regressionList(r))
	d.block(checkTable(r))
	d.failures(r)
	d.changes(r)
	d.block(pushSection(r.Push))
	if d.left > 0 {
		fmt.Fprintf(&d, "\n%s left out for length, see `%s`.\n", count(d.left, "section"), JSONFile)
	}
	if _, err := io.WriteString(w, d.String()); err != nil {
		return fmt.Errorf("write markdown: %w", err)
	}
	return nil
}

func verdict(r *Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s: %s\n\n", orElse(code(r.Run.Fleet, maxNameRunes), "Fleet"), r.Outcome())
	if r.Run.Inputs == "offline" {
		b.WriteString("> **OFFLINE INPUTS: these systems are made from stand-ins. They are no NixOS. Do not deploy them.**\n")
		if note := code(r.Run.InputsNote, maxMessageRunes); note != "" {
			fmt.Fprintf(&b, "> Why: %s\n", note)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%s in %s", count(len(r.Hosts), "host"), duration(r.Run.Seconds))
	if n := r.hostsByStatus().String(); n != "" {
		b.WriteString(": " + n)
	}
	b.WriteString(".")
	if r.Push != nil {
		fmt.Fprintf(&b, " %s.", capital(r.Push.summary()))
	}
	b.WriteString("\n")
	if e := code(r.Run.Error, maxMessageRunes); e != "" {
		fmt.Fprintf(&b, "\n**The run stopped:** %s\n", e)
	}
	facts := []string{"Started " + r.Run.Started.UTC().Format("2006-01-02 15:04:05 UTC")}
	for _, f := range []struct{ name, value string }{
		{"commit", r.Run.Commit}, {"release", r.Run.Release}, {"inputs", r.Run.Inputs},
		{"Nix", r.Run.NixVersion}, {"cache", r.Run.Cache},
	} {
		if v := code(f.value, maxMessageRunes); v != "" {
			facts = append(facts, f.name+" "+v)
		}
	}
	fmt.Fprintf(&b, "\n%s.\n", strings.Join(facts, ", "))
	return b.String()
}

// row renders a table row; the cells must be safe already.
func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// word renders the name of a step or the like: as it is where it cannot be
// markup, as code otherwise.
func word(s string) string {
	if s != "" && len(s) <= maxNameRunes && isLetter(s[0]) && consistsOf(s, nameChars) && !strings.ContainsAny(s, "_.+=?") {
		return s
	}
	return orElse(codeCell(s, maxNameRunes), "?")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func hostTable(r *Report) string {
	if len(r.Hosts) == 0 {
		return ""
	}
	steps := stepNames(r)
	head, rule := []string{"Host", "Result"}, []string{":---", ":---"}
	for _, s := range steps {
		head, rule = append(head, word(s)), append(rule, "---:")
	}
	head = append(head, "Time", "Closure", "Paths", "Sent")
	rule = append(rule, "---:", "---:", "---:", "---:")
	var b strings.Builder
	b.WriteString("\n" + row(head...) + row(rule...))
	for i := range r.Hosts[:min(len(r.Hosts), maxHostRows)] {
		b.WriteString(hostRow(&r.Hosts[i], steps))
	}
	total := []string{"**Total**", r.hostsByStatus().String()}
	for range steps {
		total = append(total, "")
	}
	closure, paths, sent := "", "", ""
	if n, bytes, known := r.union(); known {
		closure, paths = mib(bytes), fmt.Sprint(n)
	}
	if r.Push != nil {
		sent = mib(r.Push.Sent.FileBytes)
	}
	b.WriteString(row(append(total, duration(r.Run.Seconds), closure, paths, sent)...))
	if more := len(r.Hosts) - maxHostRows; more > 0 {
		fmt.Fprintf(&b, "\n%s more, see `%s`.\n", count(more, "host"), JSONFile)
	}
	if len(r.Hosts) > 1 && paths != "" {
		b.WriteString("\nThe total counts paths that hosts share once; time is that of the whole run.\n")
	}
	return b.String()
}

func hostRow(h *Host, steps []string) string {
	result := h.result(word)
	if h.Status != Passed {
		result = "**" + result + "**"
	}
	cells := []string{codeCell(h.Name, maxNameRunes), result}
	for _, name := range steps {
		cell := "-"
		for _, s := range h.Steps {
			if s.Name == name && s.Status != Skipped {
				cell = duration(s.Seconds)
			}
		}
		cells = append(cells, cell)
	}
	closure, paths, sent := "-", "-", "-"
	if h.Closure != nil {
		closure, paths = mib(h.Closure.NARBytes), fmt.Sprint(h.Closure.Paths)
		sent = mib(h.Sent.FileBytes)
	}
	return row(append(cells, h.time(), closure, paths, sent)...)
}

// stepNames lists the steps that hosts took, in the order of their reports.
func stepNames(r *Report) []string {
	var names []string
	for _, h := range r.Hosts {
		for _, s := range h.Steps {
			if len(names) < maxStepColumns && !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// checkTable has a row for each check that passed, over all its hosts, and
// one for each outcome that is anything else.
func checkTable(r *Report) string {
	if len(r.Checks) == 0 {
		return ""
	}
	type group struct {
		name   string
		status Status
		host   string // where not passed
	}
	rows := map[group][]Check{}
	var order []group
	for _, c := range r.Checks {
		g := group{name: c.Name, status: c.Status}
		if c.Status != Passed {
			g.host = c.Host
		}
		if rows[g] == nil {
			order = append(order, g)
		}
		rows[g] = append(rows[g], c)
	}
	var b strings.Builder
	b.WriteString("\n### Checks\n\n" + row("Check", "Of", "Result", "Time", "Found") + row(":---", ":---", ":---", "---:", ":---"))
	for _, g := range order[:min(len(order), maxHostRows)] {
		checks := rows[g]
		of, result, found := "fleet", string(g.status), codeCell(checks[0].Detail, maxMessageRunes)
		if len(checks) > 1 {
			of = count(len(checks), "host")
		} else if checks[0].Host != "" {
			of = codeCell(checks[0].Host, maxNameRunes)
		}
		if g.status != Passed {
			result = "**" + result + "**"
		}
		var seconds float64
		for _, c := range checks {
			seconds += c.Seconds
			if c.Detail != checks[0].Detail {
				found = ""
			}
		}
		b.WriteString(row(word(g.name), of, result, duration(seconds), found))
	}
	if more := len(order) - maxHostRows; more > 0 {
		fmt.Fprintf(&b, "\n%s more, see `%s`.\n", count(more, "check"), JSONFile)
	}
	return b.String()
}
