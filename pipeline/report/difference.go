package report

import (
	"fmt"
	"io"
	"strings"
)

// Difference compares prev with cur as Limits.Compare does, and writes for a terminal
// what is different: the two runs, then for every host of either its outcome
// where that changed, how its closure grew, and each package whose paths
// differ. Both reports must be valid.
func Difference(w io.Writer, prev, cur *Report, l Limits) error {
	if err := l.Compare(prev, cur); err != nil {
		return err
	}
	before := make(map[string]*Host, len(prev.Hosts))
	for i := range prev.Hosts {
		before[prev.Hosts[i].Name] = &prev.Hosts[i]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "old  %s\nnew  %s\n\n", runLine(prev), runLine(cur))
	if cur.Run.Inputs == "offline" {
		b.WriteString("OFFLINE INPUTS: these systems are made from stand-ins and are no NixOS.\n\n")
	}
	for _, g := range cur.Regressions {
		fmt.Fprintf(&b, "REGRESSION: %s\n", cut(ascii(g.String()), maxMessageRunes))
	}
	if len(cur.Regressions) > 0 {
		b.WriteString("\n")
	}
	for i := range cur.Hosts {
		h := &cur.Hosts[i]
		hostDifference(&b, before[h.Name], h)
		delete(before, h.Name)
	}
	for i := range prev.Hosts {
		if h := &prev.Hosts[i]; before[h.Name] != nil {
			fmt.Fprintf(&b, "%s: only in the old report\n", cut(ascii(h.Name), maxNameRunes))
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

// runLine says which run a report is of.
func runLine(r *Report) string {
	line := r.Run.Started.UTC().Format("2006-01-02 15:04 UTC")
	if c := clean(r.Run.Commit); c != "" {
		line += ", commit " + cut(c, maxNameRunes)
	}
	return line + ", " + string(r.Status)
}

// hostDifference writes what is different of a host; prev is nil for one that
// the earlier report does not have.
func hostDifference(b *strings.Builder, prev, cur *Host) {
	fmt.Fprintf(b, "%s: ", cut(ascii(cur.Name), maxNameRunes))
	if prev == nil {
		fmt.Fprintf(b, "only in the new report, %s\n", cur.result(clean))
		return
	}
	if was, is := prev.result(clean), cur.result(clean); was != is {
		fmt.Fprintf(b, "%s, was %s; ", is, was)
	}
	ch := cur.Changes
	if ch == nil {
		b.WriteString("nothing to compare: not built in both runs\n")
		return
	}
	if ch.PathsAdded == 0 && ch.PathsRemoved == 0 && len(ch.Packages) == 0 {
		b.WriteString("closure unchanged\n")
		return
	}
	packages := describe(ch.Packages)
	fmt.Fprintf(b, "%s; paths +%d -%d, size %s\n", countKinds(packages), ch.PathsAdded, ch.PathsRemoved, growth(ch.NARBytes))
	packages, _ = heaviest(packages, len(packages))
	kind, name := 0, 0
	for _, p := range packages {
		kind, name = max(kind, len(p.change)), max(name, len(ascii(p.Name)))
	}
	name = min(name, maxNameRunes)
	for _, p := range packages {
		fmt.Fprintf(b, "  %-*s  %-*s  %s  %s\n", kind, ascii(p.change), name, cut(ascii(p.Name), name), versionStep(p.PackageChange), growth(p.NARBytes))
	}
}

// versionStep is "1.0 -> 1.1", or the versions of the side that there is.
func versionStep(p *PackageChange) string {
	list := func(versions []string) string {
		var words []string
		for _, v := range versions {
			words = append(words, orElse(cut(clean(v), maxNameRunes), "(no version)"))
		}
		return strings.Join(words, ", ")
	}
	before, after := list(p.Before), list(p.After)
	switch {
	case before == "", before == after:
		return after
	case after == "":
		return before
	}
	return before + " -> " + after
}
