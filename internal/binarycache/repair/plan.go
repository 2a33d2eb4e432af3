// Package repair mends what an audit has found damaged in a cache: from any
// store that has the paths, and where none has, by withdrawing them, so that
// clients build rather than fail.
package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/audit"
	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Source is where good paths come from.
type Source interface {
	// Info says what the store knows of a path. The error is, or wraps,
	// ErrAbsent if it does not have it or cannot vouch for it.
	Info(ctx context.Context, p nix.StorePath) (nix.PathInfo, error)
	// OpenNAR returns the NAR of a path that Info has returned; io.EOF means
	// that it has p's hash and size.
	OpenNAR(ctx context.Context, p nix.PathInfo) (io.ReadCloser, error)
	String() string
}

// ErrAbsent is wrapped by a Source's error for a path that it does not have.
var ErrAbsent = errors.New("the path is not there")

// Mending is one path that is, or would be, replaced.
type Mending struct {
	Path nix.StorePath
	Why  audit.Kind
	From string // the source; empty: its narinfo alone is written again
	Size int64  // bytes of the NAR

	id     census.ID
	source Source
	info   nix.PathInfo
}

// Withdrawal is one narinfo that is, or would be, deleted.
type Withdrawal struct {
	Key  string
	Path nix.StorePath // empty if it is not known
	Why  string
}

// Loss is what can be neither mended nor withdrawn.
type Loss struct {
	What string // a store path, or the key of an object
	Why  string
}

// Plan is what would be done.
type Plan struct {
	Mend     []Mending    // references first
	Withdraw []Withdrawal // referrers first
	Delete   []string     // keys of damaged listings, and of damaged NARs that nothing names
	Lost     []Loss

	lost map[census.ID]string // broken paths that are not mended, and why not
}

// Empty says that there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Mend)+len(p.Withdraw)+len(p.Delete) == 0 }

// Options of a repair.
type Options struct {
	Name    string // of the cache in messages, without credentials
	Store   blob.Store
	Found   *audit.Result
	Sources []Source
	Keys    []nix.SecretKey // to sign what has no signature of the cache's keys
	Level   binarycache.Level
}

// planner works out a plan.
type planner struct {
	Options
	mender *binarycache.Mender
	c      *census.Census
	mend   map[nix.StorePath]*Mending
	lost   map[census.ID]string // broken, and why it cannot be mended
}

// NewPlan works out what to do about what an audit has found.
func NewPlan(ctx context.Context, o Options) (*Plan, error) {
	p := &planner{
		Options: o, mender: o.mender(), c: o.Found.Census,
		mend: make(map[nix.StorePath]*Mending), lost: make(map[census.ID]string),
	}
	if err := p.find(ctx); err != nil {
		return nil, err
	}
	p.settle()
	plan, err := p.order()
	if err != nil {
		return nil, err
	}
	for _, f := range o.Found.Findings {
		switch f.Kind {
		case audit.ListingDamaged, audit.OrphanDamaged:
			plan.Delete = append(plan.Delete, f.Key)
		case audit.RootDamaged:
			plan.Lost = append(plan.Lost, Loss{f.Key, "the manifest cannot be read; remove it (pcache roots CACHE remove) or push the root again"})
		}
	}
	for id, why := range p.lost {
		if !p.c.Paths[id].Listed {
			plan.Lost = append(plan.Lost, Loss{p.c.Paths[id].String(), why})
		}
	}
	slices.SortFunc(plan.Lost, func(a, b Loss) int { return strings.Compare(a.What, b.What) })
	return plan, nil
}

func (o *Options) mender() *binarycache.Mender {
	accept := o.Found.Trusted
	return binarycache.NewMender(o.Store, binarycache.MenderOptions{
		Name: o.Name, StoreDir: o.Found.Census.Published.Info.StoreDir, Level: o.Level,
		Keys: o.Keys, Accept: accept, BadFiles: o.Found.BadFiles,
	})
}

// find looks for each broken path in the sources, and for what those refer to
// that is not in the cache.
func (p *planner) find(ctx context.Context) error {
	type want struct {
		path nix.StorePath
		why  audit.Kind
		id   census.ID
	}
	var queue []want
	for id, why := range p.Found.Broken {
		path := &p.c.Paths[id]
		if _, sound := p.Found.Files[id]; sound && why == audit.FileDamaged {
			p.mend[path.Path] = &Mending{Path: path.Path, Why: why, id: id}
			continue
		}
		if path.Path == "" {
			p.lost[id] = "nothing says which path it is"
			continue
		}
		queue = append(queue, want{path.Path, why, id})
	}
	slices.SortFunc(queue, func(a, b want) int { return strings.Compare(string(a.path), string(b.path)) })
	asked := make(map[nix.StorePath]bool)
	for len(queue) > 0 {
		w := queue[0]
		queue = queue[1:]
		if asked[w.path] {
			continue
		}
		asked[w.path] = true
		m, reason, err := p.ask(ctx, w.path)
		if err != nil {
			return err
		}
		if m == nil {
			if w.id != census.NoPath {
				p.lost[w.id] = reason
			}
			continue
		}
		m.Why, m.id = w.why, w.id
		p.mend[w.path] = m
		for _, r := range m.info.References {
			if r != w.path && !p.there(r) && !p.left(r) {
				id, known := p.c.FindPath(r)
				if !known {
					id = census.NoPath
				}
				queue = append(queue, want{r, audit.ReferenceMissing, id})
			}
		}
	}
	return nil
}

// there says whether the cache has a path, whole.
func (p *planner) there(path nix.StorePath) bool {
	id, ok := p.c.FindPath(path)
	if !ok || !p.c.Paths[id].Good() {
		return false
	}
	_, broken := p.Found.Broken[id]
	return !broken
}

