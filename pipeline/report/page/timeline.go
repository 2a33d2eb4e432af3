package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

const (
	maxRows     = 60 // hosts in the timeline
	maxLongest  = 15 // derivations and fetches that get a row of their own
	maxActivity = 60 // activities drawn below one host
	maxDrawn    = 2500
)

// timeline shows when each host was at which step, and what Nix did in it.
type timeline struct {
	Ticks   []tick
	Rows    []timeRow
	More    int // hosts without a row
	Longest []timeRow
	Totals  []total
	Text    string // where the time went, in words
}

// tick is a mark on the time axis.
type tick struct {
	At    float64
	Label string
}

// timeRow is one line of the timeline.
type timeRow struct {
	Name, Host string
	Bars       []bar
	Fine       []bar // what Nix did, below the steps
	Seconds    float64
	Describe   string
}

// bar is a stretch of time, in shares of the whole run.
type bar struct {
	From, Share float64
	Kind, Title string
}

// total is the time that all hosts spent in a step.
type total struct {
	Name, Kind  string
	Seconds     float64
	From, Share float64
}

func newTimeline(r *report.Report) *timeline {
	length := r.Run.Seconds
	start := r.Run.Started
	at := func(t time.Time) float64 { return t.Sub(start).Seconds() }
	for _, h := range r.Hosts {
		for _, s := range h.Steps {
			if !s.Started.IsZero() {
				length = max(length, at(s.Started)+s.Seconds)
			}
		}
	}
	if length <= 0 || length > 1e8 {
		return nil
	}
	place := func(t time.Time, seconds float64) (from, share float64, ok bool) {
		from = at(t) / length
		return max(0, from), min(seconds/length, 1-max(0, from)), from >= -0.001 && from <= 1
	}
	fine := map[string][]bar{}
	byLength := slices.Clone(r.Activities)
	slices.SortStableFunc(byLength, func(a, b report.Activity) int { return cmp.Compare(b.Seconds, a.Seconds) })
	t := &timeline{Ticks: ticks(length)}
	drawn := 0
	for _, a := range byLength {
		from, share, ok := place(a.Started, a.Seconds)
		if !ok {
			continue
		}
		b := bar{from, share, activityKind(a), ""}
		if len(fine[a.Host]) < maxActivity && drawn < maxDrawn {
			fine[a.Host] = append(fine[a.Host], b)
			drawn++
		}
		if len(t.Longest) < maxLongest && a.Seconds > 0 {
			t.Longest = append(t.Longest, timeRow{
				Name: base(a.Path), Host: a.Host, Bars: []bar{b}, Seconds: a.Seconds,
				Describe: fmt.Sprintf("%s of %s for %s: %s, from %s after the start.", a.Kind, base(a.Path), a.Host, duration(a.Seconds), duration(max(0, at(a.Started)))),
			})
		}
	}
	sums := map[string]float64{}
	var order []string
	for _, h := range r.Hosts {
		row := timeRow{Name: h.Name, Fine: fine[h.Name]}
		var words []string
		for _, s := range h.Steps {
			if s.Started.IsZero() {
				continue
			}
			if _, ok := sums[s.Name]; !ok {
				order = append(order, s.Name)
			}
			sums[s.Name] += s.Seconds
			row.Seconds += s.Seconds
			from, share, ok := place(s.Started, s.Seconds)
			if !ok {
				continue
			}
			text := fmt.Sprintf("%s %s from %s", s.Name, duration(s.Seconds), duration(max(0, at(s.Started))))
			if s.Status != report.Passed {
				text += " (" + string(s.Status) + ")"
			}
			row.Bars = append(row.Bars, bar{from, share, stepKind(s), text})
			words = append(words, text)
		}
		row.Describe = h.Name + ": " + strings.Join(words, ", ") + "."
		if len(row.Bars) > 0 {
			t.Rows = append(t.Rows, row)
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	if len(t.Rows) > maxRows {
		t.More = len(t.Rows) - maxRows
		slices.SortStableFunc(t.Rows, func(a, b timeRow) int { return cmp.Compare(b.Seconds, a.Seconds) })
		t.Rows = t.Rows[:maxRows]
	}
	all := 0.0
	for _, s := range sums {
		all += s
	}
	from := 0.0
	for _, name := range order {
		share := 0.0
		if all > 0 {
			share = sums[name] / all
		}
		t.Totals = append(t.Totals, total{name, stepKind(report.Step{Name: name, Status: report.Passed}), sums[name], from, share})
		from += share
	}
	t.Text = t.words(all)
	return t
}

// words says where the time went.
func (t *timeline) words(all float64) string {
	var parts []string
	for _, s := range t.Totals {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", s.Name, duration(s.Seconds), percent(s.Share)))
	}
	text := fmt.Sprintf("All hosts together spent %s: %s.", duration(all), strings.Join(parts, ", "))
	if len(t.Longest) > 0 {
		l := t.Longest[0]
		text += fmt.Sprintf(" The longest single piece of work was %s for %s, %s.", l.Name, l.Host, duration(l.Seconds))
	}
	return text
}

func activityKind(a report.Activity) string {
	switch {
	case a.Status == report.Failed:
		return "bad"
	case a.Status == report.Interrupted:
		return "cut"
	case a.Kind == report.ActivityFetch:
		return "fetch"
	}
	return "build"
}

// ticks puts three to seven round marks on an axis of that many seconds.
func ticks(length float64) []tick {
	steps := []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if length/s <= 6 {
			step = s
			break
		}
	}
	for length/step > 6 { // weeks, then
		step *= 2
	}
	var list []tick
	for x := 0.0; x <= length*0.97; x += step {
		list = append(list, tick{x / length, clockLabel(x)})
	}
	return list
}

// clockLabel is a time since the start, short.
func clockLabel(s float64) string {
	switch {
	case s == 0:
		return "0"
	case s < 1:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 60:
		return fmt.Sprintf("%.0f s", s)
	case s < 3600:
		return fmt.Sprintf("%d:%02d min", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%d:%02d h", int(s)/3600, int(s)/60%60)
}

// work is what was built, fetched and there already, host by host.
type work struct {
	Rows []workRow
	More int
}

type workRow struct {
	Name string
	report.Work
	Closure int
	// Of the closure's paths, by where they came from.
	FromBuilt, FromFetched, FromPresent float64
	NBuilt, NFetched                    int
}

func newWork(r *report.Report) *work {
	w := &work{}
	for _, h := range r.Hosts {
		if h.Work == nil {
			continue
		}
		row := workRow{Name: h.Name, Work: *h.Work}
		if h.Closure != nil {
			row.Closure = h.Closure.Paths
			for _, m := range h.Closure.Members {
				switch r.Paths[m].Origin {
				case report.OriginBuilt:
					row.NBuilt++
				case report.OriginFetched:
					row.NFetched++
				}
			}
			if n := float64(row.Closure); n > 0 {
				row.FromBuilt, row.FromFetched = float64(row.NBuilt)/n, float64(row.NFetched)/n
				row.FromPresent = 1 - row.FromBuilt - row.FromFetched
			}
		}
		w.Rows = append(w.Rows, row)
	}
	if len(w.Rows) == 0 {
		return nil
	}
	if len(w.Rows) > maxRows {
		w.More = len(w.Rows) - maxRows
		slices.SortStableFunc(w.Rows, func(a, b workRow) int { return cmp.Compare(b.Built+b.Fetched, a.Built+a.Fetched) })
		w.Rows = w.Rows[:maxRows]
	}
	return w
}

// Describe is a row of the chart in words.
func (w workRow) Describe() string {
	return fmt.Sprintf("%s: of %s, %d built and %d fetched in this run, %d there before.",
		w.Name, report.Plural(w.Closure, "path"), w.NBuilt, w.NFetched, w.Closure-w.NBuilt-w.NFetched)
}

// BuiltAndFetched is where the part of the bar for what was there begins.
func (w workRow) BuiltAndFetched() float64 { return w.FromBuilt + w.FromFetched }
