package gc

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// BrokenRootError says that a root manifest cannot be relied on: it cannot be
// read, or something that it needs is not in the cache. Nothing is deleted then.
type BrokenRootError struct {
	Cache, Manifest, Reason string

	gone string // the key of the object that it needs and that was not seen
}

func (e *BrokenRootError) Error() string {
	return fmt.Sprintf("cache %s: root manifest %s: %s; nothing is deleted while a root is broken: repair it, push it again, or take the generation out with `pcache roots remove`",
		e.Cache, e.Manifest, e.Reason)
}

// Unwrap makes it a damage of the cache.
func (e *BrokenRootError) Unwrap() error { return binarycache.ErrDamaged }

// Reason is why a path stays.
type Reason uint8

// The reasons, strongest first. Unwanted paths go.
const (
	Unwanted Reason = iota
	Rooted          // a generation that stays needs it
	Held            // a push that is under way has a lease on it
	Young           // it was written within the grace period
	Needed          // a path that is held or young refers to it
)

var reasonTexts = []string{"unwanted", "rooted", "held by a push", "young", "needed by what is young or held"}

// String is the reason for people.
func (r Reason) String() string { return reasonTexts[r] }

// mark is what keeps a path.
type mark struct {
	reason Reason
	root   int32 // of Rooted: the manifest's place in Census.Roots
}

// Item is an object that goes.
type Item struct {
	census.Object
	Kind census.Kind
	Path census.ID // of a narinfo, or what else belongs to a path
	Why  string
}

// Plan is what a collection would delete, and what it would leave.
type Plan struct {
	Census      *census.Census
	Generations []Generation
	Leases      []lease.Active
	// Go are the objects that go, in the order in which they do: manifests,
	// build traces, narinfos with referrers first, NARs, the rest.
	Go []Item

	name   string
	policy Policy
	now    time.Time // by the storage's clock
	marks  []mark    // by ID
	nars   map[string]bool
	keep   map[string]bool // other objects that came or changed meanwhile, or are held
	logs   map[string]bool // derivers of what stays
	levels map[census.ID]int32
	seen   []int32 // by ID: the last walk that came by
	walks  int32
}

// NewPlan plans a collection. now is the storage's clock, at the latest when the
// census began. leases are those that were active after that.
func NewPlan(c *census.Census, name string, leases []lease.Active, now time.Time, policy Policy) (*Plan, error) {
	p := &Plan{
		Census: c, Leases: leases, name: name, policy: policy, now: now,
		marks: make([]mark, len(c.Paths)), nars: make(map[string]bool), keep: make(map[string]bool),
	}
	if !c.Published.IsCache {
		return nil, &binarycache.RefusedError{Cache: name, Reason: "it has no nix-cache-info, so it is no binary cache"}
	}
	for i := range c.Roots {
		if err := p.whole(i); err != nil {
			return nil, err
		}
	}
	p.Generations = policy.generations(c.Roots, now)
	for i, g := range p.Generations {
		if g.Stays {
			p.markRoot(i)
		}
	}
	for i := range c.Paths {
		if c.Paths[i].Listed && p.young(time.Unix(0, c.Paths[i].Modified)) {
			p.mark(census.ID(i), mark{reason: Young})
		}
	}
	p.hold(leases)
	p.choose()
	return p, nil
}

func (p *Plan) young(t time.Time) bool { return p.now.Sub(t) <= p.policy.Grace+coarse }

// whole makes sure that a manifest can be read and that its closure is in the
// cache, but for what it leaves to upstreams.
func (p *Plan) whole(i int) error {
	m := &p.Census.Roots[i]
	broken := func(format string, args ...any) *BrokenRootError {
		return &BrokenRootError{Cache: p.name, Manifest: m.Key, Reason: fmt.Sprintf(format, args...)}
	}
	if m.Problem != nil {
		return broken("%v", m.Problem)
	}
	left := make(map[census.ID]bool, len(m.Upstream))
	for _, id := range m.Upstream {
		left[id] = true
	}
	var problem *BrokenRootError
	p.walk(m.Wants, func(id, from census.ID) bool {
		path := &p.Census.Paths[id]
		by := ""
		if from != census.NoPath {
			by = fmt.Sprintf(", which %s refers to", &p.Census.Paths[from])
		}
		switch nar, inside := path.NAR(); {
		case problem != nil:
		case path.Problem != nil:
			problem = broken("the narinfo of %s%s cannot be used: %v", path, by, path.Problem)
		case !path.Listed && left[id]: // its readers get it elsewhere
		case !path.Listed:
			problem = broken("it needs %s%s, which is gone", path, by)
			problem.gone = path.Key()
		case inside:
			if _, there := p.Census.Object(nar); !there {
				problem = broken("the NAR of %s%s is gone: %s", path, by, nar)
				problem.gone = nar
			}
		}
		return problem == nil
	})
	if problem == nil {
		return nil
	}
	return problem
}

