package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRegressions(t *testing.T) {
	host := func(name string, bytes int64, steps ...Step) Host {
		h := Host{Name: name, Steps: steps}
		if bytes > 0 {
			h.Closure = &Closure{NARBytes: bytes}
		}
		return h
	}
	step := func(name string, status Status, seconds float64) Step {
		return Step{Name: name, Status: status, Seconds: seconds}
	}
	prev := &Report{Hosts: []Host{
		host("at the limit", 100, step("build", Passed, 40)),
		host("failed", 100, step("build", Failed, 1)),
		host("grown", 100<<20, step("evaluate", Passed, 30), step("build", Passed, 100)),
		host("short", 100, step("evaluate", Passed, 1)),
		host("unknown before", 0),
	}}
	cur := &Report{Hosts: []Host{
		host("at the limit", 110, step("build", Passed, 79.9)),
		host("failed", 0, step("build", Passed, 100)),
		host("grown", 125<<20, step("evaluate", Passed, 60), step("build", Passed, 350)),
		host("new", 100),
		host("short", 50, step("evaluate", Passed, 30)),
		host("unknown before", 500),
	}}
	got := DefaultLimits.Regressions(prev, cur)
	want := []Regression{
		{Host: "grown", Kind: RegressionClosure, BeforeBytes: 100 << 20, AfterBytes: 125 << 20},
		{Host: "grown", Kind: RegressionStep, Step: "evaluate", BeforeSeconds: 30, AfterSeconds: 60},
		{Host: "grown", Kind: RegressionStep, Step: "build", BeforeSeconds: 100, AfterSeconds: 350},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, text := range []string{
		"the closure of grown grew by 25 %, from 100.0 MiB to 125.0 MiB",
		"evaluate of grown took 2.0 times as long, 1 min 00 s after 30.0 s",
		"build of grown took 3.5 times as long, 5 min 50 s after 1 min 40 s",
	} {
		if got[i].String() != text {
			t.Errorf("%q, want %q", got[i], text)
		}
	}
	loose := Limits{Growth: 0.3, Slowdown: 4}
	if got := loose.Regressions(prev, cur); len(got) != 1 || got[0].Host != "short" {
		t.Errorf("with other limits: %v", got)
	}
}
