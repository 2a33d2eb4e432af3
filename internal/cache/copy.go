package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Copy makes the closures of roots present in dst. It plans the union once,
// then sends NARs largest first and publishes each path as soon as all that it
// refers to is published, so that a visible path always has its whole closure.
//
// A path that cannot be read fails alone, with what refers to it; the rest is
// still sent, and the error says what failed. An error of the sink stops the
// copy. Either way dst is consistent, and copying again does the rest. The
// Result is valid also when there is an error, once the closure is known.
func Copy(ctx context.Context, dst Sink, src Source, roots []nix.StorePath, o Options) (Result, error) {
	started := time.Now()
	closure, err := src.Closure(ctx, roots...)
	if err != nil {
		return Result{}, err
	}
	traits := traitsOf(dst)
	holder, _ := dst.(Holder)
	if o.DryRun {
		holder = nil
	}
	if holder != nil {
		stop, err := holder.Hold(ctx, closure)
		if err != nil {
			return Result{Outcomes: outcomes(closure, nil, Pending)}, err
		}
		defer stop()
		// Before asking what is there, not at the same time: a deletion could
		// begin before the hold, take what was found, and be over when it is
		// asked for.
		if err := holder.Settle(ctx); err != nil {
			return Result{Outcomes: outcomes(closure, nil, Pending)}, err
		}
	}
	presence, err := plan(ctx, dst, closure, roots, traits.ClosureComplete && !o.Verify)
	if err == nil && implies(presence) {
		presence, err = replan(ctx, dst, closure, roots, presence)
	}
	if err != nil {
		return Result{Outcomes: outcomes(closure, nil, Pending)}, err
	}
	action := Pending
	if o.DryRun {
		action = Send
	}
	r := Result{Outcomes: outcomes(closure, presence, action), PlanTime: time.Since(started)}
	p := o.Progress
	if p == nil {
		p = new(Progress)
	}
	for _, out := range r.Outcomes {
		if out.Action == Skipped {
			p.Skipped.Add(1)
			continue
		}
		p.TotalPaths.Add(1)
		p.TotalBytes.Add(out.Info.NARSize)
	}
	p.Planned.Store(true)
	if o.DryRun || p.TotalPaths.Load() == 0 {
		return r, held(holder)
	}
	if err := newSchedule(dst, src, traits, p, r.Outcomes).run(ctx); err != nil {
		return r, err
	}
	if err := confirm(ctx, dst, r.Outcomes, o.Verify); err != nil {
		return r, err
	}
	return r, held(holder)
}

// replan makes a plan again, without trust, if a present path no longer vouches
// for its closure: what was found may be of a push that left paths out.
func replan(ctx context.Context, dst Sink, closure []nix.PathInfo, roots []nix.StorePath, presence map[nix.StorePath]string) (map[nix.StorePath]string, error) {
	v, ok := dst.(voucher)
	if !ok {
		return presence, nil
	}
	if still, err := v.Vouches(ctx); err != nil || still {
		return presence, err
	}
	return plan(ctx, dst, closure, roots, false)
}

func implies(presence map[nix.StorePath]string) bool {
	for _, reason := range presence {
		if reason == Implied {
			return true
		}
	}
	return false
}

func held(h Holder) error {
	if h == nil {
		return nil
	}
	return h.Held()
}