// walk visits paths and what they refer to, each once, as long as visit says so.
func (p *Plan) walk(from []census.ID, visit func(id, from census.ID) bool) {
	type step struct{ id, from census.ID }
	if n := len(p.Census.Paths); n > len(p.seen) {
		p.seen = append(p.seen, make([]int32, n-len(p.seen))...)
	}
	p.walks++
	var stack []step
	for _, id := range from {
		stack = append(stack, step{id, census.NoPath})
	}
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if p.seen[s.id] == p.walks {
			continue
		}
		p.seen[s.id] = p.walks
		if !visit(s.id, s.from) {
			continue
		}
		for _, to := range p.Census.Paths[s.id].References {
			stack = append(stack, step{to, s.id})
		}
	}
}

func (p *Plan) markRoot(i int) {
	for _, id := range p.Census.Roots[i].Wants {
		p.mark(id, mark{reason: Rooted, root: int32(i)})
	}
}

// mark keeps a path, and all that it refers to here.
func (p *Plan) mark(id census.ID, m mark) {
	if n := len(p.Census.Paths); n > len(p.marks) {
		p.marks = append(p.marks, make([]mark, n-len(p.marks))...)
	}
	stack := []census.ID{id}
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if p.marks[id].reason != Unwanted {
			continue
		}
		p.marks[id] = m
		path := &p.Census.Paths[id]
		if nar, inside := path.NAR(); inside && path.Good() {
			p.nars[nar] = true
		}
		if p.logs != nil && path.Deriver != "" {
			p.logs[path.Deriver] = true
		}
		if m.reason != Rooted {
			m = mark{reason: Needed}
		}
		stack = append(stack, path.References...)
	}
}

// remark has a path that was read anew keep what it refers to now.
func (p *Plan) remark(id census.ID, m mark) {
	if int(id) < len(p.marks) {
		p.marks[id] = mark{}
	}
	p.mark(id, m)
}

// hold keeps what leases claim, and all that it refers to.
func (p *Plan) hold(leases []lease.Active) {
	for _, l := range leases {
		for i := range p.Census.Paths {
			if l.Claim.HasPath(p.Census.Paths[i].Hash.String()) {
				p.mark(census.ID(i), mark{reason: Held})
			}
		}
		for _, o := range p.Census.Objects(census.NAR) {
			if l.Claim.HasNAR(narName(o.Key)) {
				p.nars[o.Key] = true
			}
		}
		for _, key := range l.Claim.Keys {
			p.keep[key] = true
		}
	}
}

func narName(key string) string { return strings.TrimPrefix(key, "nar/") }

// choose lists what goes.
func (p *Plan) choose() {
	c := p.Census
	item := func(k census.Kind, o census.Object, path census.ID, why string) {
		p.Go = append(p.Go, Item{Object: o, Kind: k, Path: path, Why: why})
	}
	for i, g := range p.Generations {
		if !g.Stays {
			item(census.Root, c.Roots[i].Object, census.NoPath, g.Why)
		}
	}
	for _, o := range c.Objects(census.Pin) {
		if _, there := c.Object(strings.TrimSuffix(o.Key, ".pin") + ".json"); !there && !p.young(o.Modified) {
			item(census.Pin, o, census.NoPath, "a pin without its manifest")
		}
	}
	for _, t := range c.Traces {
		if t.Problem == nil && !p.stays(t.Path) && !p.young(t.Modified) {
			item(census.Trace, t.Object, t.Path, "its path goes or is gone")
		}
	}
	p.levels = p.order()
	var infos []Item
	for i := range c.Paths {
		if path := &c.Paths[i]; path.Listed && p.marks[i].reason == Unwanted {
			object, _ := c.Object(path.Key())
			why := "no generation that stays needs it"
			if path.Problem != nil {
				why = "it cannot be used: " + path.Problem.Error()
			}
			infos = append(infos, Item{Object: object, Kind: census.NARInfo, Path: census.ID(i), Why: why})
		}
	}
	slices.SortStableFunc(infos, func(a, b Item) int { return int(p.levels[a.Path] - p.levels[b.Path]) })
	p.Go = append(p.Go, infos...)

	p.logs = make(map[string]bool)
	used := make(map[string]bool) // NARs that some narinfo names
	for i := range c.Paths {
		if nar, inside := c.Paths[i].NAR(); inside && c.Paths[i].Good() {
			used[nar] = true
		}
		if p.marks[i].reason != Unwanted && c.Paths[i].Deriver != "" {
			p.logs[c.Paths[i].Deriver] = true
		}
	}
	for _, o := range c.Objects(census.NAR) {
		if p.nars[o.Key] || p.young(o.Modified) {
			continue
		}
		why := "no path has it"
		if used[o.Key] {
			why = "its paths go"
		}
		item(census.NAR, o, census.NoPath, why)
	}
	for _, o := range c.Objects(census.Listing) {
		h, err := census.ParseHashPart(strings.TrimSuffix(o.Key, ".ls"))
		if err != nil {
			continue // KindOf has looked at it
		}
		id, known := c.Find(h)
		if known && p.marks[id].reason != Unwanted && c.Paths[id].Listed || p.young(o.Modified) {
			continue
		}
		if !known {
			id = census.NoPath
		}
		item(census.Listing, o, id, "its path goes or is gone")
	}
	for _, d := range c.DebugInfo {
		_, there := c.Object(d.NAR)
		if d.Problem == nil && (!there || !p.nars[d.NAR]) && !p.young(d.Modified) {
			item(census.DebugInfo, d.Object, census.NoPath, "its NAR goes or is gone")
		}
	}
	for _, o := range c.Objects(census.Log) {
		if !p.wantsLog(o.Key) && !p.young(o.Modified) {
			item(census.Log, o, census.NoPath, "no path that stays was built by it")
		}
	}
}

