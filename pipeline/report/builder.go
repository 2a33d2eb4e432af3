package report

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// The steps of a host's way, and the order in which they are taken.
const (
	StepEvaluate = "evaluate"
	StepBuild    = "build"
	StepPush     = "push"
)

// Builder collects a run as it happens. Its methods may be called
// concurrently. Text that they are given is cleaned: valid UTF-8, no escape
// sequences or control characters, logs cut to their last 200 lines.
type Builder struct {
	// Steps are those that every host must pass for the run to pass, in their
	// order; nil means evaluate, build, push, and empty means that only
	// checks are wanted. To be set before the first call.
	Steps []string
	// Clock tells the time; nil means time.Now. To be set before the first
	// call.
	Clock func() time.Time

	mu          sync.Mutex
	run         Run
	checks      map[checkKey]*Check
	checking    map[checkKey]time.Time // checks under way
	hosts       map[string]*hostState
	push        *Push
	interrupted bool
	final       *Report

	doing  map[activityKey]*activityState
	done   []Activity
	origin map[string]string // by store path

	paths []Path // the shared table, in step with the hosts' closures
	dirty bool   // paths and the members are to be made again
}

type checkKey struct{ name, host string }

// hostState is a host so far. Its Host holds neither Status nor Steps.
type hostState struct {
	Host
	steps   []stepState
	closure []Path // sorted by path; nil while unknown
}

// stepState is a step so far; Status is empty while it is under way.
type stepState struct {
	Step
	began time.Time // as the clock gave it, so that a monotonic reading stays
}

// NewBuilder starts the record of a run over the hosts that are wanted, of
// which Name, Description and System are taken. A zero run.Started means now
// by the machine's clock.
func NewBuilder(run Run, hosts ...Host) *Builder {
	if run.Started.IsZero() {
		run.Started = time.Now()
	}
	b := &Builder{
		run:      run,
		checks:   map[checkKey]*Check{},
		checking: map[checkKey]time.Time{},
		hosts:    map[string]*hostState{},
	}
	for _, h := range hosts {
		s := b.host(h.Name)
		s.Description, s.System = clean(h.Description), clean(h.System)
	}
	return b
}

// EditRun changes facts of the run that are learned on the way.
func (b *Builder) EditRun(edit func(*Run)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	edit(&b.run)
}

// RunError records what stopped the run as a whole; the first one stays. A
// run with an error has not passed.
func (b *Builder) RunError(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.run.Error == "" {
		b.run.Error = cmp.Or(clean(err.Error()), "unknown error")
	}
}

// Interrupt records that the run was cancelled: what is under way or still
// to come is interrupted, and so is the run.
func (b *Builder) Interrupt(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupted = true
	if b.run.Error == "" {
		b.run.Error = clean(reason)
	}
}

// StartStep records that a host's step begins now. A step that is started
// again replaces its earlier self. A host that NewBuilder was not given is
// added.
func (b *Builder) StartStep(host, step string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	*b.host(host).step(clean(step)) = stepState{Step: Step{Name: clean(step), Started: now}, began: now}
}

// EndStep records the outcome of a host's step, now. Anything but a Status
// counts as Failed. A step that was never started took no time.
func (b *Builder) EndStep(host, step string, status Status, detail string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endStep(b.host(host), clean(step), status, detail)
}

func (b *Builder) endStep(h *hostState, step string, status Status, detail string) {
	s := h.step(step)
	now := b.now()
	if s.began.IsZero() {
		s.began, s.Started = now, now
	}
	s.Status = known(status)
	s.Seconds = since(s.began, now)
	s.Detail = clean(detail)
}

// Fail records what broke a host, and ends the step f.Step as failed. The
// first failure of a host stays, as later ones follow from it; one of the same
// step adds what the first did not say.
func (b *Builder) Fail(host string, f Failure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.host(host)
	f.Step = cmp.Or(clean(f.Step), "unknown")
	if s := h.step(f.Step); s.Status != Failed {
		b.endStep(h, f.Step, Failed, s.Detail)
	}
	h.fail(f)
}

func (h *hostState) fail(f Failure) {
	f.Message = cmp.Or(clean(f.Message), "no reason was given")
	f.DrvPath, f.Command = clean(f.DrvPath), clean(f.Command)
	f.LogTail = cleanLog(f.LogTail)
	switch first := h.Failure; {
	case first == nil:
		h.Failure = &f
	case first.Step == f.Step:
		first.DrvPath = cmp.Or(first.DrvPath, f.DrvPath)
		first.Command = cmp.Or(first.Command, f.Command)
		if len(first.LogTail) == 0 {
			first.LogTail = f.LogTail
		}
	}
}

