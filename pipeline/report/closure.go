package report

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Actions on a path of a push, see PushPath.
const (
	actionSent    = "sent"
	actionSend    = "send"
	actionSkipped = "skipped"
	actionFailed  = "failed"
)

// Closure records the closure of a host's toplevel, for runs that do not
// push: Push records it too. The later call wins. A closure with a malformed
// path, a path twice or a negative size is an error and records nothing.
func (b *Builder) Closure(host string, closure []Path) error {
	list := slices.Clone(closure)
	slices.SortFunc(list, func(x, y Path) int { return cmp.Compare(x.Path, y.Path) })
	if err := validPaths("paths", len(list), func(i int) (string, int64) {
		return list[i].Path, list[i].NARBytes
	}); err != nil {
		return fmt.Errorf("closure of host %q: %v", cut(clean(host), 60), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setClosure(b.host(host), list)
	return nil
}

func (b *Builder) setClosure(h *hostState, closure []Path) {
	h.closure, b.dirty = closure, true
}

// Push records what a push printed and derives from it, for every host whose
// toplevel is one of the roots, its closure, what was sent of it, and its
// push step. The pushes of a run are recorded as one: see Report.Push. An
// invalid push is an error and records nothing.
func (b *Builder) Push(p *Push) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("record push: not valid: %v", err)
	}
	p = p.clone()
	p.fillEmpty()
	p.tidy()
	b.mu.Lock()
	defer b.mu.Unlock()
	all := p
	if b.push != nil {
		all = b.push.merge(p)
	}
	b.push = all
	members := make([][]int, len(all.Roots))
	for i, path := range all.Paths {
		for _, root := range path.Roots {
			members[root] = append(members[root], i)
		}
	}
	for _, h := range b.hosts {
		if p.rootOf(&h.Host) < 0 { // it is of an earlier push, or of none
			continue
		}
		root := all.rootOf(&h.Host)
		b.pushedHost(h, p, all.Roots[root], func(yield func(PushPath) bool) {
			for _, i := range members[root] {
				if !yield(all.Paths[i]) {
					return
				}
			}
		})
	}
	return nil
}

// tidy cleans the text of p, and cuts its times to what reports give.
func (p *Push) tidy() {
	p.Cache, p.Error = withoutCredentials(clean(p.Cache)), clean(p.Error)
	p.Started = instant(p.Started)
	p.Seconds, p.PlanSeconds = milliseconds(p.Seconds), milliseconds(p.PlanSeconds)
	for i := range p.PublicKeys {
		p.PublicKeys[i] = clean(p.PublicKeys[i])
	}
	for i := range p.Roots {
		r := &p.Roots[i]
		r.Name, r.Generation = clean(r.Name), clean(r.Generation)
	}
	for i := range p.Paths {
		q := &p.Paths[i]
		q.NARHash, q.Action, q.Reason = clean(q.NARHash), clean(q.Action), clean(q.Reason)
	}
	skipped := make(map[string]Count, len(p.Skipped))
	for _, reason := range slices.Sorted(maps.Keys(p.Skipped)) {
		skipped[clean(reason)] = p.Skipped[reason]
	}
	p.Skipped = skipped
}

// rootOf finds the root that is h's toplevel, by path or, where h's toplevel
// is unknown, by name.
func (p *Push) rootOf(h *Host) int {
	return slices.IndexFunc(p.Roots, func(r PushRoot) bool {
		if h.Toplevel != "" {
			return r.Path == h.Toplevel
		}
		return r.Name == h.Name
	})
}