// wantsLog says whether the log of a build is that of a path that stays: it is
// under the name of the path's derivation, or under that of the derivation
// itself in the cache.
func (p *Plan) wantsLog(key string) bool {
	name := strings.TrimPrefix(key, "log/")
	if p.logs[name] || p.logs[name+".drv"] {
		return true
	}
	if len(name) < 32 || !nix.IsHashPart(name[:32]) {
		return true // nobody knows of what it is
	}
	h, err := census.ParseHashPart(name[:32])
	if err != nil {
		return true
	}
	id, known := p.Census.Find(h)
	return known && p.stays(id)
}

// stays says whether a path is in the cache and will be.
func (p *Plan) stays(id census.ID) bool {
	return id != census.NoPath && int(id) < len(p.marks) && p.Census.Paths[id].Listed && p.marks[id].reason != Unwanted
}

// order gives each path that goes a level above those of all that refer to it:
// deleted level by level, a path that is visible has its closure at any time.
func (p *Plan) order() map[census.ID]int32 {
	c := p.Census
	referrers := make(map[census.ID]int)
	for i := range c.Paths {
		if p.marks[i].reason == Unwanted && c.Paths[i].Listed {
			referrers[census.ID(i)] += 0
			for _, to := range c.Paths[i].References {
				if p.marks[to].reason == Unwanted && c.Paths[to].Listed {
					referrers[to]++
				}
			}
		}
	}
	levels := make(map[census.ID]int32, len(referrers))
	var level []census.ID
	for id, n := range referrers {
		if n == 0 {
			level = append(level, id)
		}
	}
	last := int32(0)
	for ; len(level) > 0; last++ {
		var next []census.ID
		for _, id := range level {
			levels[id] = last
			for _, to := range c.Paths[id].References {
				if n, ok := referrers[to]; ok {
					if referrers[to] = n - 1; n == 1 {
						next = append(next, to)
					}
				}
			}
		}
		level = next
	}
	for id := range referrers { // in a cycle, which no Nix writes
		if _, ok := levels[id]; !ok {
			levels[id] = last
		}
	}
	return levels
}

// goes says whether an item still goes, after what was learnt since the plan.
func (p *Plan) goes(i Item) bool {
	if p.keep[i.Key] {
		return false
	}
	switch i.Kind {
	case census.NARInfo, census.Trace, census.Listing:
		return i.Path == census.NoPath || !p.stays(i.Path)
	case census.NAR:
		return !p.nars[i.Key]
	case census.Log:
		return !p.keep[lease.AllLogs] && !p.wantsLog(i.Key)
	case census.DebugInfo:
		return !p.keep[lease.AllDebugInfo]
	}
	return true
}

// Stay calls f with every path that stays, and why.
func (p *Plan) Stay(f func(id census.ID, r Reason, why string)) {
	for i, m := range p.marks {
		if m.reason == Unwanted || !p.Census.Paths[i].Listed {
			continue
		}
		why := m.reason.String()
		if m.reason == Rooted {
			root := &p.Census.Roots[m.root]
			why = fmt.Sprintf("%s@%s needs it", root.Name, root.Generation)
		}
		f(census.ID(i), m.reason, why)
	}
}