// SetDrvPath records the derivation that a host's toplevel evaluates to.
func (b *Builder) SetDrvPath(host, drvPath string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.host(host).DrvPath = clean(drvPath)
}

// SetToplevel records the store path of a host's toplevel.
func (b *Builder) SetToplevel(host, path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.host(host).Toplevel = clean(path)
}

// StartCheck records that a check of a host, or of the fleet where host is
// empty, begins now.
func (b *Builder) StartCheck(name, host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := checkKey{clean(name), clean(host)}
	b.checking[k] = b.now()
	delete(b.checks, k)
}

// Check records the outcome of a check. Zero Seconds are filled in if its
// start was recorded.
func (b *Builder) Check(c Check) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.Name, c.Host, c.Detail = clean(c.Name), clean(c.Host), clean(c.Detail)
	c.Status = known(c.Status)
	c.Log = cleanLog(c.Log)
	var counts map[string]int
	for _, word := range slices.Sorted(maps.Keys(c.Counts)) {
		if n := c.Counts[word]; n >= 0 {
			if counts == nil {
				counts = map[string]int{}
			}
			counts[clean(word)] = n
		}
	}
	c.Counts = counts
	k := checkKey{c.Name, c.Host}
	c.Started = instant(c.Started)
	if began, ok := b.checking[k]; ok {
		if c.Started.IsZero() {
			c.Started = instant(began)
		}
		if c.Seconds == 0 {
			c.Seconds = since(began, b.now())
		}
	}
	c.Seconds = milliseconds(c.Seconds)
	delete(b.checking, k)
	b.checks[k] = &c
}

// Snapshot is the report as if the run had been killed now: valid, with what
// is under way or to come interrupted. After Finish it is what Finish
// returned. The report shares nothing with the Builder.
func (b *Builder) Snapshot() Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.final != nil {
		return b.final.clone()
	}
	r := b.report(b.now(), true)
	r.Run.Unfinished = true
	return r
}

// Finish ends the record and returns the report. Steps and checks that are
// still under way are interrupted. What is recorded later is ignored, and
// calling it again returns the same.
func (b *Builder) Finish(now time.Time) Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.final == nil {
		r := b.report(now, b.interrupted)
		b.final = &r
	}
	return b.final.clone()
}

func (b *Builder) host(name string) *hostState {
	name = cmp.Or(clean(name), "unnamed")
	h := b.hosts[name]
	if h == nil {
		h = &hostState{Host: Host{Name: name}}
		b.hosts[name] = h
	}
	return h
}

func (h *hostState) step(name string) *stepState {
	for i := range h.steps {
		if h.steps[i].Name == name {
			return &h.steps[i]
		}
	}
	h.steps = append(h.steps, stepState{Step: Step{Name: name}})
	return &h.steps[len(h.steps)-1]
}

func (b *Builder) now() time.Time {
	if b.Clock != nil {
		return b.Clock()
	}
	return time.Now()
}

func (r *Run) clean() {
	for _, s := range []*string{&r.Fleet, &r.Inputs, &r.InputsNote, &r.Release, &r.Commit, &r.NixVersion, &r.Error} {
		*s = clean(*s)
	}
	r.Engine = clean(r.Engine)
	r.Cache = withoutCredentials(clean(r.Cache))
	r.Locked = slices.Clone(r.Locked)
	for i := range r.Locked {
		l := &r.Locked[i]
		l.Name, l.Source, l.Revision = clean(l.Name), withoutCredentials(clean(l.Source)), clean(l.Revision)
		l.Modified = instant(l.Modified)
	}
	slices.SortFunc(r.Locked, func(x, y LockedInput) int { return cmp.Compare(x.Name, y.Name) })
}

// withoutCredentials takes user and password out of an address, however
// malformed the rest of it is.
func withoutCredentials(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	authority := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = i
	}
	at := strings.LastIndexByte(rest[:authority], '@')
	return scheme + "://" + rest[at+1:]
}

func known(s Status) Status {
	if validStatus("", s) != nil {
		return Failed
	}
	return s
}

func since(began, now time.Time) float64 {
	return milliseconds(now.Sub(began).Seconds())
}

// milliseconds rounds seconds, and makes zero of what is no duration.
func milliseconds(s float64) float64 {
	if validSeconds("", s) != nil {
		return 0
	}
	return math.Round(s*1000) / 1000
}

// instant is t as reports give it: UTC, to the millisecond. A step that was
// never started has none.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}
