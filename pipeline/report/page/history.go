package page

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/trend"
)

//go:embed history.html
var historyHTML string

var historyPage = parse("history.html", historyHTML)

// Bounds that keep the page of a history quick to open.
const (
	maxBars        = 120  // runs in a chart
	maxPast        = 60   // runs of a host
	leastPast      = 14   // of a host among very many
	maxPasts       = 6000 // in all
	maxTrendHosts  = 250
	maxRunRows     = 300
	openRunRows    = 30 // in sight at first
	maxRegressions = 60
)

// WriteHistory renders the index of a history of runs as an HTML page, with
// links to the reports in the folders beside it. Text from outside cannot leave
// its place in it.
func WriteHistory(w io.Writer, x *trend.Index) error {
	return execute(w, "the page of a history", historyPage, newHistory(x))
}

// history is what the template shows of an index.
type history struct {
	sheet
	*trend.Trend
	Title, Mark, Verdict string
	Offline              bool
	Lede                 []string
	Figures              []figure
	First, Until         time.Time // of the runs in the charts
	Few                  bool      // they do not fill the charts
	Panels               []panel
	Drawn                []runRow // the runs in the charts, the newest first
	Worse                []pastWorse
	MoreWorse            int
	Rows                 []hostRow
	MoreHosts            int
	Newest, Older        []runRow
	MoreRuns             int
}

// panel is a chart of one number over the runs.
type panel struct {
	Name, Now, Note string
	Describe        string
	Bars            []trendBar
	Goal            float64 // share of the height; 0: there is none
	Flags           []float64
}

// trendBar is a run in a panel: a column, with what failed on top of it in the
// panel of builds.
type trendBar struct {
	X, W        float64
	Top, Height float64
	Kind, Title string
}

// runRow is a run in a table.
type runRow struct {
	*trend.Point
	When             time.Time
	Link, Mark, Word string
	Inputs, Fleet    string // where they differ from the trend's
}

// pastWorse is a regression of some run.
type pastWorse struct {
	worse
	Run runRow
}

// hostRow is a host over time.
type hostRow struct {
	Name, Mark, Result    string
	Rate                  string
	Met                   bool
	Cells                 []pastCell
	Describe              string
	Closure, Time         spark
	Growth                string
	Sent                  int64
	Failed                []string // dates
	Seconds, UsualSeconds float64
}

// pastCell is a host in a run.
type pastCell struct {
	X, W  float64
	Kind  string
	Title string
}

// spark is a small line: its points in a field of 100 by 20, and its last value.
type spark struct {
	Points, Now string
}

func newHistory(x *trend.Index) *history {
	t := trend.Of(x)
	h := &history{sheet: newSheet(), Trend: t, Offline: t.Inputs == "offline"}
	name := cmp.Or(t.Fleet, "Fleet")
	h.Title = name + ": history of runs"
	var rows []runRow
	for i := range x.Runs {
		rows = append(rows, newRunRow(t, x.Runs[i]))
	}
	h.Newest = rows[:min(len(rows), openRunRows)]
	h.Older = rows[len(h.Newest):min(len(rows), maxRunRows)]
	h.MoreRuns = len(rows) - len(h.Newest) - len(h.Older)
	last := t.Last()
	if last == nil {
		h.Mark, h.Verdict = "skipped", "No runs yet."
		if len(rows) > 0 {
			h.Verdict = "No run that can be read."
		}
		return h
	}
	h.verdict(last)
	h.Figures = trendFigures(t)
	drawn := t.Points[len(t.Points)-min(len(t.Points), maxBars):]
	h.First, h.Until = drawn[0].Summary.Started, last.Summary.Started
	h.Few = len(drawn) < 12
	h.Panels = panels(drawn)
	for _, p := range slices.Backward(drawn) {
		h.Drawn = append(h.Drawn, newRunRow(t, p.Run))
	}
	for _, p := range slices.Backward(t.Points) {
		row := newRunRow(t, p.Run)
		for _, g := range p.Summary.Regressions {
			if len(h.Worse) == maxRegressions {
				h.MoreWorse++
				continue
			}
			h.Worse = append(h.Worse, pastWorse{newWorse(g), row})
		}
	}
	past := min(maxPast, max(leastPast, maxPasts/max(1, min(len(t.Hosts), maxTrendHosts))))
	for i := range t.Hosts {
		h.Rows = append(h.Rows, newHostRow(t, &t.Hosts[i], past))
	}
	rank := map[string]int{"failed": 0, "interrupted": 1, "skipped": 2}
	slices.SortStableFunc(h.Rows, func(a, b hostRow) int {
		at := func(r hostRow) int {
			if n, ok := rank[r.Mark]; ok {
				return n
			}
			if !r.Met {
				return 3
			}
			return 4
		}
		return cmp.Compare(at(a), at(b))
	})
	if len(h.Rows) > maxTrendHosts {
		h.MoreHosts = len(h.Rows) - maxTrendHosts
		h.Rows = h.Rows[:maxTrendHosts]
	}
	return h
}

