package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Kinds of PackageChange.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
	Rebuilt = "rebuilt"
)

// Compare fills the Changes of cur's hosts, and cur.Previous, with what is
// different since prev. Hosts whose closure is not in both reports get no
// Changes. It leaves cur alone and returns an error where the two cannot be
// compared: another schema, or real inputs on one side and stand-ins on the
// other. A nil prev is fine and changes nothing. Both reports must be valid.
// Regressions are what got worse by more than DefaultLimits.
func Compare(prev, cur *Report) error { return DefaultLimits.Compare(prev, cur) }

// Compare is Compare with limits of its own; the zero Limits are DefaultLimits.
func (l Limits) Compare(prev, cur *Report) error {
	if l == (Limits{}) {
		l = DefaultLimits
	}
	_, err := l.compare(prev, cur)
	return err
}

// comparison is one Compare under way, and a count of its work. Package names
// and versions are numbered by their order, so that hosts compare numbers.
type comparison struct {
	names     []string
	versions  []string
	touched   []int // by package: number of the last host in which it differs
	prev, cur side

	parsed  int // store path names taken apart
	visited int // closure members looked at
}

// side is what is known of one report's path table, and of the closure of the
// host at hand.
type side struct {
	paths   []Path
	other   []int // by path: its index in the other report's table, or -1
	pkg     []int // by path: number of its package name
	version []int // by path: number of its version
	inHost  []int // by path: number of the last host whose closure has it

	has   [][]int // by package that differs: its versions in the closure
	bytes []int64 // by package that differs: its size there; -1 for others
}

func (l Limits) compare(prev, cur *Report) (*comparison, error) {
	if prev == nil {
		return nil, nil
	}
	if prev.Schema != cur.Schema {
		return nil, fmt.Errorf("compare with the previous report: its schema is %q, not %q", cut(clean(prev.Schema), 40), cur.Schema)
	}
	if prev.Run.Inputs != cur.Run.Inputs {
		return nil, fmt.Errorf("compare with the previous report: its inputs are %q, not %q", cut(clean(prev.Run.Inputs), 40), cut(clean(cur.Run.Inputs), 40))
	}
	c := &comparison{}
	c.split(prev.Paths, cur.Paths)
	index := make(map[string]int, len(prev.Paths))
	for i, p := range prev.Paths {
		index[p.Path] = i
	}
	for i, p := range cur.Paths {
		if j, ok := index[p.Path]; ok {
			c.cur.other[i], c.prev.other[j] = j, i
		}
	}
	before := make(map[string]*Host, len(prev.Hosts))
	for i := range prev.Hosts {
		before[prev.Hosts[i].Name] = &prev.Hosts[i]
	}
	for i := range cur.Hosts {
		h := &cur.Hosts[i]
		h.Changes = nil
		if p := before[h.Name]; p != nil && p.Closure != nil && h.Closure != nil {
			h.Changes = c.host(i+1, p, h)
		}
	}
	cur.Regressions = l.Regressions(prev, cur)
	cur.Previous = &Previous{Started: prev.Run.Started, Commit: prev.Run.Commit, Limits: &l}
	return c, nil
}

// split takes every store path name apart and numbers what it finds.
func (c *comparison) split(prev, cur []Path) {
	type parts struct{ name, version string }
	all := make([]parts, 0, len(prev)+len(cur))
	names, versions := map[string]int{}, map[string]int{}
	for _, paths := range [][]Path{prev, cur} {
		for _, p := range paths {
			name, version := splitPath(p.Path)
			c.parsed++
			all = append(all, parts{name, version})
			names[name], versions[version] = 0, 0
		}
	}
	c.names = slices.Sorted(maps.Keys(names))
	c.versions = slices.SortedFunc(maps.Keys(versions), func(a, b string) int {
		return cmp.Or(compareVersions(a, b), cmp.Compare(a, b)) // "1.0" and "1-0" are equal to Nix
	})
	for i, n := range c.names {
		names[n] = i
	}
	for i, v := range c.versions {
		versions[v] = i
	}
	side := func(paths []Path, split []parts) side {
		s := side{
			paths: paths, other: make([]int, len(paths)), pkg: make([]int, len(paths)),
			version: make([]int, len(paths)), inHost: make([]int, len(paths)),
			has: make([][]int, len(c.names)), bytes: make([]int64, len(c.names)),
		}
		for i, p := range split {
			s.other[i], s.pkg[i], s.version[i] = -1, names[p.name], versions[p.version]
		}
		return s
	}
	c.touched = make([]int, len(c.names))
	c.prev, c.cur = side(prev, all[:len(prev)]), side(cur, all[len(prev):])
}

