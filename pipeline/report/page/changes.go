package page

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

const (
	maxGroups  = 40  // groups of hosts that changed alike
	maxChanged = 120 // packages of one group
	maxRebuilt = 150
)

// changes is what is different since the previous report.
type changes struct {
	Since    report.Previous
	Groups   []changeGroup
	More     int
	Same     []string // hosts whose closure is the same
	Unknown  []string // hosts without one in both reports
	Sentence string
}

// changeGroup is a set of hosts in which the same versions changed.
type changeGroup struct {
	Hosts   []string
	Kinds   string
	Least   int64 // growth of their closures, the least and the most
	Most    int64
	Added   int
	Removed int
	Rows    []changeRow
	More    int
	Rebuilt []string
	MoreRe  int
	Open    bool
}

// changeRow is a package whose versions changed, came or went.
type changeRow struct {
	Mark, Word   string
	Name         string
	Before       string
	After        string
	Bytes        int64
	weight, rank int64
}

func newChanges(r *report.Report) *changes {
	if r.Previous == nil {
		return nil
	}
	c := &changes{Since: *r.Previous}
	type key [sha256.Size]byte
	index := map[key]int{}
	up, down := map[string]bool{}, map[string]bool{}
	grown, counted := int64(0), false
	for i := range r.Hosts {
		h := &r.Hosts[i]
		ch := h.Changes
		if ch == nil {
			c.Unknown = append(c.Unknown, h.Name)
			continue
		}
		counted = true
		grown += ch.NARBytes
		if ch.PathsAdded == 0 && ch.PathsRemoved == 0 && len(ch.Packages) == 0 {
			c.Same = append(c.Same, h.Name)
			continue
		}
		var versions []report.PackageChange
		for _, p := range ch.Packages {
			if p.Kind == report.Rebuilt {
				continue
			}
			versions = append(versions, report.PackageChange{Name: p.Name, Kind: p.Kind, Before: p.Before, After: p.After})
			switch d := p.Direction(); {
			case p.Kind != report.Changed:
			case d > 0:
				up[p.Name] = true
			case d < 0:
				down[p.Name] = true
			}
		}
		text, _ := json.Marshal(versions) // strings and lists of them
		k := key(sha256.Sum256(text))
		if at, ok := index[k]; ok {
			g := &c.Groups[at]
			g.Hosts = append(g.Hosts, h.Name)
			g.Least, g.Most = min(g.Least, ch.NARBytes), max(g.Most, ch.NARBytes)
			continue
		}
		index[k] = len(c.Groups)
		c.Groups = append(c.Groups, newChangeGroup(h))
	}
	if len(c.Groups) > 0 {
		c.Groups[0].Open = len(c.Groups) == 1 || len(c.Groups[0].Rows) <= 12
	}
	if len(c.Groups) > maxGroups {
		c.More = len(c.Groups) - maxGroups
		c.Groups = c.Groups[:maxGroups]
	}
	switch {
	case !counted:
		c.Sentence = "There is nothing to compare with in the previous run."
	case len(c.Groups) == 0:
		c.Sentence = "Nothing changed since the previous run."
	default:
		c.Sentence = fmt.Sprintf("Since the previous run %s went up and %s down.", report.Plural(len(up), "package"), number(len(down)))
		if len(up)+len(down) == 0 {
			c.Sentence = "Since the previous run no version changed, but paths were rebuilt."
		}
	}
	return c
}

func newChangeGroup(h *report.Host) changeGroup {
	ch := h.Changes
	g := changeGroup{Hosts: []string{h.Name}, Kinds: kinds(ch), Least: ch.NARBytes, Most: ch.NARBytes, Added: ch.PathsAdded, Removed: ch.PathsRemoved}
	for i := range ch.Packages {
		p := &ch.Packages[i]
		if p.Kind == report.Rebuilt {
			g.Rebuilt = append(g.Rebuilt, p.Name)
			continue
		}
		row := changeRow{Name: p.Name, Before: versions(p.Before), After: versions(p.After), Bytes: p.NARBytes}
		row.Mark, row.Word, row.rank = mark(p)
		row.weight = max(p.NARBytes, -(p.NARBytes + 1))
		g.Rows = append(g.Rows, row)
	}
	slices.SortStableFunc(g.Rows, func(a, b changeRow) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.weight, a.weight), cmp.Compare(a.Name, b.Name))
	})
	if len(g.Rows) > maxChanged {
		g.More, g.Rows = len(g.Rows)-maxChanged, g.Rows[:maxChanged]
	}
	if len(g.Rebuilt) > maxRebuilt {
		g.MoreRe, g.Rebuilt = len(g.Rebuilt)-maxRebuilt, g.Rebuilt[:maxRebuilt]
	}
	return g
}

// Growth is by how much the closures of the group grew.
func (g changeGroup) Growth() string {
	if g.Least == g.Most {
		return growth(g.Least)
	}
	return growth(g.Least) + " to " + growth(g.Most)
}

// mark is how a change is shown, in a letter and a word, and its order.
func mark(p *report.PackageChange) (mark, word string, rank int64) {
	switch p.Kind {
	case report.Changed:
		switch d := p.Direction(); {
		case d > 0:
			return "U", "up", 0
		case d < 0:
			return "D", "down", 0
		}
		return "C", "changed", 0
	case report.Added:
		return "A", "added", 1
	case report.Removed:
		return "R", "removed", 2
	}
	return "?", p.Kind, 3
}

// kinds is "3 up, 1 added, 12 rebuilt".
func kinds(ch *report.Changes) string {
	if ch.PathsAdded == 0 && ch.PathsRemoved == 0 && len(ch.Packages) == 0 {
		return "nothing"
	}
	n := map[string]int{}
	for i := range ch.Packages {
		p := &ch.Packages[i]
		if p.Kind == report.Rebuilt {
			n[report.Rebuilt]++
			continue
		}
		_, word, rank := mark(p)
		if rank == 3 {
			word = "other"
		}
		n[word]++
	}
	var parts []string
	for _, word := range []string{"up", "down", "changed", "added", "removed", "rebuilt", "other"} {
		if n[word] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[word], word))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "paths only")
}

func versions(list []string) string {
	const most = 5
	var parts []string
	for _, v := range list[:min(len(list), most)] {
		parts = append(parts, cmp.Or(v, "no version"))
	}
	if more := len(list) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}