// plan finds what dst has, and what its readers get from elsewhere. If a present
// path vouches for its closure it asks for the roots, then for what the missing
// ones refer to, and so on down, in as few and as wide batches as that allows.
// Otherwise it asks for all at once.
func plan(ctx context.Context, dst Sink, closure []nix.PathInfo, roots []nix.StorePath, trust bool) (map[nix.StorePath]string, error) {
	present := make(map[nix.StorePath]string, len(closure))
	if !trust {
		ask, _, err := except(ctx, dst, present, closure)
		if err != nil {
			return nil, err
		}
		missing, err := dst.Missing(ctx, ask)
		if err != nil {
			return nil, err
		}
		mark(present, ask, missing)
		return present, nil
	}
	index := make(map[nix.StorePath]int, len(closure))
	for i, p := range closure {
		index[p.Path] = i
	}
	asked := make(map[nix.StorePath]bool, len(closure))
	absent := make(map[nix.StorePath]bool, len(closure)) // those of asked that dst does not have
	imply := func(p nix.PathInfo) {
		stack := []nix.PathInfo{p}
		for len(stack) > 0 {
			p := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			for _, r := range p.References {
				// What was asked for and is not there is missing, whoever
				// refers to it. The cache is damaged, or two different builds
				// meet; sending it is right in either case.
				if _, done := present[r]; !done && !absent[r] {
					present[r] = Implied
					stack = append(stack, closure[index[r]])
				}
			}
		}
	}
	// batch is what of a wave is not known, and enough of what that refers to,
	// the nearest first, that its last round of requests is a full one: those
	// cost no time, and where the wave turns out to be missing they are next.
	batch := func(wave []nix.StorePath, width int) (ps []nix.PathInfo) {
		add := func(paths []nix.StorePath, full func() bool) {
			for _, path := range paths {
				if full() {
					return
				}
				if _, done := present[path]; !done && !asked[path] {
					asked[path] = true
					ps = append(ps, closure[index[path]])
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
	// The roots are asked for alone: if they are there that is all.
	for wave, width := roots, 0; len(wave) > 0; width = traitsOf(dst).Lookups {
		ps := batch(wave, width)
		if len(ps) == 0 {
			break
		}
		ask, upstream, err := except(ctx, dst, present, ps)
		if err != nil {
			return nil, err
		}
		missing, err := dst.Missing(ctx, ask)
		if err != nil {
			return nil, err
		}
		wave = nil
		for _, p := range missing {
			absent[p.Path] = true
			wave = append(wave, p.References...)
		}
		for _, p := range mark(present, ask, missing) {
			imply(p)
		}
		// Whether what these refer to is elsewhere too is for dst to say.
		for _, p := range upstream {
			wave = append(wave, p.References...)
		}
	}
	return present, nil
}

// except notes which of ps the readers of dst get from elsewhere, and returns
// the others and those.
func except(ctx context.Context, dst Sink, present map[nix.StorePath]string, ps []nix.PathInfo) (rest, upstream []nix.PathInfo, err error) {
	e, ok := dst.(elsewhere)
	if !ok || len(ps) == 0 {
		return ps, nil, nil
	}
	if upstream, err = e.Elsewhere(ctx, ps); err != nil || len(upstream) == 0 {
		return ps, nil, err
	}
	for _, p := range upstream {
		present[p.Path] = Upstream
	}
	for _, p := range ps {
		if present[p.Path] != Upstream {
			rest = append(rest, p)
		}
	}
	return rest, upstream, nil
}

// mark notes which of asked are not missing, and returns those.
func mark(present map[nix.StorePath]string, asked, missing []nix.PathInfo) []nix.PathInfo {
	absent := make(map[nix.StorePath]bool, len(missing))
	for _, p := range missing {
		absent[p.Path] = true
	}
	var there []nix.PathInfo
	for _, p := range asked {
		if !absent[p.Path] {
			present[p.Path] = Present
			there = append(there, p)
		}
	}
	return there
}

func outcomes(closure []nix.PathInfo, presence map[nix.StorePath]string, otherwise Action) []Outcome {
	out := make([]Outcome, len(closure))
	for i, p := range closure {
		out[i] = Outcome{Info: p, Action: otherwise}
		if reason, ok := presence[p.Path]; ok {
			out[i].Action, out[i].Reason = Skipped, reason
		}
	}
	return out
}

// confirm asks again for what was skipped because it was there: while NARs
// went up somebody else's collector may have removed it. With verify it asks
// for everything that is to be there.
func confirm(ctx context.Context, dst Sink, outs []Outcome, verify bool) error {
	var ask []nix.PathInfo
	for _, o := range outs {
		if (verify || o.Reason == Present) && o.Reason != Upstream {
			ask = append(ask, o.Info)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	gone, err := dst.Missing(ctx, ask)
	if err != nil {
		return fmt.Errorf("ask the cache again for what was there: %w", err)
	}
	if len(gone) > 0 {
		return &GoneError{Paths: gone}
	}
	return nil
}

// sinkSide says that err stops the whole copy and not just one path.
func sinkSide(err error) bool {
	var pe *PathError
	return !errors.As(err, &pe) || pe.Side != "source"
}
