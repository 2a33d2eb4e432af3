package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

const (
	maxCells    = 90
	maxPackages = maxCells
	mapWidth    = 1000 // of the treemap, for the shapes of its cells
	mapHeight   = 460
)

// composition is what all closures together are made of.
type composition struct {
	Paths    int
	Bytes    int64
	Hosts    int // that have a closure
	Packages []pack
	More     int // packages beyond those listed
	MoreByte int64
	Cells    []mapCell
	Shares   []share
	Rows     []hostShare
	MoreRows int
}

// pack is a package: all paths of that name.
type pack struct {
	Name     string
	Versions []string
	Paths    int
	Bytes    int64
	Kind     string // "all", "some", "one": how many hosts have most of it
	Holders  int    // most hosts that have one of its paths
}

// mapCell is a package in the treemap.
type mapCell struct {
	cell
	Name, Size, Title, Kind string
	Class                   string // how much text fits
}

// share is the part of all closures that so many hosts have.
type share struct {
	Label, Kind string
	Paths       int
	Bytes       int64
	From, Share float64
}

// hostShare is a host's closure by how much of it others have too.
type hostShare struct {
	Name            string
	Bytes, All, Own int64
	FromSome        float64
	FromOwn         float64
	Scale           float64 // its size as a share of the largest
}

func newComposition(r *report.Report) *composition {
	c := &composition{}
	var known bool
	if c.Paths, c.Bytes, known = r.ClosureUnion(); !known || c.Paths == 0 {
		return nil
	}
	for _, h := range r.Hosts {
		if h.Closure != nil {
			c.Hosts++
		}
	}
	holders := sharing(r)
	c.packages(r, holders)
	c.treemap()
	c.shares(r, holders)
	return c
}

func (c *composition) kind(holders int) string {
	switch {
	case holders <= 1 && c.Hosts > 1:
		return "one"
	case holders < c.Hosts:
		return "some"
	}
	return "all"
}

