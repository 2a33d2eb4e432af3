package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// failures has a block for every failure of a host or check.
func (d *document) failures(r *Report) {
	heading := "\n### Failures\n"
	logs := 0
	for _, g := range r.failures() {
		f := g.first.Failure
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n#### %s: %s\n\n", heading, g.names(func(s string) string { return code(s, maxNameRunes) }), g.first.result(word))
		fmt.Fprintf(&b, "Message: %s\n", orElse(code(f.Message, maxMessageRunes), "none"))
		if f.DrvPath != "" {
			fmt.Fprintf(&b, "\nDerivation: %s\n", code(f.DrvPath, maxMessageRunes))
		}
		if f.Command != "" {
			fmt.Fprintf(&b, "\nTo reproduce:\n\n%s", fenced([]string{clean(f.Command)}))
		}
		b.WriteString(logBlock(f.LogTail, &logs))
		d.block(b.String())
		heading = ""
	}
	for _, c := range r.Checks {
		if c.Status != Failed {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n#### Check %s", heading, word(c.Name))
		if c.Host != "" {
			b.WriteString(" of " + code(c.Host, maxNameRunes))
		}
		b.WriteString("\n")
		if c.Detail != "" {
			fmt.Fprintf(&b, "\nFound: %s\n", code(c.Detail, maxMessageRunes))
		}
		b.WriteString(logBlock(c.Log, &logs))
		d.block(b.String())
		heading = ""
	}
}

// logBlock renders the end of a log, unless there were maxLogs already.
func logBlock(lines []string, logs *int) string {
	if len(lines) == 0 {
		return ""
	}
	if *logs++; *logs > maxLogs {
		return fmt.Sprintf("\nIts log is in `%s`.\n", JSONFile)
	}
	tail := cleanLog(lines[max(0, len(lines)-maxMarkdownLog):])
	tail = tail[max(0, len(tail)-maxMarkdownLog):]
	for i, l := range tail {
		tail[i] = cut(l, maxMarkdownLine)
	}
	return fmt.Sprintf("\nEnd of the log, %s:\n\n%s", count(len(tail), "line"), fenced(tail))
}

// regressionList names what got worse by more than is allowed.
func regressionList(r *Report) string {
	if len(r.Regressions) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n### Regressions\n\n")
	for _, g := range r.Regressions[:min(len(r.Regressions), maxHostRows)] {
		fmt.Fprintf(&b, "- %s\n", code(g.String(), maxMessageRunes))
	}
	if more := len(r.Regressions) - maxHostRows; more > 0 {
		fmt.Fprintf(&b, "\nAnd %s more, see `%s`.\n", count(more, "regression"), JSONFile)
	}
	return b.String()
}

// changes has a block for every host whose closure changed, and one line for
// all others.
func (d *document) changes(r *Report) {
	if r.Previous == nil {
		return
	}
	since := r.Previous.Started.UTC().Format("2006-01-02 15:04 UTC")
	if c := code(r.Previous.Commit, maxNameRunes); c != "" {
		since += ", commit " + c
	}
	d.block(fmt.Sprintf("\n### Changes since the run of %s\n", since))
	same, unknown := 0, 0
	for i := range r.Hosts {
		h := &r.Hosts[i]
		switch ch := h.Changes; {
		case ch == nil:
			unknown++
		case ch.PathsAdded == 0 && ch.PathsRemoved == 0 && len(ch.Packages) == 0:
			same++
		default:
			d.block(changeBlock(h))
		}
	}
	if same > 0 {
		d.block(fmt.Sprintf("\n%s unchanged.\n", count(same, "host")))
	}
	if unknown > 0 {
		d.block(fmt.Sprintf("\n%s with nothing to compare: not built in both runs.\n", count(unknown, "host")))
	}
}

func changeBlock(h *Host) string {
	var b strings.Builder
	ch := h.Changes
	packages := describe(ch.Packages)
	fmt.Fprintf(&b, "\n<details><summary>%s: %s; paths +%d -%d, size %s</summary>\n\n",
		codeHTML(h.Name, maxNameRunes), countKinds(packages), ch.PathsAdded, ch.PathsRemoved, growth(ch.NARBytes))
	shown, rest := heaviest(packages, maxPackageRows)
	if len(shown) > 0 {
		b.WriteString(row("Package", "Change", "Before", "After", "Size") + row(":---", ":---", ":---", ":---", "---:"))
	}
	for _, p := range shown {
		b.WriteString(row(codeCell(p.Name, maxNameRunes), p.change, versionList(p.Before), versionList(p.After), growth(p.NARBytes)))
	}
	if len(rest) > 0 {
		var bytes int64
		for _, p := range rest {
			bytes += p.NARBytes
		}
		fmt.Fprintf(&b, "\nAnd %s smaller in size: %s; %s.\n", count(len(rest), "change"), countKinds(rest), growth(bytes))
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// described is a change of a package, what it is in a word, and how much it
// matters.
type described struct {
	*PackageChange
	change string
	weight uint64
	rank   int
}

func describe(packages []PackageChange) []described {
	list := make([]described, len(packages))
	for i := range packages {
		p := &packages[i]
		d := described{PackageChange: p, change: p.Kind, weight: magnitude(p.NARBytes)}
		switch p.Kind {
		case Changed:
			d.rank = 3
			switch dir := p.Direction(); {
			case dir > 0:
				d.change = "up"
			case dir < 0:
				d.change = "down"
			}
		case Added:
			d.rank = 2
		case Removed:
			d.rank = 1
		case Rebuilt:
		default:
			d.change = word(p.Kind)
		}
		list[i] = d
	}
	return list
}

// before orders changes by how much they weigh, then versions before mere
// rebuilds, then by name.
func (d *described) before(o *described) bool {
	switch {
	case d.weight != o.weight:
		return d.weight > o.weight
	case d.rank != o.rank:
		return d.rank > o.rank
	default:
		return d.Name < o.Name
	}
}

// heaviest parts the first n of list, in their order, from the rest. It
// reorders list.
func heaviest(list []described, n int) (first, rest []described) {
	n = min(n, len(list))
	for i := range list {
		// list[:min(i, n)] is sorted; a newcomer that belongs there moves in.
		j := min(i, n)
		if j == n && (n == 0 || !list[i].before(&list[n-1])) {
			continue
		}
		if j == n {
			list[i], list[n-1] = list[n-1], list[i]
			j--
		}
		for ; j > 0 && list[j].before(&list[j-1]); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return list[:n], list[n:]
}

// countKinds is "3 up, 1 added, 12 rebuilt".
func countKinds(packages []described) string {
	n := map[string]int{}
	for _, p := range packages {
		n[p.change]++
	}
	var parts []string
	for _, kind := range []string{"up", "down", Changed, Added, Removed, Rebuilt} {
		if n[kind] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[kind], kind))
		}
		delete(n, kind)
	}
	other := 0
	for _, k := range n {
		other += k
	}
	if other > 0 {
		parts = append(parts, fmt.Sprintf("%d other", other))
	}
	return orElse(strings.Join(parts, ", "), "no packages")
}

func versionList(versions []string) string {
	const most = 4
	var parts []string
	for _, v := range versions[:min(len(versions), most)] {
		parts = append(parts, orElse(codeCell(v, maxNameRunes), "(no version)"))
	}
	if more := len(versions) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}

func pushSection(p *Push) string {
	if p == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### Push: %s\n\n%s. It took %s, of which %s to plan.\n", p.Status, capital(p.summary()), duration(p.Seconds), duration(p.PlanSeconds))
	if e := code(p.Error, maxMessageRunes); e != "" {
		fmt.Fprintf(&b, "\nError: %s\n", e)
	}
	if len(p.Skipped) > 0 {
		b.WriteString("\n" + row("Not sent because", "Paths", "Size") + row(":---", "---:", "---:"))
		reasons := slices.Sorted(maps.Keys(p.Skipped))
		for _, reason := range reasons[:min(len(reasons), maxHostRows)] {
			text := word(reason)
			if why := skipReasons[reason]; why != "" {
				text += ": " + why
			}
			b.WriteString(row(text, fmt.Sprint(p.Skipped[reason].Paths), mib(p.Skipped[reason].NARBytes)))
		}
	}
	for _, key := range p.PublicKeys[:min(len(p.PublicKeys), maxPackageRows)] {
		fmt.Fprintf(&b, "\nSigned with %s\n", orElse(code(key, maxMessageRunes), "an unnamed key"))
	}
	return b.String()
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
