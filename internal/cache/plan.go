package cache

import (
	"context"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// planner finds what a sink has of a closure, and what its readers get from
// elsewhere.
type planner struct {
	dst     Sink
	closure []nix.PathInfo
	roots   []nix.StorePath
	trust   bool                         // a path that is there vouches for its closure
	found   func(missing []nix.PathInfo) // if not nil, is told at once what is to be sent

	index   map[nix.StorePath]int
	present map[nix.StorePath]string // what need not be sent, and why
	asked   map[nix.StorePath]bool
	absent  map[nix.StorePath]bool // those of asked that dst does not have
}

func newPlanner(dst Sink, closure []nix.PathInfo, roots []nix.StorePath, trust bool) *planner {
	pl := &planner{dst: dst, closure: closure, roots: roots, trust: trust}
	pl.index = make(map[nix.StorePath]int, len(closure))
	for i, p := range closure {
		pl.index[p.Path] = i
	}
	pl.reset()
	return pl
}

func (pl *planner) reset() {
	pl.present = make(map[nix.StorePath]string, len(pl.closure))
	pl.asked = make(map[nix.StorePath]bool, len(pl.closure))
	pl.absent = make(map[nix.StorePath]bool, len(pl.closure))
}

// glance asks for the roots before anything is held. If all of them are there,
// with all that they refer to, that was so at one moment, which is all that can
// be said of a cache when nothing holds it. If not, nothing of it counts but
// that what was missing is missing: sending that is right whatever happens
// meanwhile.
func glance(ctx context.Context, dst Sink, roots []nix.StorePath) (there bool, missing []nix.PathInfo, err error) {
	ask := make([]nix.PathInfo, len(roots))
	for i, r := range roots {
		ask[i].Path = r
	}
	missing, err = dst.Missing(ctx, ask)
	if err != nil || len(missing) > 0 {
		return false, missing, err
	}
	there, err = vouched(ctx, dst)
	return there, nil, err
}

// vouched says whether a path that was found in dst has its closure there.
func vouched(ctx context.Context, dst Sink) (bool, error) {
	if v, ok := dst.(voucher); ok {
		return v.Vouches(ctx)
	}
	return true, nil
}

// take takes over what a glance found.
func (pl *planner) take(there bool, missing []nix.PathInfo) {
	for _, p := range missing {
		pl.asked[p.Path], pl.absent[p.Path] = true, true
	}
	if !there {
		return
	}
	for _, r := range pl.roots {
		pl.present[r] = Present
	}
	for _, r := range pl.roots {
		pl.imply(pl.closure[pl.index[r]])
	}
}

// plan fills present. If a present path vouches for its closure it asks for the
// roots, then for what the missing ones refer to, and so on down, in as few and
// as wide batches as that allows. Otherwise it asks for all at once.
func (pl *planner) plan(ctx context.Context) error {
	if !pl.trust {
		return pl.all(ctx)
	}
	if err := pl.down(ctx); err != nil || !pl.implied() {
		return err
	}
	// What was found may be of a push that left paths out.
	if still, err := vouched(ctx, pl.dst); err != nil || still {
		return err
	}
	pl.reset()
	return pl.all(ctx)
}

func (pl *planner) all(ctx context.Context) error {
	_, _, err := pl.ask(ctx, pl.closure)
	return err
}

func (pl *planner) down(ctx context.Context) error {
	// The roots are asked for alone: if they are there that is all.
	wave, width := pl.roots, 0
	lookups := traitsOf(pl.dst).Lookups
	if len(pl.absent) > 0 { // a glance has
		width = lookups
		var known []nix.PathInfo
		for _, r := range pl.roots {
			if pl.absent[r] {
				p := pl.closure[pl.index[r]]
				known = append(known, p)
				wave = append(wave[:len(wave):len(wave)], p.References...)
			}
		}
		known, _, err := pl.except(ctx, known)
		if err != nil {
			return err
		}
		pl.tell(known)
	}
	for ; len(wave) > 0; width = lookups {
		ps := pl.batch(wave, width)
		if len(ps) == 0 {
			return nil
		}
		missing, upstream, err := pl.ask(ctx, ps)
		if err != nil {
			return err
		}
		wave = nil
		for _, p := range missing {
			wave = append(wave, p.References...)
		}
		// Whether what these refer to is elsewhere too is for dst to say.
		for _, p := range upstream {
			wave = append(wave, p.References...)
		}
	}
	return nil
}

// batch is what of a wave is not known, and enough of what that refers to, the
// nearest first, that its last round of width requests is a full one: those
// cost no time, and where the wave turns out to be missing they are next.
func (pl *planner) batch(wave []nix.StorePath, width int) (ps []nix.PathInfo) {
	add := func(paths []nix.StorePath, full func() bool) {
		for _, path := range paths {
			if full() {
				return
			}
			if _, done := pl.present[path]; !done && !pl.asked[path] {
				pl.asked[path] = true
				ps = append(ps, pl.closure[pl.index[path]])
			}
		}
	}
	add(wave, func() bool { return false })
	if width > 0 {
		goal := (len(ps) + width - 1) / width * width
		for i := 0; i < len(ps) && len(ps) < goal; i++ {
			add(ps[i].References, func() bool { return len(ps) == goal })
		}
	}
	return ps
}

// ask finds out about ps, and notes it.
func (pl *planner) ask(ctx context.Context, ps []nix.PathInfo) (missing, upstream []nix.PathInfo, err error) {
	ps, upstream, err = pl.except(ctx, ps)
	if err != nil {
		return nil, nil, err
	}
	if missing, err = pl.dst.Missing(ctx, ps); err != nil {
		return nil, nil, err
	}
	for _, p := range missing {
		pl.absent[p.Path] = true
	}
	there := pl.mark(ps)
	if pl.trust {
		for _, p := range there {
			pl.imply(p)
		}
	}
	pl.tell(missing)
	return missing, upstream, nil
}

func (pl *planner) tell(missing []nix.PathInfo) {
	if pl.found != nil && len(missing) > 0 {
		pl.found(missing)
	}
}

// except notes which of ps the readers of dst get from elsewhere, and returns
// the others and those.
func (pl *planner) except(ctx context.Context, ps []nix.PathInfo) (rest, upstream []nix.PathInfo, err error) {
	e, ok := pl.dst.(elsewhere)
	if !ok || len(ps) == 0 {
		return ps, nil, nil
	}
	if upstream, err = e.Elsewhere(ctx, ps); err != nil || len(upstream) == 0 {
		return ps, nil, err
	}
	for _, p := range upstream {
		pl.present[p.Path] = Upstream
	}
	for _, p := range ps {
		if pl.present[p.Path] != Upstream {
			rest = append(rest, p)
		}
	}
	return rest, upstream, nil
}

// mark notes which of asked are there, and returns those.
func (pl *planner) mark(asked []nix.PathInfo) (there []nix.PathInfo) {
	for _, p := range asked {
		if !pl.absent[p.Path] {
			pl.present[p.Path] = Present
			there = append(there, p)
		}
	}
	return there
}

// imply notes that what a present path refers to is there.
func (pl *planner) imply(p nix.PathInfo) {
	stack := []nix.PathInfo{p}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, r := range p.References {
			// What was asked for and is not there is missing, whoever refers
			// to it. The cache is damaged, or two different builds meet;
			// sending it is right in either case.
			if _, done := pl.present[r]; !done && !pl.absent[r] {
				pl.present[r] = Implied
				stack = append(stack, pl.closure[pl.index[r]])
			}
		}
	}
}

func (pl *planner) implied() bool {
	for _, reason := range pl.present {
		if reason == Implied {
			return true
		}
	}
	return false
}