func (c *composition) packages(r *report.Report, holders []int) {
	type group struct {
		pack
		versions map[string]bool
		kinds    map[string]int64
	}
	byName := map[string]*group{}
	for i, p := range r.Paths {
		if holders[i] == 0 {
			continue
		}
		name, version := report.SplitPath(p.Path)
		g := byName[name]
		if g == nil {
			g = &group{pack: pack{Name: name}, versions: map[string]bool{}, kinds: map[string]int64{}}
			byName[name] = g
		}
		g.Paths++
		g.Bytes += p.NARBytes
		g.Holders = max(g.Holders, holders[i])
		g.kinds[c.kind(holders[i])] += p.NARBytes + 1
		if version != "" {
			g.versions[version] = true
		}
	}
	all := make([]pack, 0, len(byName))
	for _, g := range byName {
		for _, k := range []string{"all", "some", "one"} {
			if g.Kind == "" || g.kinds[k] > g.kinds[g.Kind] {
				g.Kind = k
			}
		}
		for v := range g.versions {
			g.Versions = append(g.Versions, v)
		}
		slices.SortFunc(g.Versions, func(a, b string) int {
			return cmp.Or(report.CompareVersions(a, b), cmp.Compare(a, b))
		})
		all = append(all, g.pack)
	}
	slices.SortFunc(all, func(a, b pack) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	c.Packages = all
}

func (c *composition) treemap() {
	n := 0
	var weights []float64
	for _, p := range c.Packages {
		if n == maxCells || p.Bytes <= 0 {
			break
		}
		weights = append(weights, float64(p.Bytes))
		n++
	}
	rest, restBytes := c.Packages[n:], int64(0)
	for _, p := range rest {
		restBytes += p.Bytes
	}
	cells := c.Packages[:n]
	if restBytes > 0 {
		// It has its place by size, like the others.
		other := pack{Name: fmt.Sprintf("%s other packages", number(len(rest))), Bytes: restBytes, Kind: "rest"}
		i, _ := slices.BinarySearchFunc(cells, other, func(a, b pack) int { return cmp.Compare(b.Bytes, a.Bytes) })
		cells = slices.Insert(slices.Clone(cells), i, other)
		weights = slices.Insert(weights, i, float64(restBytes))
	}
	for i, at := range squarify(weights, mapWidth, mapHeight) {
		p := cells[i]
		m := mapCell{cell: at, Name: p.Name, Size: size(p.Bytes), Kind: p.Kind}
		m.Title = fmt.Sprintf("%s: %s, %s", strings.TrimSpace(p.Name+" "+strings.Join(p.Versions[:min(len(p.Versions), 4)], ", ")), size(p.Bytes), percent(float64(p.Bytes)/float64(c.Bytes)))
		if p.Kind != "rest" {
			m.Title += fmt.Sprintf(", in %d of %s", p.Holders, report.Plural(c.Hosts, "host"))
		}
		// About 7 units a letter at the width of a desktop.
		room := at.W * mapWidth / 7.6
		switch high := at.H * mapHeight; {
		case room < 5 || high < 18:
			m.Class = "tiny"
		case room < float64(len(m.Name)) || high < 36:
			m.Class = "small"
		}
		if at.H*mapHeight < 36 || room < float64(len(m.Size)) {
			m.Size = ""
		}
		if m.Class != "tiny" && float64(len(m.Name)) > room && room > 2 {
			m.Name = m.Name[:min(len(m.Name), int(room)-1)] + "\u2026"
		}
		c.Cells = append(c.Cells, m)
	}
	if len(c.Packages) > maxPackages {
		for _, p := range c.Packages[maxPackages:] {
			c.MoreByte += p.Bytes
		}
		c.More = len(c.Packages) - maxPackages
		c.Packages = c.Packages[:maxPackages]
	}
}

func (c *composition) shares(r *report.Report, holders []int) {
	groups := map[string]*share{}
	for i, n := range holders {
		if n == 0 {
			continue
		}
		k := c.kind(n)
		if groups[k] == nil {
			groups[k] = &share{Kind: k}
		}
		groups[k].Paths++
		groups[k].Bytes += r.Paths[i].NARBytes
	}
	at := 0.0
	for _, k := range []string{"all", "some", "one"} {
		g := groups[k]
		if g == nil {
			continue
		}
		g.Label = map[string]string{
			"all": fmt.Sprintf("all %d hosts", c.Hosts), "some": "several hosts", "one": "one host only",
		}[k]
		if c.Hosts == 1 {
			g.Label = "the one host"
		}
		g.From = at
		if c.Bytes > 0 {
			g.Share = float64(g.Bytes) / float64(c.Bytes)
		}
		at += g.Share
		c.Shares = append(c.Shares, *g)
	}
	largest := int64(1)
	for _, h := range r.Hosts {
		if h.Closure == nil {
			continue
		}
		row := hostShare{Name: h.Name}
		for _, m := range h.Closure.Members {
			b := r.Paths[m].NARBytes
			row.Bytes += b
			switch c.kind(holders[m]) {
			case "all":
				row.All += b
			case "one":
				row.Own += b
			}
		}
		largest = max(largest, row.Bytes)
		c.Rows = append(c.Rows, row)
	}
	for i := range c.Rows {
		row := &c.Rows[i]
		row.Scale = float64(row.Bytes) / float64(largest)
		row.FromSome = float64(row.All) / float64(largest)
		row.FromOwn = float64(row.Bytes-row.Own) / float64(largest)
	}
	if len(c.Rows) > maxRows {
		c.MoreRows = len(c.Rows) - maxRows
		slices.SortStableFunc(c.Rows, func(a, b hostShare) int { return cmp.Compare(b.Bytes, a.Bytes) })
		c.Rows = c.Rows[:maxRows]
	}
}

// Describe is the treemap in words.
func (c *composition) Describe() string {
	var parts []string
	for _, p := range c.Packages[:min(len(c.Packages), 5)] {
		parts = append(parts, fmt.Sprintf("%s %s", p.Name, size(p.Bytes)))
	}
	return fmt.Sprintf("Treemap of all closures, %s by package. The largest: %s. The table below has the same.", size(c.Bytes), strings.Join(parts, ", "))
}

// SharesText is the sharing bar in words.
func (c *composition) SharesText() string {
	var parts []string
	for _, s := range c.Shares {
		parts = append(parts, fmt.Sprintf("%s in %s (%s)", size(s.Bytes), s.Label, percent(s.Share)))
	}
	return "Of " + size(c.Bytes) + ": " + strings.Join(parts, ", ") + "."
}

// Describe is a row in words.
func (h hostShare) Describe() string {
	return fmt.Sprintf("%s: %s, of which %s in every host and %s in this one only.", h.Name, size(h.Bytes), size(h.All), size(h.Own))
}

// Some is the size of what some others have too, but not all.
func (h hostShare) Some() int64 { return h.Bytes - h.All - h.Own }

// SomeShare and OwnShare are the lengths of the bar's second and third part.
func (h hostShare) SomeShare() float64 { return h.FromOwn - h.FromSome }
func (h hostShare) OwnShare() float64  { return h.Scale - h.FromOwn }
