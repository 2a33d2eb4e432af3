package trend

import (
	"cmp"
	"slices"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// Window is how many of the newest runs shares are of: a month of nights.
const Window = 30

// Trend is how a fleet did over time. Runs of other fleets than the newest
// run's, and of stand-ins among runs of real inputs or the other way round, say
// nothing of it and are left out.
type Trend struct {
	Fleet, Inputs string
	Points        []Point // the oldest first
	Hosts         []Host  // sorted by name; those of the Window's runs
	Others        int     // runs that are left out, or cannot be read
	// Of the Window: builds of hosts, and runs.
	Builds, Runs Rate
}

// Point is a run.
type Point struct {
	Run
	Builds Rate
}

// Rate counts what passed. What was interrupted says nothing and is not in it.
type Rate struct{ Passed, Of int }

// Share is the part that passed; 1 if there was nothing.
func (r Rate) Share() float64 {
	if r.Of == 0 {
		return 1
	}
	return float64(r.Passed) / float64(r.Of)
}

func (r *Rate) add(s report.Status) {
	if s == report.Interrupted {
		return
	}
	r.Of++
	if s == report.Passed {
		r.Passed++
	}
}

// Host is a host over time.
type Host struct {
	Name   string
	Cells  []*report.SummaryHost // by point; nil where the run did not have it
	Builds Rate                  // of the Window
}

// Last is the host in the newest run that had it.
func (h Host) Last() *report.SummaryHost {
	for _, c := range slices.Backward(h.Cells) {
		if c != nil {
			return c
		}
	}
	return nil
}

// Of says how the fleet of an index's newest run did. A fleet without a run has
// no points.
func Of(x *Index) *Trend {
	t := &Trend{}
	newest := slices.IndexFunc(x.Runs, func(r Run) bool { return r.Summary != nil })
	if newest < 0 {
		t.Others = len(x.Runs)
		return t
	}
	t.Fleet, t.Inputs = x.Runs[newest].Summary.Fleet, x.Runs[newest].Summary.Inputs
	for _, r := range slices.Backward(x.Runs) {
		if r.Summary == nil || r.Summary.Fleet != t.Fleet || r.Summary.Inputs != t.Inputs {
			t.Others++
			continue
		}
		p := Point{Run: r}
		for _, h := range r.Summary.Hosts {
			p.Builds.add(h.Status)
		}
		t.Points = append(t.Points, p)
	}
	hosts := map[string]*Host{}
	recent := len(t.Points) - min(len(t.Points), Window)
	for _, p := range t.Points[recent:] {
		t.Runs.add(p.Summary.Status)
		t.Builds.Passed += p.Builds.Passed
		t.Builds.Of += p.Builds.Of
		for _, h := range p.Summary.Hosts {
			if hosts[h.Name] == nil {
				hosts[h.Name] = &Host{Name: h.Name, Cells: make([]*report.SummaryHost, len(t.Points))}
			}
			hosts[h.Name].Builds.add(h.Status)
		}
	}
	for i, p := range t.Points {
		for k := range p.Summary.Hosts {
			if h := &p.Summary.Hosts[k]; hosts[h.Name] != nil {
				hosts[h.Name].Cells[i] = h
			}
		}
	}
	for _, h := range hosts {
		t.Hosts = append(t.Hosts, *h)
	}
	slices.SortFunc(t.Hosts, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	return t
}

// Last is the newest point; nil if there is none.
func (t *Trend) Last() *Point {
	if len(t.Points) == 0 {
		return nil
	}
	return &t.Points[len(t.Points)-1]
}

// Seconds is what a host's steps took together.
func Seconds(h *report.SummaryHost) (sum float64) {
	for _, s := range h.Steps {
		sum += s.Seconds
	}
	return sum
}

// Median is the middle of values that are not zero: what is usual. It is zero
// if all are.
func Median[T int64 | float64](values []T) T {
	sorted := slices.DeleteFunc(slices.Clone(values), func(v T) bool { return v <= 0 })
	slices.Sort(sorted)
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}
