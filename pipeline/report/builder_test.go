package report

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStatus(t *testing.T) {
	pass := func(b *Builder, host string, steps ...string) {
		for _, s := range steps {
			b.StartStep(host, s)
			b.EndStep(host, s, Passed, "")
		}
	}
	push := func(status Status, generation string) func(t *testing.T, b *Builder) {
		return func(t *testing.T, b *Builder) {
			pass(b, "yoga", StepEvaluate, StepBuild)
			c := map[string][]pkg{"yoga": {{"toplevel-1", "1", 10}}}
			b.SetToplevel("yoga", c["yoga"][0].path())
			p := pushOf(c, everything, "yoga")
			p.Status, p.Roots[0].Generation = status, generation
			mustPush(t, b, p)
		}
	}
	for _, tt := range []struct {
		name  string
		steps []string // nil: the default
		do    func(t *testing.T, b *Builder)
		host  Status
		run   Status
	}{
		{"nothing happened", nil, func(*testing.T, *Builder) {}, Skipped, Failed},
		{"built and pushed", nil, push(Passed, "g1"), Passed, Passed},
		{"built, not pushed", nil, func(_ *testing.T, b *Builder) { pass(b, "yoga", StepEvaluate, StepBuild) }, Skipped, Failed},
		{"no push wanted", []string{StepEvaluate, StepBuild}, func(_ *testing.T, b *Builder) { pass(b, "yoga", StepEvaluate, StepBuild) }, Passed, Passed},
		{"push failed", nil, push(Failed, ""), Failed, Failed},
		{"push failed after this host's root", nil, push(Failed, "g1"), Passed, Failed},
		{"push interrupted", nil, push(Interrupted, ""), Interrupted, Interrupted},
		{"push skipped", nil, push(Skipped, ""), Skipped, Failed},
		{"build failed", nil, func(_ *testing.T, b *Builder) {
			pass(b, "yoga", StepEvaluate)
			b.Fail("yoga", Failure{Step: StepBuild, Message: "m"})
		}, Failed, Failed},
		{"an unknown status is a failure", []string{StepBuild}, func(_ *testing.T, b *Builder) {
			b.EndStep("yoga", StepBuild, "fine", "")
		}, Failed, Failed},
		{"a step is still under way", []string{StepBuild}, func(_ *testing.T, b *Builder) { b.StartStep("yoga", StepBuild) }, Interrupted, Interrupted},
		{"the run broke", []string{StepBuild}, func(_ *testing.T, b *Builder) {
			pass(b, "yoga", StepBuild)
			b.RunError(errors.New("no space left on device"))
		}, Passed, Failed},
		{"the run was cancelled", nil, func(_ *testing.T, b *Builder) {
			pass(b, "yoga", StepEvaluate)
			b.Interrupt("signal: interrupt")
		}, Interrupted, Interrupted},
		{"a failure before the run was cancelled", nil, func(_ *testing.T, b *Builder) {
			b.Fail("yoga", Failure{Step: StepBuild})
			b.Interrupt("signal: interrupt")
		}, Failed, Interrupted},
		{"checks only, passed", []string{}, func(_ *testing.T, b *Builder) {
			b.Check(Check{Name: "toplevel", Host: "yoga", Status: Passed})
			b.Check(Check{Name: "services", Host: "yoga", Status: Skipped})
		}, Passed, Passed},
		{"a check of the host failed", []string{}, func(_ *testing.T, b *Builder) {
			b.Check(Check{Name: "toplevel", Host: "yoga", Status: Failed})
		}, Failed, Failed},
		{"a check of the fleet failed", []string{StepBuild}, func(_ *testing.T, b *Builder) {
			pass(b, "yoga", StepBuild)
			b.Check(Check{Name: "drift", Status: Failed})
		}, Passed, Failed},
		{"a check is still under way", []string{StepBuild}, func(_ *testing.T, b *Builder) {
			pass(b, "yoga", StepBuild)
			b.StartCheck("drift", "")
		}, Passed, Interrupted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			b := NewBuilder(Run{Started: c.t}, Host{Name: "yoga"})
			b.Clock, b.Steps = c.now, tt.steps
			tt.do(t, b)
			if s := b.Snapshot(); s.Status != Interrupted || s.Validate() != nil {
				t.Errorf("snapshot: %s, %v", s.Status, s.Validate())
			}
			r := b.Finish(c.t)
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := r.Hosts[0].Status; got != tt.host {
				t.Errorf("host: %s, want %s", got, tt.host)
			}
			if r.Status != tt.run {
				t.Errorf("run: %s, want %s", r.Status, tt.run)
			}
		})
	}
}