// verdict says how the fleet does: by the goal, and by the newest run.
func (h *history) verdict(last *trend.Point) {
	s, met := last.Summary, h.Builds.Share() >= report.BuildGoal
	switch {
	case s.Status != report.Passed:
		h.Mark = string(s.Status)
	case !met, len(s.Regressions) > 0:
		h.Mark = "regressed"
	default:
		h.Mark = "passed"
	}
	goal := "above the goal of 95\u00a0%"
	if !met {
		goal = "below the goal of 95\u00a0%"
	}
	h.Verdict = fmt.Sprintf("%s of builds succeeded, %s.", percent(h.Builds.Share()), goal)
	if h.Builds.Of == 0 {
		h.Verdict = "No builds yet."
	}
	text := fmt.Sprintf("The newest run, of %s, %s: %d of %s in %s", instant(s.Started), outcome(s),
		last.Builds.Passed, report.Plural(len(s.Hosts), "host"), duration(s.Seconds))
	h.Lede = append(h.Lede, text+".")
	if n := h.Runs; n.Of > 1 {
		h.Lede = append(h.Lede, fmt.Sprintf("Of the last %d runs %d passed.", n.Of, n.Passed))
	}
	if h.Others > 0 {
		h.Lede = append(h.Lede, fmt.Sprintf("%s of other fleets or inputs %s not counted.", report.Plural(h.Others, "run"), map[bool]string{true: "is", false: "are"}[h.Others == 1]))
	}
}

// outcome is a run's verdict in words.
func outcome(s *report.Summary) string {
	switch n := len(s.Regressions); {
	case n > 0 && s.Status == report.Passed:
		return "passed, with " + report.Plural(n, "regression")
	case s.Unfinished:
		return "was killed"
	}
	return map[report.Status]string{report.Interrupted: "was interrupted", report.Skipped: "was skipped"}[s.Status] +
		map[report.Status]string{report.Passed: "passed", report.Failed: "failed"}[s.Status]
}

func newRunRow(t *trend.Trend, r trend.Run) runRow {
	row := runRow{Point: &trend.Point{Run: r}, Mark: "skipped", Word: "cannot be read"}
	if at, err := time.Parse("20060102T150405Z", r.Name[:min(len(r.Name), 16)]); err == nil {
		row.When = at
	}
	if r.Has("report.html") {
		row.Link = r.Name + "/report.html"
	}
	s := r.Summary
	if s == nil {
		return row
	}
	for _, h := range s.Hosts {
		if h.Status == report.Passed {
			row.Builds.Passed++
		}
	}
	row.Builds.Of = len(s.Hosts)
	row.Mark, row.Word = string(s.Status), string(s.Status)
	if len(s.Regressions) > 0 && s.Status == report.Passed {
		row.Mark = "regressed"
	}
	if s.Inputs != t.Inputs {
		row.Inputs = s.Inputs
	}
	if s.Fleet != t.Fleet {
		row.Fleet = s.Fleet
	}
	return row
}

