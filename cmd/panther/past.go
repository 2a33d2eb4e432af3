package main

import (
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/terminal"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// past is what the previous run tells of how long things take. The zero past
// knows nothing.
type past struct {
	run    float64 // seconds; 0 where it did not run to its end
	checks map[string]float64
	steps  map[[2]string]report.Step // by host and name, those that passed
	built  map[string]int            // derivations, by host
	drvs   map[string]float64        // by a derivation's name, and by its package's
}

func newPast(prev *report.Report) past {
	if prev == nil {
		return past{}
	}
	p := past{checks: map[string]float64{}, steps: map[[2]string]report.Step{}, built: map[string]int{}, drvs: map[string]float64{}}
	if prev.Status == report.Passed || prev.Status == report.Failed {
		p.run = prev.Run.Seconds
	}
	for _, c := range prev.Checks {
		if c.Host == "" && c.Status == report.Passed {
			p.checks[c.Name] = c.Seconds
		}
	}
	for _, h := range prev.Hosts {
		for _, s := range h.Steps {
			if s.Status == report.Passed {
				p.steps[[2]string{h.Name, s.Name}] = s
			}
		}
		if h.Work != nil {
			p.built[h.Name] = h.Work.Built
		}
	}
	for _, a := range prev.Activities {
		if a.Kind == report.ActivityBuild && a.Status == report.Passed {
			for _, name := range drvNames(report.PathName(a.Path)) {
				p.drvs[name] = max(p.drvs[name], a.Seconds)
			}
		}
	}
	return p
}

// drvNames are the names under which a derivation is remembered: its own, and
// that of its package, for another version takes about as long.
func drvNames(name string) []string {
	pkg, _ := report.SplitPath(strings.Repeat("0", 32) + "-" + name)
	return []string{name, "package " + pkg}
}

// least is what counts as a time that is left, rather than as overdue.
const least = 500 * time.Millisecond

// left says how much longer a step under way takes, or nothing where that is not
// known: no figure is better than a wrong one. A transfer goes on at its present
// rate. An evaluation or a check takes as long as the last time. A build does if
// it builds as many derivations as then; where none waits its turn, it takes
// until the longest under way is where it ended the last time.
func (p past) left(host string, s *liveLine, now time.Time) string {
	if s.step == "" || s.status != "" {
		return ""
	}
	e := &s.event
	remains := time.Duration(0)
	known := func(seconds float64, began time.Time) bool {
		remains = max(remains, time.Duration(seconds*float64(time.Second))-now.Sub(began))
		return seconds > 0 && time.Duration(seconds*float64(time.Second)) > now.Sub(began)
	}
	step := p.steps[[2]string{host, s.step}]
	ok := false
	switch {
	case e.Unit == "bytes" && e.Total > 0:
		remains, ok = s.meter.Left(now, e.Total)
	case host == "":
		ok = known(p.checks[s.step], s.began)
	case s.step == report.StepEvaluate:
		ok = known(step.Seconds, s.began)
	case s.step != report.StepBuild || e.Total == 0:
		// A build that has not told how much it builds.
	case e.Done+int64(len(e.Building)) >= e.Total && len(e.Building) > 0:
		ok = true
		for _, name := range e.Building {
			ok = ok && known(p.derivation(name), s.building[name])
		}
	case e.Total == int64(p.built[host]):
		ok = known(step.Seconds, s.began)
	}
	if e.Fetching > 0 && e.FetchTotal > e.Fetched {
		fetch, fetches := s.meter.Left(now, e.FetchTotal)
		if e.Total == e.Done { // nothing else
			remains, ok = fetch, fetches
		} else {
			remains, ok = max(remains, fetch), ok && fetches
		}
	}
	if !ok || remains < least {
		return ""
	}
	return terminal.Left(remains)
}

// derivation is how long one of a name took, in seconds; 0 if that is not known.
func (p past) derivation(name string) float64 {
	for _, n := range drvNames(name) {
		if s := p.drvs[n]; s > 0 {
			return s
		}
	}
	return 0
}