func TestFinishIsFinal(t *testing.T) {
	b, c := newRun(t, nil)
	built(b, c, closures(), allHosts...)
	mustPush(t, b, pushOf(closures(), everything, allHosts...))
	want := b.Finish(c.t)
	c.advance(time.Hour)
	b.Fail("yoga", Failure{Step: StepBuild})
	b.Interrupt("late")
	for _, got := range []Report{b.Finish(c.t), b.Snapshot()} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("changed after Finish:\n%s", diff)
		}
	}
}

// TestSnapshotIsIndependent changes all that a snapshot refers to.
func TestSnapshotIsIndependent(t *testing.T) {
	b, c := newRun(t, nil)
	built(b, c, closures(), allHosts...)
	p := pushOf(closures(), everything, allHosts...)
	mustPush(t, b, p)
	b.Check(Check{Name: "drift", Status: Failed, Log: []string{"a"}})
	b.Fail("yoga", Failure{Step: StepBuild, LogTail: []string{"a"}})
	want := b.Snapshot()
	s := b.Snapshot()
	s.Checks[0].Log[0] = "b"
	s.Paths[0].Path, s.Push.Paths[0].Path, s.Push.Roots[0].Path = "b", "b", "b"
	s.Push.Paths[0].Roots[0], s.Push.PublicKeys[0] = 99, "b"
	s.Push.Skipped["b"] = Count{}
	for i := range s.Hosts {
		s.Hosts[i].Steps[0].Name = "b"
		s.Hosts[i].Closure.Members[0] = 99
		if f := s.Hosts[i].Failure; f != nil {
			f.LogTail[0], f.Message = "b", "b"
		}
	}
	p.Paths[0].Roots[0], p.Paths[1].Path = 98, "c"
	if diff := cmp.Diff(want, b.Snapshot()); diff != "" {
		t.Errorf("the builder's own record changed:\n%s", diff)
	}
}

func TestPushRefusesInvalid(t *testing.T) {
	b, c := newRun(t, nil)
	p := pushOf(closures(), everything, "yoga")
	p.Paths[0].Roots = []int{7}
	if err := b.Push(p); err == nil || !strings.Contains(err.Error(), "index 7 is outside a list of 1") {
		t.Errorf("error %v", err)
	}
	if r := b.Finish(c.t); r.Push != nil {
		t.Error("the push was recorded")
	}
	if err := b.Closure("yoga", []Path{{Path: "/etc/passwd"}}); err == nil {
		t.Error("a closure that holds no store path was taken")
	}
}