// trendFigures are the goals, then what a run costs.
func trendFigures(t *trend.Trend) []figure {
	last := t.Last().Summary
	goal := func(ok bool) report.Status {
		if ok {
			return report.Passed
		}
		return report.Failed
	}
	recent := t.Points[len(t.Points)-min(len(t.Points), trend.Window):]
	var seconds []float64
	var sent int64
	worse := 0
	for _, p := range recent {
		seconds = append(seconds, p.Summary.Seconds)
		sent += p.Summary.SentBytes
		worse += len(p.Summary.Regressions)
	}
	window := fmt.Sprintf("in the last %s", report.Plural(len(recent), "run"))
	f := []figure{{
		"Builds", fmt.Sprintf("%s of %s", number(t.Builds.Passed), number(t.Builds.Of)),
		percent(t.Builds.Share()) + " " + window + ", goal 95\u00a0%", goal(t.Builds.Share() >= report.BuildGoal),
	}}
	if last.ChecksTotal > 0 {
		f = append(f, figure{
			"Validation", fmt.Sprintf("%s of %s", number(last.ChecksPassed), number(last.ChecksTotal)),
			"checks of the newest run, goal all", goal(last.ChecksPassed == last.ChecksTotal),
		})
	}
	if n := last.CISMissing; n != nil {
		f = append(f, figure{"CIS level 1", number(*n) + " missing", "items in the newest run", goal(*n == 0)})
	}
	f = append(f, figure{Label: "Duration", Value: duration(last.Seconds), Note: "usually " + duration(trend.Median(seconds))})
	if first := firstClosure(recent); last.ClosureBytes > 0 {
		f = append(f, figure{Label: "All closures", Value: size(last.ClosureBytes), Note: growth(last.ClosureBytes-first) + " " + window})
	}
	f = append(f,
		figure{Label: "Sent", Value: size(last.SentBytes), Note: size(sent) + " " + window},
		figure{Label: "Regressions", Value: number(len(last.Regressions)), Note: number(worse) + " " + window})
	return f
}

func firstClosure(points []trend.Point) int64 {
	for _, p := range points {
		if p.Summary.ClosureBytes > 0 {
			return p.Summary.ClosureBytes
		}
	}
	return 0
}

// panels are the charts of the runs, one above the other over the same axis.
func panels(points []trend.Point) []panel {
	builds := panel{Name: "Builds that succeeded", Goal: report.BuildGoal}
	var bad []string
	for i, p := range points {
		x, w := column(i, len(points))
		share := p.Builds.Share()
		title := fmt.Sprintf("%s: %d of %d hosts", moment(p), p.Builds.Passed, p.Builds.Of)
		if p.Builds.Of == 0 {
			builds.Bars = append(builds.Bars, trendBar{x, w, 0, 1, "none", moment(p) + ": no host was built"})
			continue
		}
		if share > 0 {
			builds.Bars = append(builds.Bars, trendBar{x, w, 1 - share, share, "fine", title})
		}
		if share < 1 {
			builds.Bars = append(builds.Bars, trendBar{x, w, 0, 1 - share, "bad", title + "; " + string(p.Summary.Status)})
			bad = append(bad, fmt.Sprintf("%d of %d on %s", p.Builds.Passed, p.Builds.Of, day(p.Summary.Started)))
		}
	}
	last := points[len(points)-1]
	builds.Now, builds.Note = fmt.Sprintf("%d of %d", last.Builds.Passed, last.Builds.Of), "goal 95\u00a0%"
	builds.Describe = fmt.Sprintf("Builds that succeeded in %s: all of them in %d", report.Plural(len(points), "run"), len(points)-len(bad)) + few(bad, "; else ") + "."

	return append([]panel{builds},
		columnsOf("Duration", points, func(s *report.Summary) float64 { return s.Seconds }, duration, report.RegressionStep),
		columnsOf("All closures", points, func(s *report.Summary) float64 { return float64(s.ClosureBytes) }, bytesText, report.RegressionClosure),
		columnsOf("Sent, compressed", points, func(s *report.Summary) float64 { return float64(s.SentBytes) }, bytesText, ""),
	)
}

func bytesText(v float64) string { return size(int64(v)) }

// column is the place of the i-th of n columns, with a tenth of it left before
// the next: the newest is at the right, and few columns are not spread out.
func column(i, n int) (x, width float64) {
	slots := max(n, 12)
	return float64(slots-n+i) / float64(slots), 0.88 / float64(slots)
}

// few is the first of a list behind a word, empty if there is none.
func few(list []string, word string) string {
	const most = 8
	if len(list) == 0 {
		return ""
	}
	text := word + strings.Join(list[:min(len(list), most)], ", ")
	if more := len(list) - most; more > 0 {
		text += " and " + report.Plural(more, "other")
	}
	return text
}

