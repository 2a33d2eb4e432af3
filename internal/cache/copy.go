package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Copy makes the closures of roots present in dst. It plans the union once,
// sends NARs from the first that is known to be missing, the largest first, and
// publishes each path as soon as all that it refers to is published, so that a
// visible path always has its whole closure.
//
// A path that cannot be read fails alone, with what refers to it; the rest is
// still sent, and the error says what failed. An error of the sink stops the
// copy. Either way dst is consistent, and copying again does the rest. The
// Result is valid also when there is an error, once the closure is known.
func Copy(ctx context.Context, dst Sink, src Source, roots []nix.StorePath, o Options) (Result, error) {
	started := time.Now()
	trust := traitsOf(dst).ClosureComplete && !o.Verify
	holder, _ := dst.(Holder)
	if o.DryRun {
		holder = nil
	}
	var closure []nix.PathInfo
	read := make(chan error, 1)
	go func() {
		var err error
		closure, err = src.Closure(ctx, roots...)
		read <- err
	}()
	var (
		there   bool
		missing []nix.PathInfo
		lookErr error
	)
	if holder != nil && o.Momentary && trust {
		there, missing, lookErr = glance(ctx, dst, roots)
	}
	if err := <-read; err != nil {
		return Result{}, err
	}
	r := Result{Outcomes: outcomes(closure, nil, Pending)}
	if lookErr != nil {
		return r, lookErr
	}
	pl := newPlanner(dst, closure, roots, trust)
	pl.take(there, missing)
	if there {
		r.planned(pl, started, Pending, o.Progress)
		return r, nil
	}
	if holder != nil {
		stop, err := holder.Hold(ctx, closure)
		if err != nil {
			return r, err
		}
		defer stop()
		// Before asking what is there, not at the same time: a deletion could
		// begin before the hold, take what was found, and be over when it is
		// asked for.
		if err := holder.Settle(ctx); err != nil {
			return r, err
		}
	}
	if o.DryRun {
		if err := pl.plan(ctx); err != nil {
			return r, err
		}
		r.planned(pl, started, Send, o.Progress)
		return r, nil
	}
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	s := newSchedule(dst, src, o.Progress)
	pl.found = s.offer
	err := s.run(ctx, func(ctx context.Context) ([]Outcome, error) {
		if err := pl.plan(ctx); err != nil {
			return nil, err
		}
		r.planned(pl, started, Pending, o.Progress)
		return r.Outcomes, nil
	})
	if err != nil {
		return r, err
	}
	if o.Progress.TotalPaths.Load() > 0 {
		if err := confirm(ctx, dst, r.Outcomes, o.Verify); err != nil {
			return r, err
		}
	}
	return r, held(holder)
}

// planned notes what a finished plan found; action is for what is to be sent.
func (r *Result) planned(pl *planner, started time.Time, action Action, p *Progress) {
	r.Outcomes = outcomes(pl.closure, pl.present, action)
	r.PlanTime = time.Since(started)
	if p == nil {
		return
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
}

func held(h Holder) error {
	if h == nil {
		return nil
	}
	return h.Held()
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