// TestPushDerives checks what a push says of hosts that share a toplevel, of
// one known by name only, and of a root that is no host's.
func TestPushDerives(t *testing.T) {
	c := map[string][]pkg{
		"a": {{"top-a-1", "1", 10}, {"shared-1", "1", 100}},
		"b": {{"top-b-1", "1", 20}, {"shared-1", "1", 100}},
		"x": {{"other-1", "1", 1}},
	}
	b := NewBuilder(Run{}, Host{Name: "a"}, Host{Name: "twin"}, Host{Name: "b"}, Host{Name: "none"})
	b.SetToplevel("a", c["a"][0].path())
	b.SetToplevel("twin", c["a"][0].path())
	b.SetToplevel("none", storePath("unpushed-1", "1"))
	mustPush(t, b, pushOf(c, func(p pkg) bool { return p.name != "top-a-1" }, "a", "b", "x"))
	r := b.Finish(time.Now())
	type host struct {
		paths int
		bytes int64
		sent  Count
		push  Status
	}
	want := map[string]host{
		"a":    {2, 110, Count{1, 100, 33}, Passed},
		"twin": {2, 110, Count{1, 100, 33}, Passed},
		"b":    {2, 120, Count{2, 120, 39}, Passed},
		"none": {0, 0, Count{}, Skipped},
	}
	got := map[string]host{}
	for _, h := range r.Hosts {
		g := host{sent: h.Sent}
		if h.Closure != nil {
			g.paths, g.bytes = h.Closure.Paths, h.Closure.NARBytes
		}
		for _, s := range h.Steps {
			if s.Name == StepPush {
				g.push = s.Status
			}
		}
		got[h.Name] = g
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(host{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(r.Paths) != 3 {
		t.Errorf("%d paths in the table, want the 3 that hosts have", len(r.Paths))
	}
}

func TestPushDetail(t *testing.T) {
	c := map[string][]pkg{"a": {{"top-1", "1", 10}}}
	for want, edit := range map[string]func(*Push){
		"sent 1 path, <0.1 MiB":     func(*Push) {},
		"dry run, nothing was sent": func(p *Push) { p.DryRun, p.Paths[0].Action = true, "send" },
		"nothing to send":           func(p *Push) { p.Paths[0].Action, p.Paths[0].Reason = "skipped", "present" },
	} {
		b := NewBuilder(Run{}, Host{Name: "a"})
		p := pushOf(c, everything, "a")
		edit(p)
		mustPush(t, b, p)
		r := b.Finish(time.Now())
		if got := r.Hosts[0].Steps[len(r.Hosts[0].Steps)-1].Detail; got != want {
			t.Errorf("detail %q, want %q", got, want)
		}
	}
}

func TestFirstFailureStays(t *testing.T) {
	b := NewBuilder(Run{}, Host{Name: "a"})
	c := map[string][]pkg{"a": {{"top-1", "1", 10}}}
	p := pushOf(c, nothing, "a")
	p.Status, p.Roots[0].Generation, p.Error = Failed, "", "one path was not sent"
	p.Paths[0].Action, p.Paths[0].Reason = "failed", "no space left on device"
	mustPush(t, b, p)
	b.Fail("a", Failure{Step: StepPush, Message: "exit code 1", LogTail: []string{"log"}, Command: "pcache push"})
	b.Fail("a", Failure{Step: StepPush, Message: "again", LogTail: []string{"other"}, DrvPath: "d", Command: "other"})
	b.Fail("a", Failure{Step: "later", Message: "later"})
	r := b.Finish(time.Now())
	want := &Failure{
		Step: StepPush, Message: c["a"][0].path() + ": no space left on device",
		DrvPath: "d", LogTail: []string{"log"}, Command: "pcache push",
	}
	if diff := cmp.Diff(want, r.Hosts[0].Failure); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDurations(t *testing.T) {
	c := newClock()
	b := NewBuilder(Run{Started: c.t}, Host{Name: "a"})
	b.Clock, b.Steps = c.now, []string{StepBuild}
	b.StartStep("a", StepBuild)
	b.StartCheck("drift", "")
	c.advance(1234567 * time.Microsecond)
	b.EndStep("a", StepBuild, Passed, "")
	b.Check(Check{Name: "drift", Status: Passed})
	c.advance(-time.Hour) // a clock set back must not give negative times
	b.StartStep("a", "late")
	c.advance(-time.Hour)
	r := b.Finish(c.t)
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := r.Hosts[0].Steps[0].Seconds; got != 1.235 {
		t.Errorf("step took %v s", got)
	}
	if got := r.Checks[0].Seconds; got != 1.235 {
		t.Errorf("check took %v s", got)
	}
	if r.Run.Seconds != 0 {
		t.Errorf("run took %v s", r.Run.Seconds)
	}
}

func TestWithoutCredentials(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "",
		"file:///srv/cache":                 "file:///srv/cache",
		"https://u:p@h/x":                   "https://h/x",
		"https://u:p@q@h:8080":              "https://h:8080",
		"s3://k:s@bucket/a@b?endpoint=h":    "s3://bucket/a@b?endpoint=h",
		"https://u:p@":                      "https://",
		"attic+https://tok%zz@h/c":          "attic+https://h/c",
		"/plain/path@x":                     "/plain/path@x",
		"https://h/x?redirect=https://a@b/": "https://h/x?redirect=https://a@b/",
	} {
		if got := withoutCredentials(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestConcurrentUse is for the race detector; it also checks that nothing is
// lost and that the result does not depend on the order of events.
func TestConcurrentUse(t *testing.T) {
	const hosts = 20
	run := func() []byte {
		c := newClock()
		b := NewBuilder(Run{Started: c.t, Inputs: "real"})
		b.Clock = func() time.Time { return c.t }
		all := map[string][]pkg{}
		var names []string
		for i := range hosts {
			name := fmt.Sprintf("host%02d", i)
			names = append(names, name)
			all[name] = []pkg{{"top-" + name + "-1", "1", 10}, {"shared-1", "1", 100}}
		}
		var wg sync.WaitGroup
		for _, name := range names {
			wg.Go(func() {
				b.StartStep(name, StepEvaluate)
				b.SetDrvPath(name, storePath("top.drv", "1"))
				b.EndStep(name, StepEvaluate, Passed, "")
				b.StartStep(name, StepBuild)
				b.StartCheck("toplevel", name)
				b.Check(Check{Name: "toplevel", Host: name, Status: Passed})
				b.EditRun(func(r *Run) { r.NixVersion = "2.26.3" })
				b.SetToplevel(name, all[name][0].path())
				if err := b.Closure(name, []Path{{Path: all[name][0].path()}}); err != nil {
					t.Error(err)
				}
				b.EndStep(name, StepBuild, Passed, "")
				if s := b.Snapshot(); s.Validate() != nil {
					t.Error(s.Validate())
				}
			})
		}
		wg.Wait()
		mustPush(t, b, pushOf(all, everything, names...))
		r := b.Finish(c.t)
		if r.Status != Passed || len(r.Hosts) != hosts || len(r.Checks) != hosts || len(r.Paths) != hosts+1 {
			t.Errorf("status %s, %d hosts, %d checks, %d paths", r.Status, len(r.Hosts), len(r.Checks), len(r.Paths))
		}
		var out bytes.Buffer
		if err := r.Write(&out); err != nil {
			t.Error(err)
		}
		return out.Bytes()
	}
	if diff := cmp.Diff(run(), run()); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
}

// Pushes that follow each other are recorded as one push of all would be: what
// an earlier one sent is sent, not skipped, also for the hosts of a later one.
func TestPushesAreOne(t *testing.T) {
	all := closures()
	atOnce, c := newRun(t, nil)
	built(atOnce, c, all, allHosts...)
	together := pushOf(all, everything, allHosts...)
	together.Seconds, together.PlanSeconds = 4*together.Seconds, 4*together.PlanSeconds
	mustPush(t, atOnce, together)

	b, c := newRun(t, nil)
	built(b, c, all, allHosts...)
	there := map[string]bool{}
	for _, h := range allHosts {
		mustPush(t, b, pushOf(all, func(p pkg) bool { return !there[p.path()] }, h))
		for _, p := range all[h] {
			there[p.path()] = true
		}
	}
	want, got := atOnce.Finish(c.t), b.Finish(c.t)
	for _, r := range []*Report{&want, &got} {
		for i := range r.Hosts { // each push took its own time
			r.Hosts[i].Steps[2].Seconds = 0
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("one after the other (-at once +got):\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}

	// A failure stays, and so does what was sent before it.
	again := pushOf(all, nothing, "yoga")
	again.Status, again.Error, again.Roots[0].Generation = Failed, "no space left", ""
	again.Paths[0].Action, again.Paths[0].Reason = actionFailed, "no space left"
	b, c = newRun(t, nil)
	built(b, c, all, "yoga")
	mustPush(t, b, pushOf(all, everything, "yoga"))
	mustPush(t, b, again)
	r := b.Finish(c.t)
	if r.Push.Status != Failed || r.Push.Error != "no space left" || r.Push.Sent.Paths != len(all["yoga"]) || len(r.Push.Skipped) != 0 {
		t.Errorf("push %+v", r.Push)
	}
}