// left says whether an absent path is one that the cache leaves to upstreams.
func (p *planner) left(path nix.StorePath) bool {
	if len(p.c.UpstreamKeys) == 0 {
		return false
	}
	id, ok := p.c.FindPath(path)
	if !ok || p.c.Paths[id].Listed {
		return false
	}
	_, broken := p.Found.Broken[id]
	return !broken
}

// ask looks for one path. reason says why no source serves.
func (p *planner) ask(ctx context.Context, path nix.StorePath) (m *Mending, reason string, err error) {
	reason = "no store that was named has it"
	if len(p.Sources) == 0 {
		reason = "no store was named that may have it (--from)"
	}
	for _, s := range p.Sources {
		info, err := s.Info(ctx, path)
		if errors.Is(err, ErrAbsent) {
			continue
		}
		if err != nil {
			return nil, "", fmt.Errorf("ask %s for %s: %w", s, path, err)
		}
		if id, ok := p.c.FindPath(path); ok {
			info = p.withSignatures(ctx, info, id)
		}
		if err := p.mender.Acceptable(info); err != nil {
			reason = fmt.Sprintf("%s has it, but %v", s, err)
			continue
		}
		return &Mending{Path: path, From: s.String(), Size: info.NARSize, source: s, info: info}, "", nil
	}
	return nil, reason, nil
}

// withSignatures adds the signatures that the path has in the cache, where the
// narinfo there is sound and says the same.
func (p *planner) withSignatures(ctx context.Context, info nix.PathInfo, id census.ID) nix.PathInfo {
	if !p.c.Paths[id].Good() {
		return info
	}
	data, err := blob.ReadAll(ctx, p.Store, p.c.Paths[id].Key(), nix.MaxNARInfoSize)
	if err != nil {
		return info
	}
	n, err := nix.ParseNARInfo(p.c.Published.Info.StoreDir, data)
	if err != nil || n.Fingerprint() != info.Fingerprint() {
		return info
	}
	have := make(map[string]bool)
	for _, s := range info.Signatures {
		have[s.String()] = true
	}
	for _, s := range n.Signatures {
		if !have[s.String()] {
			info.Signatures = append(slices.Clone(info.Signatures), s)
		}
	}
	return info
}

// settle drops what would be published without all that it refers to.
func (p *planner) settle() {
	for changed := true; changed; {
		changed = false
		for path, m := range p.mend {
			for _, r := range m.info.References {
				if r == path || p.mend[r] != nil || p.there(r) || p.left(r) {
					continue
				}
				delete(p.mend, path)
				if m.id != census.NoPath {
					p.lost[m.id] = fmt.Sprintf("it refers to %s, which no store has", r)
				}
				changed = true
				break
			}
		}
	}
}

// order makes the plan of what was found: what cannot be mended goes, and with
// it what refers to it.
func (p *planner) order() (*Plan, error) {
	plan := new(Plan)
	var infos []nix.PathInfo
	for path, m := range p.mend {
		if m.source == nil {
			plan.Mend = append(plan.Mend, *m)
			continue
		}
		info := m.info
		info.Path = path
		infos = append(infos, info)
	}
	slices.SortFunc(plan.Mend, func(a, b Mending) int { return strings.Compare(string(a.Path), string(b.Path)) })
	infos, err := nix.TopoSort(infos)
	if err != nil {
		return nil, err
	}
	for _, info := range infos {
		plan.Mend = append(plan.Mend, *p.mend[info.Path])
	}
	mended := make(map[census.ID]bool)
	for _, m := range p.mend {
		mended[m.id] = true
	}
	plan.lost = p.lost
	plan.Withdraw = withdrawals(p.c, p.lost, mended)
	return plan, nil
}

// withdrawals are the narinfos of the lost paths and of all that refers to
// them, but for those that are mended; referrers first.
func withdrawals(c *census.Census, lost map[census.ID]string, mended map[census.ID]bool) []Withdrawal {
	referrers := make(map[census.ID][]census.ID)
	for i := range c.Paths {
		if !c.Paths[i].Good() || mended[census.ID(i)] {
			continue
		}
		for _, r := range c.Paths[i].References {
			referrers[r] = append(referrers[r], census.ID(i))
		}
	}
	why := make(map[census.ID]string)
	var order []census.ID
	var visit func(id census.ID, reason string)
	visit = func(id census.ID, reason string) {
		if _, seen := why[id]; seen {
			return
		}
		why[id] = reason
		for _, r := range referrers[id] {
			visit(r, fmt.Sprintf("it refers to %s", &c.Paths[id]))
		}
		order = append(order, id) // after all that refers to it
	}
	ids := make([]census.ID, 0, len(lost))
	for id := range lost {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		visit(id, lost[id])
	}
	var all []Withdrawal
	for _, id := range order {
		p := &c.Paths[id]
		if reason, own := lost[id]; own {
			why[id] = reason
		}
		if p.Listed {
			all = append(all, Withdrawal{Key: p.Key(), Path: p.Path, Why: why[id]})
		}
	}
	return all
}

// goods is the cache.Source of what is mended.
type goods struct {
	infos []nix.PathInfo // references first
	from  map[nix.StorePath]Source
}

var _ cache.Source = (*goods)(nil)

func (g *goods) Closure(context.Context, ...nix.StorePath) ([]nix.PathInfo, error) {
	return g.infos, nil
}

func (g *goods) OpenNAR(ctx context.Context, p nix.PathInfo) (io.ReadCloser, error) {
	return g.from[p.Path].OpenNAR(ctx, p)
}