// pushedHost records the push p of h, whose toplevel is the root r with those
// paths, as the run's pushes left them.
func (b *Builder) pushedHost(h *hostState, p *Push, r PushRoot, paths iter.Seq[PushPath]) {
	h.Toplevel = r.Path
	h.Sent = Count{}
	var closure []Path
	broken := ""
	for path := range paths {
		closure = append(closure, Path{Path: path.Path, NARBytes: path.NARBytes})
		switch path.Action {
		case actionSent:
			h.Sent.add(path)
		case actionFailed:
			broken = cmp.Or(broken, path.Path+": "+cmp.Or(path.Reason, "not sent"))
		}
	}
	if len(closure) > 0 { // a push that failed early lists none
		b.setClosure(h, closure)
	}
	s := h.step(StepPush)
	s.Started, s.began, s.Seconds = p.Started, p.Started, p.Seconds
	s.Status, s.Detail = p.Status, ""
	switch {
	case r.Generation != "":
		s.Status = Passed // its manifest is written last, so it is all there
	case p.Status == Failed:
		h.fail(Failure{Step: StepPush, Message: cmp.Or(broken, p.Error)})
	}
	if s.Status == Passed {
		switch {
		case p.DryRun:
			s.Detail = "dry run, nothing was sent"
		case h.Sent.Paths == 0:
			s.Detail = "nothing to send"
		default:
			s.Detail = "sent " + count(h.Sent.Paths, "path") + ", " + mib(h.Sent.FileBytes)
		}
	}
}

func (c *Count) add(p PushPath) {
	c.Paths++
	c.NARBytes = addSizes(c.NARBytes, p.NARBytes)
	c.FileBytes = addSizes(c.FileBytes, p.FileBytes)
}

// table brings the shared path table and the hosts' closures up to date: the
// union of the closures, sorted by path. Where hosts tell different sizes of
// one path, the first host by name is believed.
func (b *Builder) table() []Path {
	if !b.dirty {
		return b.paths
	}
	names := slices.Sorted(maps.Keys(b.hosts))
	size := map[string]int64{}
	for _, name := range names {
		for _, p := range b.hosts[name].closure {
			if _, ok := size[p.Path]; !ok {
				size[p.Path] = p.NARBytes
			}
		}
	}
	b.paths = make([]Path, 0, len(size))
	index := make(map[string]int, len(size))
	for i, path := range slices.Sorted(maps.Keys(size)) {
		b.paths = append(b.paths, Path{Path: path, NARBytes: size[path], Origin: b.origin[path]})
		index[path] = i
	}
	for _, name := range names {
		h := b.hosts[name]
		if h.closure == nil {
			continue
		}
		c := &Closure{Paths: len(h.closure), Members: make([]int, 0, len(h.closure))}
		present := 0
		for _, p := range h.closure {
			c.Members = append(c.Members, index[p.Path])
			c.NARBytes = addSizes(c.NARBytes, size[p.Path])
			if b.origin[p.Path] == "" {
				present++
			}
		}
		h.Closure = c
		if h.Work != nil {
			h.Work.Present = present
		}
	}
	b.dirty = false
	return b.paths
}

// clone copies r deeply.
func (r *Report) clone() Report {
	c := *r
	c.Paths = slices.Clone(r.Paths)
	c.Activities = slices.Clone(r.Activities)
	c.Run.Locked = slices.Clone(r.Run.Locked)
	c.Checks = slices.Clone(r.Checks)
	for i := range c.Checks {
		c.Checks[i].Log = slices.Clone(c.Checks[i].Log)
		c.Checks[i].Counts = maps.Clone(c.Checks[i].Counts)
	}
	c.Hosts = slices.Clone(r.Hosts)
	for i := range c.Hosts {
		h := &c.Hosts[i]
		h.Steps = slices.Clone(h.Steps)
		if h.Failure != nil {
			f := *h.Failure
			f.LogTail = slices.Clone(f.LogTail)
			h.Failure = &f
		}
		if h.Work != nil {
			w := *h.Work
			h.Work = &w
		}
		if h.Closure != nil {
			cl := *h.Closure
			cl.Members = slices.Clone(cl.Members)
			h.Closure = &cl
		}
	}
	if r.Push != nil {
		c.Push = r.Push.clone()
	}
	return c
}

func (p *Push) clone() *Push {
	c := *p
	c.PublicKeys = slices.Clone(p.PublicKeys)
	c.Roots = slices.Clone(p.Roots)
	c.Paths = slices.Clone(p.Paths)
	for i := range c.Paths {
		c.Paths[i].Roots = slices.Clone(c.Paths[i].Roots)
	}
	c.Skipped = maps.Clone(p.Skipped)
	return &c
}