// host compares one host's closures. Paths are marked with number, which must
// differ from host to host and from zero.
func (c *comparison) host(number int, prev, cur *Host) *Changes {
	before, after := prev.Closure.Members, cur.Closure.Members
	c.prev.mark(before, number)
	c.cur.mark(after, number)
	c.visited += len(before) + len(after)

	ch := &Changes{
		SameToplevel: cur.Toplevel != "" && cur.Toplevel == prev.Toplevel,
		NARBytes:     c.cur.sum(after) - c.prev.sum(before),
	}
	ch.PathsAdded = c.touch(&c.cur, &c.prev, number, after)
	ch.PathsRemoved = c.touch(&c.prev, &c.cur, number, before)
	if ch.PathsAdded == 0 && ch.PathsRemoved == 0 {
		return ch
	}
	var touched []int
	for pkg, host := range c.touched {
		if host == number {
			touched = append(touched, pkg)
		}
	}
	c.prev.collect(before, touched)
	c.cur.collect(after, touched)
	ch.Packages = make([]PackageChange, 0, len(touched))
	for _, pkg := range touched {
		p := PackageChange{
			Name:     c.names[pkg],
			Before:   c.versionList(c.prev.has[pkg]),
			After:    c.versionList(c.cur.has[pkg]),
			NARBytes: c.cur.bytes[pkg] - c.prev.bytes[pkg],
		}
		switch {
		case p.Before == nil:
			p.Kind = Added
		case p.After == nil:
			p.Kind = Removed
		case slices.Equal(p.Before, p.After):
			p.Kind = Rebuilt
		default:
			p.Kind = Changed
		}
		ch.Packages = append(ch.Packages, p)
	}
	return ch
}

// versionList sorts versions and spells them out, each once.
func (c *comparison) versionList(numbers []int) []string {
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	switch len(numbers) {
	case 0:
		return nil
	case 1:
		return c.versions[numbers[0] : numbers[0]+1 : numbers[0]+1]
	}
	list := make([]string, len(numbers))
	for i, n := range numbers {
		list[i] = c.versions[n]
	}
	return list
}

func (s *side) mark(members []int, number int) {
	for _, m := range members {
		s.inHost[m] = number
	}
}

// touch counts the members that the other side's closure of host number does
// not have, and marks their packages.
func (c *comparison) touch(s, other *side, number int, members []int) int {
	n := 0
	for _, m := range members {
		if o := s.other[m]; o < 0 || other.inHost[o] != number {
			c.touched[s.pkg[m]] = number
			n++
		}
	}
	return n
}

// collect gathers the versions and sizes of the touched packages.
func (s *side) collect(members []int, touched []int) {
	for i := range s.bytes {
		s.bytes[i] = -1
	}
	for _, pkg := range touched {
		s.bytes[pkg], s.has[pkg] = 0, s.has[pkg][:0]
	}
	for _, m := range members {
		if pkg := s.pkg[m]; s.bytes[pkg] >= 0 {
			s.bytes[pkg] = addSizes(s.bytes[pkg], s.paths[m].NARBytes)
			s.has[pkg] = append(s.has[pkg], s.version[m])
		}
	}
}

func (s *side) sum(members []int) int64 {
	var n int64
	for _, m := range members {
		n = addSizes(n, s.paths[m].NARBytes)
	}
	return n
}

// Direction says whether the versions of a changed package went up (1), down
// (-1) or neither (0). Versions on both sides do not count: it compares the
// highest of those that came with the highest of those that went.
func (p PackageChange) Direction() int {
	went := highestWithout(p.Before, p.After)
	came := highestWithout(p.After, p.Before)
	if went == nil || came == nil {
		return 0
	}
	return cmp.Compare(compareVersions(*came, *went), 0)
}

func highestWithout(versions, other []string) *string {
	in := func(v string) bool { return slices.Contains(other, v) }
	if len(other) > 8 {
		set := make(map[string]bool, len(other))
		for _, v := range other {
			set[v] = true
		}
		in = func(v string) bool { return set[v] }
	}
	var highest *string
	for i, v := range versions {
		if (highest == nil || compareVersions(v, *highest) > 0) && !in(v) {
			highest = &versions[i]
		}
	}
	return highest
}
