package report

import (
	"cmp"
	"slices"
	"time"
)

// Kinds of Activity.
const (
	ActivityBuild = "build"
	ActivityFetch = "fetch"
)

// Where a path of a closure comes from, see Path.Origin.
const (
	OriginBuilt   = "built"
	OriginFetched = "fetched"
)

// maxActivities bounds how many activities a report lists. The longest ones
// stay; Work counts all.
const maxActivities = 2000

// activityKey is what distinguishes activities under way: hosts that share a
// store may wait for the same derivation.
type activityKey struct{ host, kind, path string }

// activityState is an activity so far; Status is empty while it is under way.
type activityState struct {
	Activity
	began time.Time
}

// StartActivity records that Nix begins to build the derivation path, or to
// fetch the store path, for a host; from is the machine or substituter, if
// Nix named one. Anything but a store path is ignored: builders can put
// activities of their own making into the log.
func (b *Builder) StartActivity(host, kind, path, from string) {
	if validStorePath("", path) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	k := activityKey{clean(host), clean(kind), path}
	if b.doing == nil {
		b.doing = map[activityKey]*activityState{}
	}
	b.doing[k] = &activityState{began: now, Activity: Activity{
		Kind: k.kind, Host: k.host, Path: path, From: withoutCredentials(clean(from)), Started: instant(now),
	}}
}

// EndActivity records that an activity ended now. Ending it as Failed once
// more after it ended changes its outcome only: Nix may say that a builder
// failed after it said that it ended. One that never started is ignored.
func (b *Builder) EndActivity(host, kind, path string, status Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := activityKey{clean(host), clean(kind), path}
	a := b.doing[k]
	if a == nil {
		b.failActivity(k, status)
		return
	}
	delete(b.doing, k)
	a.Status, a.Seconds = known(status), since(a.began, b.now())
	w := b.work(k.host)
	switch {
	case a.Status != Passed:
	case k.kind == ActivityBuild:
		w.Built++
	case k.kind == ActivityFetch:
		w.Fetched++
		b.setOrigin(path, OriginFetched)
	}
	b.done = append(b.done, a.Activity)
	if len(b.done) >= 2*maxActivities {
		b.done = longest(b.done)
	}
}

func (b *Builder) failActivity(k activityKey, status Status) {
	if status != Failed {
		return
	}
	for i := len(b.done) - 1; i >= 0; i-- {
		if a := &b.done[i]; a.Path == k.path && a.Kind == k.kind && a.Host == k.host {
			if a.Status == Passed && k.kind == ActivityBuild {
				b.work(k.host).Built--
			}
			a.Status = Failed
			return
		}
	}
}

// FetchedBytes records how many bytes of NARs were fetched for a host so far,
// and that its build began.
func (b *Builder) FetchedBytes(host string, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if validSize("", bytes) == nil {
		b.work(clean(host)).FetchedBytes = bytes
	}
}

// Built records store paths that were made by this run's builds.
func (b *Builder) Built(paths []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range paths {
		b.setOrigin(p, OriginBuilt)
	}
}

func (b *Builder) setOrigin(path, origin string) {
	if b.origin == nil {
		b.origin = map[string]string{}
	}
	if b.origin[path] != OriginBuilt {
		b.origin[path] = origin
	}
	b.dirty = true
}

func (b *Builder) work(host string) *Work {
	h := b.host(host)
	if h.Work == nil {
		h.Work, b.dirty = &Work{}, true
	}
	return h.Work
}

// activities lists what Nix did, what is under way as interrupted.
func (b *Builder) activities(now time.Time) []Activity {
	list := slices.Clone(b.done)
	for _, a := range b.doing {
		c := a.Activity
		c.Status, c.Seconds = Interrupted, since(a.began, now)
		list = append(list, c)
	}
	list = longest(list)
	slices.SortFunc(list, func(x, y Activity) int {
		return cmp.Or(x.Started.Compare(y.Started), cmp.Compare(x.Host, y.Host), cmp.Compare(x.Path, y.Path), cmp.Compare(x.Kind, y.Kind))
	})
	return list
}

// longest keeps the activities that did not pass and the longest of the others.
func longest(list []Activity) []Activity {
	if len(list) <= maxActivities {
		return list
	}
	slices.SortStableFunc(list, func(x, y Activity) int {
		weight := func(a Activity) float64 {
			if a.Status != Passed {
				return maxSeconds + a.Seconds
			}
			return a.Seconds
		}
		return cmp.Compare(weight(y), weight(x))
	})
	return list[:maxActivities]
}

func (a Activity) validate(what string) error {
	if err := validStatus(what, a.Status); err != nil {
		return err
	}
	if err := validStorePath(what, a.Path); err != nil {
		return err
	}
	return validSeconds(what, a.Seconds)
}