// columnsOf is a panel of one number. Runs with a regression of a kind are
// flagged.
func columnsOf(name string, points []trend.Point, value func(*report.Summary) float64, text func(float64) string, kind string) panel {
	p := panel{Name: name}
	highest := 0.0
	var all []float64
	for _, q := range points {
		v := value(q.Summary)
		highest = max(highest, v)
		all = append(all, v)
	}
	var flagged []string
	for i, q := range points {
		v := value(q.Summary)
		x, w := column(i, len(points))
		b := trendBar{X: x, W: w, Kind: "value", Title: moment(q) + ": " + text(v)}
		if q.Summary.Status != report.Passed {
			b.Kind = "value-" + string(q.Summary.Status)
			b.Title += ", " + string(q.Summary.Status)
		}
		if highest > 0 {
			b.Height = v / highest
		}
		b.Top = 1 - b.Height
		p.Bars = append(p.Bars, b)
		if kind != "" && slices.ContainsFunc(q.Summary.Regressions, func(g report.Regression) bool { return g.Kind == kind }) {
			p.Flags = append(p.Flags, b.X+b.W/2)
			flagged = append(flagged, day(q.Summary.Started))
		}
	}
	p.Now = text(all[len(all)-1])
	p.Note = fmt.Sprintf("usually %s, at most %s", text(trend.Median(all)), text(highest))
	p.Describe = fmt.Sprintf("%s in %s: %s, from %s in the first to %s in the newest%s.",
		name, report.Plural(len(points), "run"), p.Note, text(all[0]), p.Now, few(flagged, "; regressions on "))
	return p
}

func moment(p trend.Point) string { return minute(p.Summary.Started) }

// newHostRow is a host in its last past runs.
func newHostRow(t *trend.Trend, h *trend.Host, past int) hostRow {
	last := h.Last()
	row := hostRow{
		Name: h.Name, Mark: string(last.Status), Result: last.Result, Sent: last.SentBytes, Seconds: trend.Seconds(last),
		Rate: fmt.Sprintf("%d of %d", h.Builds.Passed, h.Builds.Of), Met: h.Builds.Share() >= report.BuildGoal,
	}
	if h.Cells[len(h.Cells)-1] == nil {
		row.Mark, row.Result = "skipped", "not in the newest run"
	}
	from := len(h.Cells) - min(len(h.Cells), past)
	cells := h.Cells[from:]
	var closures, seconds []float64
	seen := 0
	for i, c := range cells {
		if c == nil {
			closures, seconds = append(closures, 0), append(seconds, 0)
			continue
		}
		seen++
		p := t.Points[from+i]
		x, w := column(i, len(cells))
		row.Cells = append(row.Cells, pastCell{x, w, string(c.Status), moment(p) + ": " + c.Result})
		if c.Status == report.Failed {
			row.Failed = append(row.Failed, day(p.Summary.Started))
		}
		closures = append(closures, float64(c.ClosureBytes))
		s := 0.0
		if c.Status == report.Passed {
			s = trend.Seconds(c)
		}
		seconds = append(seconds, s)
	}
	row.Describe = fmt.Sprintf("%s in %s: failed in %d", h.Name, report.Plural(seen, "run"), len(row.Failed)) + few(row.Failed, ", on ") + "."
	row.Closure, row.Time = newSpark(closures), newSpark(seconds)
	row.UsualSeconds = trend.Median(seconds)
	first, now := int64(0), int64(0)
	for _, c := range closures {
		if c > 0 {
			now = int64(c)
			if first == 0 {
				first = now
			}
		}
	}
	if now > 0 {
		row.Closure.Now = size(now)
		row.Growth = growth(now - first)
	}
	if row.Seconds > 0 {
		row.Time.Now = duration(row.Seconds)
	}
	return row
}

// newSpark draws values above zero; what is not known leaves no point.
func newSpark(values []float64) spark {
	low, high := 0.0, 0.0
	for _, v := range values {
		if v > 0 && (low == 0 || v < low) {
			low = v
		}
		high = max(high, v)
	}
	// A tenth of the value at least fills the field, so that noise looks like it.
	span := max(high-low, high/10)
	middle := (high + low) / 2
	var b strings.Builder
	for i, v := range values {
		if v <= 0 || span == 0 {
			continue
		}
		x := 100 * float64(i) / float64(max(len(values)-1, 1))
		y := 10 - 16*(v-middle)/span
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64))
	}
	return spark{Points: b.String()}
}
