package report

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// scenarios are the runs that the golden files show.
var scenarios = map[string]func(t *testing.T) Report{
	"green":             greenRun,
	"nothing-sent":      secondRun,
	"changed":           changedRun,
	"regressed":         regressedRun,
	"evaluation-failed": evaluationFailedRun,
	"build-failed":      buildFailedRun,
	"push-refused":      pushRefusedRun,
	"interrupted":       interruptedRun,
	"offline":           offlineRun,
	"hostile":           hostileRun,
}

func greenRun(t *testing.T) Report {
	b, c := newRun(t, nil)
	checked(b, c)
	built(b, c, closures(), allHosts...)
	mustPush(t, b, pushOf(closures(), everything, allHosts...))
	return b.Finish(c.t)
}

func secondRun(t *testing.T) Report {
	prev := greenRun(t)
	b, c := newRun(t, func(r *Run) { r.Started = r.Started.Add(24 * time.Hour) })
	c.advance(24 * time.Hour)
	checked(b, c)
	built(b, c, closures(), allHosts...)
	mustPush(t, b, pushOf(closures(), nothing, allHosts...))
	r := b.Finish(c.t)
	mustCompare(t, &prev, &r)
	return r
}

func changedRun(t *testing.T) Report {
	prev := greenRun(t)
	b, c := newRun(t, func(r *Run) { r.Commit = "77aa01b+dirty" })
	now := closures()
	for h, list := range now {
		if h == "ovh-cloud-vps" {
			continue
		}
		for i, p := range list {
			switch p.name {
			case "firefox-139.0.1":
				list[i] = pkg{"firefox-140.0", "2", 272_629_760}
			case "niri-25.05":
				list[i] = pkg{"niri-25.02", "2", 19_922_944}
			case "openssl-3.4.1-man":
				list[i] = pkg{"openssl-3.4.1-man", "2", 524_288}
			case "etc":
				list[i] = pkg{"etc", "2", 4_096}
			}
		}
		list[0].salt = "2"
		if h == "desktop" {
			list = append(list, pkg{"glibc-2.41-1", "1", 33_554_432}, pkg{"bcache-tools-1.1", "1", 3_145_728})
		}
		if h == "yoga" {
			list = slices.DeleteFunc(list, func(p pkg) bool { return p.name == "unit-dbus-1.service" })
		}
		now[h] = list
	}
	built(b, c, now, allHosts...)
	mustPush(t, b, pushOf(now, func(p pkg) bool { return p.salt == "2" || p.name == "glibc-2.41-1" }, allHosts...))
	r := b.Finish(c.t)
	mustCompare(t, &prev, &r)
	return r
}

// regressedRun passes, but a closure is much larger and steps take much longer
// than in the run before.
func regressedRun(t *testing.T) Report {
	prev := greenRun(t)
	b, c := newRun(t, func(r *Run) { r.Started = r.Started.Add(24 * time.Hour); r.Commit = "9c41e07" })
	c.advance(24 * time.Hour)
	checked(b, c)
	now := closures()
	now["zephyrus"] = append(now["zephyrus"], pkg{"cuda-toolkit-12.4", "1", 3 << 30}, pkg{"linux-firmware-20250211", "1", 120 << 20})
	for _, h := range allHosts {
		built(b, c, now, h)
		if h != "yoga" {
			continue
		}
		// Its build took longer than that: its clock ran on.
		b.StartStep(h, StepBuild)
		c.advance(5*time.Minute + 20*time.Second)
		b.EndStep(h, StepBuild, Passed, "")
	}
	mustPush(t, b, pushOf(now, func(p pkg) bool { return p.name == "cuda-toolkit-12.4" || p.name == "linux-firmware-20250211" }, allHosts...))
	r := b.Finish(c.t)
	mustCompare(t, &prev, &r)
	return r
}

func evaluationFailedRun(t *testing.T) Report {
	b, c := newRun(t, nil)
	built(b, c, closures(), "desktop", "ovh-cloud-vps", "yoga")
	b.StartStep("zephyrus", StepEvaluate)
	c.advance(2 * time.Second)
	b.Fail("zephyrus", Failure{
		Step: StepEvaluate, Message: "error: undefined variable 'pkg'", Command: "nix eval .#nixosConfigurations.zephyrus.config.system.build.toplevel.drvPath",
		LogTail: []string{"error: undefined variable 'pkg'", "", "       at /source/hosts/zephyrus/configuration.nix:12:5:"},
	})
	b.Check(Check{Name: "toplevel", Host: "zephyrus", Status: Failed, Seconds: 2, Detail: "evaluation failed", Log: []string{"error: undefined variable 'pkg'"}})
	mustPush(t, b, pushOf(closures(), everything, "desktop", "ovh-cloud-vps", "yoga"))
	return b.Finish(c.t)
}

