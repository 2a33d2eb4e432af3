package report

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// report makes the report of now; cut says that the run ends before its time.
func (b *Builder) report(now time.Time, cut bool) Report {
	r := Report{Schema: Schema, Run: b.run, Paths: b.table()}
	r.Run.Seconds = since(b.run.Started, now)
	r.Run.Started = instant(b.run.Started)
	r.Run.clean()
	for _, c := range b.checks {
		r.Checks = append(r.Checks, *c)
	}
	for k, began := range b.checking {
		r.Checks = append(r.Checks, Check{Name: k.name, Host: k.host, Status: Interrupted, Started: instant(began), Seconds: since(began, now)})
	}
	slices.SortFunc(r.Checks, orderChecks)
	for _, h := range b.hosts {
		r.Hosts = append(r.Hosts, b.hostReport(h, r.Checks, now, cut))
	}
	slices.SortFunc(r.Hosts, func(x, y Host) int { return cmp.Compare(x.Name, y.Name) })
	r.Push = b.push
	r.Activities = b.activities(now)
	r.Status = b.status(&r, cut)
	r = r.clone()
	r.fillEmpty()
	return r
}

func (b *Builder) hostReport(s *hostState, checks []Check, now time.Time, cut bool) Host {
	h := s.Host
	for _, name := range b.wanted() {
		if !slices.ContainsFunc(s.steps, func(st stepState) bool { return st.Name == name }) {
			h.Steps = append(h.Steps, Step{Name: name, Status: Skipped})
		}
	}
	for _, st := range s.steps {
		if st.Status == "" {
			st.Status, st.Seconds = Interrupted, since(st.began, now)
		}
		st.Started = instant(st.Started)
		h.Steps = append(h.Steps, st.Step)
	}
	slices.SortStableFunc(h.Steps, b.orderSteps)
	h.Status = b.hostStatus(&h, checks, cut)
	return h
}

// hostStatus judges a host by its steps and by the checks of it.
func (b *Builder) hostStatus(h *Host, checks []Check, cut bool) Status {
	var n struct{ passed, failed, skipped, interrupted int }
	tally := func(s Status) {
		switch s {
		case Passed:
			n.passed++
		case Failed:
			n.failed++
		case Skipped:
			n.skipped++
		case Interrupted:
			n.interrupted++
		}
	}
	for _, s := range h.Steps {
		tally(s.Status)
	}
	for _, c := range checks {
		if c.Host == h.Name && c.Status != Skipped {
			tally(c.Status)
		}
	}
	switch {
	case n.failed > 0 || h.Failure != nil:
		return Failed
	case n.interrupted > 0:
		return Interrupted
	case n.skipped == 0 && n.passed > 0:
		return Passed
	case cut:
		return Interrupted
	default:
		return Skipped
	}
}

// status is the verdict on the run: interrupted if it was cut short, failed
// if anything failed or was left out, passed only if all was done.
func (b *Builder) status(r *Report, cut bool) Status {
	if cut {
		return Interrupted
	}
	worst := Passed
	worsen := func(s Status) {
		switch {
		case s == Interrupted && worst == Passed:
			worst = Interrupted
		case s == Failed || s == Skipped:
			worst = Failed
		}
	}
	if r.Run.Error != "" {
		worsen(Failed)
	}
	for _, c := range r.Checks {
		if c.Status != Skipped {
			worsen(c.Status)
		}
	}
	for _, h := range r.Hosts {
		worsen(h.Status)
	}
	if r.Push != nil {
		worsen(r.Push.Status)
	} else if len(r.Hosts) > 0 && slices.Contains(b.wanted(), StepPush) {
		worsen(Skipped)
	}
	return worst
}

func (b *Builder) wanted() []string {
	if b.Steps == nil {
		return []string{StepEvaluate, StepBuild, StepPush}
	}
	return b.Steps
}

// orderSteps puts the wanted steps first, in their order, then others as they
// were started.
func (b *Builder) orderSteps(x, y Step) int {
	rank := func(s Step) int {
		if i := slices.Index(b.wanted(), s.Name); i >= 0 {
			return i
		}
		return math.MaxInt
	}
	return cmp.Or(cmp.Compare(rank(x), rank(y)), x.Started.Compare(y.Started), cmp.Compare(x.Name, y.Name))
}

// orderChecks puts the pipeline's own checks first, in the order in which
// they make sense, then others by name; each by host.
func orderChecks(x, y Check) int {
	rank := func(c Check) int {
		order := []string{"drift", "syntax", "flake-check", "toplevel", "security", "services", "cis"}
		if i := slices.Index(order, c.Name); i >= 0 {
			return i
		}
		return len(order)
	}
	return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Host, y.Host))
}
