package report

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// text draws strings, some of them nasty.
func text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{hostile, "`", "|", `\|`, "yoga", "", "\x1b[2J", "/close", "``` ```"}),
		rapid.StringMatching("[`|<>&\\\\ a/*_@#]{0,12}"),
	)
}

var statuses = rapid.SampledFrom([]Status{Passed, Failed, Skipped, Interrupted, "", "nonsense"})

// TestAnyRun drives a Builder through random events. Whatever happens, every
// snapshot is valid, is read back as it was written, and renders as nothing
// but text.
func TestAnyRun(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		names := rapid.SliceOfN(text(), 1, 4).Draw(rt, "hosts")
		var hosts []Host
		for _, n := range names {
			hosts = append(hosts, Host{Name: n, Description: n})
		}
		b := NewBuilder(Run{Started: c.t, Fleet: text().Draw(rt, "fleet"), Inputs: rapid.SampledFrom([]string{"real", "offline"}).Draw(rt, "inputs")}, hosts...)
		b.Clock = c.now
		b.Steps = rapid.SampledFrom([][]string{nil, {}, {StepBuild}}).Draw(rt, "steps")
		host := rapid.SampledFrom(names)
		step := rapid.OneOf(rapid.SampledFrom([]string{StepEvaluate, StepBuild, StepPush}), text())
		closures := map[string][]pkg{}
		for range rapid.IntRange(0, 25).Draw(rt, "events") {
			c.advance(time.Duration(rapid.IntRange(-1000, 10_000_000).Draw(rt, "ms")) * time.Millisecond)
			h := host.Draw(rt, "host")
			switch rapid.IntRange(0, 9).Draw(rt, "event") {
			case 0, 1:
				b.StartStep(h, step.Draw(rt, "step"))
			case 2:
				b.EndStep(h, step.Draw(rt, "step"), statuses.Draw(rt, "status"), text().Draw(rt, "detail"))
			case 3:
				b.Fail(h, Failure{Step: step.Draw(rt, "step"), Message: text().Draw(rt, "m"), LogTail: rapid.SliceOfN(text(), 0, 5).Draw(rt, "log"), Command: text().Draw(rt, "cmd")})
			case 4:
				b.StartCheck(text().Draw(rt, "check"), h)
			case 5:
				b.Check(Check{Name: text().Draw(rt, "check"), Host: h, Status: statuses.Draw(rt, "status"), Seconds: rapid.Float64().Draw(rt, "s"), Log: []string{text().Draw(rt, "log")}})
			case 6:
				b.RunError(errors.New(text().Draw(rt, "error")))
			case 7:
				b.Interrupt(text().Draw(rt, "reason"))
			default:
				closures[h] = []pkg{{"top-1", h, 10}}
				for range rapid.IntRange(0, 5).Draw(rt, "paths") {
					closures[h] = append(closures[h], pkg{rapid.StringMatching(`p[0-9]-1\.[0-9](-man)?`).Draw(rt, "pkg"), text().Draw(rt, "salt"), rapid.Int64Range(0, maxBytes).Draw(rt, "size")})
				}
				closures[h] = uniquePaths(closures[h])
				b.SetToplevel(h, closures[h][0].path())
				p := pushOf(closures, func(p pkg) bool { return p.bytes%2 == 0 }, h)
				p.Status = rapid.SampledFrom([]Status{Passed, Failed, Skipped, Interrupted}).Draw(rt, "push")
				p.Error = text().Draw(rt, "push error")
				p.Sent, p.Roots[0].Sent, p.Roots[0].NARBytes, p.Skipped = Count{}, Count{}, 0, nil // their plain sums may overflow
				if err := b.Push(p); err != nil {
					rt.Fatal(err)
				}
			}
		}
		prev := checkReport(rt, b.Snapshot())
		cur := checkReport(rt, b.Finish(c.t))
		if err := Compare(prev, cur); err != nil {
			rt.Fatal(err)
		}
		for _, h := range cur.Hosts {
			if ch := h.Changes; ch != nil && (ch.PathsAdded != 0 || ch.PathsRemoved != 0 || ch.NARBytes != 0 || ch.Packages != nil) {
				rt.Fatalf("a report differs from itself: %+v", ch)
			}
		}
		checkReport(rt, *cur)
	})
}

func uniquePaths(list []pkg) []pkg {
	seen := map[string]bool{}
	var out []pkg
	for _, p := range list {
		if !seen[p.path()] {
			seen[p.path()] = true
			out = append(out, p)
		}
	}
	return out
}

// checkReport checks all that holds of every report, and returns it read back.
func checkReport(rt *rapid.T, r Report) *Report {
	json, md, table := render(rt, &r)
	back, err := Read(strings.NewReader(json))
	if err != nil {
		rt.Fatal(err)
	}
	if diff := cmp.Diff(&r, back); diff != "" {
		rt.Fatalf("-written +read:\n%s", diff)
	}
	again, _, _ := render(rt, back)
	if again != json {
		rt.Fatal("written again, the file differs")
	}
	for _, s := range []string{md, table} {
		checkText(rt, s)
	}
	checkMarkdown(rt, md)
	return back
}