func buildFailedRun(t *testing.T) Report {
	b, c := newRun(t, nil)
	built(b, c, closures(), "desktop", "ovh-cloud-vps")
	for _, h := range []string{"yoga", "zephyrus"} {
		b.StartStep(h, StepEvaluate)
		c.advance(9 * time.Second)
		b.EndStep(h, StepEvaluate, Passed, "")
		b.StartStep(h, StepBuild)
		c.advance(95 * time.Second)
		b.Fail(h, Failure{
			Step: StepBuild, Message: "builder for niri-25.05 failed with exit code 101",
			DrvPath: storePath("niri-25.05.drv", "1"), Command: "nix build .#nixosConfigurations." + h + ".config.system.build.toplevel",
			LogTail: []string{"   Compiling niri v25.05", "error[E0425]: cannot find value `foo` in this scope", "\x1b[1mnote\x1b[0m: see ```", "/nix/store/x: not found"},
		})
	}
	mustPush(t, b, pushOf(closures(), everything, "desktop", "ovh-cloud-vps"))
	return b.Finish(c.t)
}

func pushRefusedRun(t *testing.T) Report {
	b, c := newRun(t, nil)
	built(b, c, closures(), allHosts...)
	p := pushOf(closures(), nothing, allHosts...)
	p.Status, p.Error = Failed, "cache file:///srv/cache is signed with other-1, not with pantheros-1"
	p.Skipped, p.PublicKeys = nil, nil
	for i := range p.Paths {
		p.Paths[i].Action, p.Paths[i].Reason = "pending", ""
	}
	for i := range p.Roots {
		p.Roots[i].Generation = ""
	}
	mustPush(t, b, p)
	return b.Finish(c.t)
}

func interruptedRun(t *testing.T) Report {
	b, c := newRun(t, nil)
	built(b, c, closures(), "desktop")
	b.StartStep("yoga", StepEvaluate)
	c.advance(7 * time.Second)
	b.EndStep("yoga", StepEvaluate, Passed, "")
	b.StartStep("yoga", StepBuild)
	b.StartCheck("security", "zephyrus")
	c.advance(11 * time.Second)
	return b.Snapshot()
}

func offlineRun(t *testing.T) Report {
	b, c := newRun(t, func(r *Run) {
		r.Inputs, r.InputsNote = "offline", "github.com did not answer within 3 s"
		r.NixVersion, r.Commit = "2.26.3", ""
	})
	built(b, c, closures(), allHosts...)
	mustPush(t, b, pushOf(closures(), everything, allHosts...))
	return b.Finish(c.t)
}

// hostile is text that tries to be anything but text.
var hostile = strings.Join([]string{
	"x\x1b[31mred\x1b]0;title\a\u009b1m", "</code></summary><script>alert(1)</script>", "| a | b |", `\|`,
	"`` ` ```", "@all #1 !2 [x](javascript:x) ![y](http://evil.example/y.png)", "\n/close\n# Heading\n\r\n---\n",
	"\xff\xfe", "\u202egnp.exe\u2066", "\x00\b\u2028", "&lt;img src=x&gt;", "$(rm -rf /)",
}, " ")

func hostileRun(t *testing.T) Report {
	c := newClock()
	run := realRun(c)
	for _, s := range []*string{&run.Fleet, &run.InputsNote, &run.Release, &run.Commit, &run.NixVersion} {
		*s = hostile
	}
	run.Inputs, run.Cache = "offline", "s3://key:secret@host@bucket?x="+hostile
	b := NewBuilder(run, Host{Name: hostile, Description: hostile, System: hostile}, Host{Name: "`"}, Host{Name: "a|b\\"})
	b.Clock = c.now
	b.RunError(errors.New(hostile))
	b.StartStep(hostile, hostile)
	c.advance(time.Second)
	b.Fail(hostile, Failure{
		Step: hostile, Message: hostile, DrvPath: hostile, Command: hostile,
		LogTail: []string{hostile, "`````", "/merge", "~~~", "</details>", "50%\r100%", "``\x00``````"},
	})
	b.Fail("`", Failure{Step: StepBuild, Message: "`", LogTail: []string{"```", "/close", "```"}})
	b.Check(Check{Name: hostile, Host: hostile, Status: Failed, Detail: hostile, Log: []string{hostile}})
	b.Check(Check{Name: "ok|", Status: "certainly", Detail: "a | b"})
	closure := map[string][]pkg{"a|b\\": {{"toplevel-1.0", "1", 1}, {"pkg-1.2", "1", 1 << 60}}}
	b.SetToplevel("a|b\\", closure["a|b\\"][0].path())
	p := pushOf(closure, nothing, "a|b\\")
	p.Status, p.Error, p.Cache, p.Roots[0].Generation = Failed, hostile, "https://token@h/"+hostile, ""
	p.Skipped = map[string]Count{hostile: {Paths: 1}}
	p.PublicKeys = []string{hostile}
	p.Paths[0].Action, p.Paths[0].Reason = "failed", hostile
	mustPush(t, b, p)
	r := b.Finish(c.t)
	text := strings.ToValidUTF8(hostile, "\uFFFD") // no JSON file can hold more
	r.Previous = &Previous{Commit: text}
	for i := range r.Hosts {
		r.Hosts[i].Changes = &Changes{PathsAdded: 1, NARBytes: -1 << 62, Packages: []PackageChange{
			{Name: text, Kind: text, Before: []string{text, ""}, After: []string{text, "1|2", "3", "4", "5"}, NARBytes: -1 << 63},
			{Name: "</details>", Kind: Changed, Before: []string{"1"}, After: []string{"2"}},
		}}
	}
	return r
}

func mustCompare(t *testing.T, prev, cur *Report) {
	t.Helper()
	if err := Compare(prev, cur); err != nil {
		t.Fatal(err)
	}
}
