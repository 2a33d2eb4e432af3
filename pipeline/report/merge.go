package report

import (
	"cmp"
	"slices"
	"strings"
)

// merge returns p and b, of which p was first, as one push: the roots of both,
// the union of their paths, and the worse outcome. A path that either of them
// sent was sent. Seconds are added up, as the time between two pushes is none
// of theirs. The result shares nothing with p and b.
func (p *Push) merge(b *Push) *Push {
	m := p.clone()
	m.Status = worse(p.Status, b.Status)
	m.Error = cmp.Or(p.Error, b.Error)
	m.DryRun = p.DryRun && b.DryRun
	m.Seconds = milliseconds(p.Seconds + b.Seconds)
	m.PlanSeconds = milliseconds(p.PlanSeconds + b.PlanSeconds)
	for _, key := range b.PublicKeys {
		if !slices.Contains(m.PublicKeys, key) {
			m.PublicKeys = append(m.PublicKeys, key)
		}
	}
	at := make([]int, len(b.Roots)) // where each root of b is in m
	for i, root := range b.Roots {
		at[i] = slices.IndexFunc(m.Roots, func(r PushRoot) bool { return r.Name == root.Name && r.Path == root.Path })
		if at[i] < 0 {
			at[i] = len(m.Roots)
			m.Roots = append(m.Roots, root)
			continue
		}
		was := &m.Roots[at[i]]
		was.Generation = cmp.Or(root.Generation, was.Generation)
	}
	for _, path := range b.Paths {
		roots := make([]int, len(path.Roots))
		for i, root := range path.Roots {
			roots[i] = at[root]
		}
		path.Roots = roots
		slices.Sort(path.Roots)
		i, known := slices.BinarySearchFunc(m.Paths, path, func(x, y PushPath) int { return strings.Compare(x.Path, y.Path) })
		if !known {
			m.Paths = slices.Insert(m.Paths, i, path)
			continue
		}
		was := &m.Paths[i]
		roots = append(roots, was.Roots...)
		slices.Sort(roots)
		was.Roots = slices.Compact(roots)
		if rank(path.Action) < rank(was.Action) {
			was.Action, was.Reason, was.FileBytes = path.Action, path.Reason, path.FileBytes
		}
	}
	m.recount()
	return m
}

// recount derives the sums from the paths.
func (p *Push) recount() {
	p.Sent, p.Skipped = Count{}, map[string]Count{}
	for i := range p.Roots {
		p.Roots[i].Sent = Count{}
	}
	for _, path := range p.Paths {
		switch path.Action {
		case actionSent:
			p.Sent.add(path)
			for _, root := range path.Roots {
				p.Roots[root].Sent.add(path)
			}
		case actionSkipped:
			c := p.Skipped[path.Reason]
			c.add(path)
			p.Skipped[path.Reason] = c
		}
	}
}

// rank orders actions by how much they say of what became of a path: what was
// sent once is there, whatever another push says of it.
func rank(action string) int {
	switch action {
	case actionSent:
		return 0
	case actionSend:
		return 1
	case actionSkipped:
		return 2
	case actionFailed:
		return 3
	}
	return 4
}

// worse is the outcome of two that is to be told.
func worse(a, b Status) Status {
	for _, s := range []Status{Failed, Interrupted, Skipped} {
		if a == s || b == s {
			return s
		}
	}
	return Passed
}
