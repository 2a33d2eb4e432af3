package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// Bounds that keep a page quick to open whatever the fleet.
const (
	maxHosts    = 400  // cards and rows
	maxFailures = 40   // with their logs
	maxLog      = 80   // lines of one log
	maxLine     = 1000 // characters of a line
)

// view is what the template shows of a report.
type view struct {
	sheet
	*report.Report
	Title    string
	Mark     string // of the verdict: the run's status, or "regressed"
	Verdict  string
	Lede     []string
	Figures  []figure
	Failures []failure
	Worse    []worse
	Cards    []card
	MoreHost int

	MoreWorse int
	Timeline  *timeline
	Work      *work
	Closure   *composition
	Changes   *changes
	Checks    checks
	Push      *push
	Stopped   []string // what a run that was killed or interrupted was doing
}

// figure is one of the numbers at the top.
type figure struct {
	Label, Value, Note string
	Status             report.Status // of a goal; empty for a mere number
}

// failure is what broke, with what is needed to look into it.
type failure struct {
	Of, Result, Message, DrvPath, Command string
	Log                                   []string
	Left                                  int // lines of the log that are in report.json only
}

func newView(r *report.Report) *view {
	v := &view{sheet: newSheet(), Report: r}
	fleet := cmp.Or(r.Run.Fleet, "Fleet")
	v.Verdict = verdict(r)
	v.Mark = string(r.Status)
	if len(r.Regressions) > 0 && r.Status == report.Passed {
		v.Mark = "regressed"
		v.Verdict = strings.TrimSuffix(v.Verdict, ".") + ", with " + report.Plural(len(r.Regressions), "regression") + "."
	}
	v.Title = fmt.Sprintf("%s, %s: %s", fleet, r.Run.Started.UTC().Format("2 Jan 2006"), r.Outcome())
	v.Failures = failures(r)
	v.Worse, v.MoreWorse = regressions(r.Regressions)
	v.Cards, v.MoreHost = cards(r)
	v.Timeline = newTimeline(r)
	v.Work = newWork(r)
	v.Closure = newComposition(r)
	v.Changes = newChanges(r)
	v.Checks = newChecks(r)
	v.Push = newPush(r)
	v.Figures = figures(r, &v.Checks)
	v.Lede = lede(r, v.Changes)
	v.Stopped = stopped(r)
	return v
}

// verdict is the run in one sentence.
func verdict(r *report.Report) string {
	n, passed, failed := len(r.Hosts), 0, 0
	var bad []string
	for i := range r.Hosts {
		switch r.Hosts[i].Status {
		case report.Passed:
			passed++
		case report.Failed:
			failed++
			bad = append(bad, r.Hosts[i].Name)
		}
	}
	did := "passed"
	if r.Push != nil && r.Push.Status == report.Passed && !r.Push.DryRun {
		did = "built and pushed"
	} else if r.Push == nil && n > 0 && r.Hosts[0].Toplevel != "" {
		did = "built"
	}
	hosts := func(k int) string {
		if k == n {
			if k == 1 {
				return "The host"
			}
			return fmt.Sprintf("All %d hosts", k)
		}
		return fmt.Sprintf("%d of %d hosts", k, n)
	}
	switch {
	case r.Run.Unfinished:
		return fmt.Sprintf("The run stopped, or is under way: %d of %d hosts done.", passed, n)
	case r.Status == report.Interrupted:
		return fmt.Sprintf("Interrupted: %d of %d hosts done.", passed, n)
	case failed > 0 && failed <= 3:
		names := list(bad)
		return fmt.Sprintf("%s failed; %s %s.", names, lower(hosts(passed)), did)
	case failed > 0:
		return fmt.Sprintf("%d of %d hosts failed.", failed, n)
	case r.Status == report.Failed && passed < n:
		return fmt.Sprintf("%s %s; the others were left out.", hosts(passed), did)
	case r.Status == report.Failed && n > 0:
		return fmt.Sprintf("%s %s, but the run failed.", hosts(passed), did)
	case r.Status == report.Failed:
		return "The run failed."
	case n == 0:
		return "Passed, with no hosts."
	}
	return hosts(passed) + " " + did + "."
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// lede is the paragraph below the verdict, sentence by sentence.
func lede(r *report.Report, c *changes) []string {
	var s []string
	s = append(s, "It took "+duration(r.Run.Seconds)+".")
	if r.Push != nil {
		text := r.Push.Summary()
		s = append(s, strings.ToUpper(text[:1])+text[1:]+".")
	}
	if c != nil {
		s = append(s, c.Sentence)
	}
	if n := len(r.Regressions); n > 0 && r.Status != report.Passed { // else the verdict says so
		s = append(s, report.Plural(n, "regression")+" since the previous run.")
	}
	return s
}

// stopped names what was under way when the record ended.
func stopped(r *report.Report) []string {
	if r.Status != report.Interrupted {
		return nil
	}
	var list []string
	for _, h := range r.Hosts {
		for _, s := range h.Steps {
			if s.Status == report.Interrupted {
				list = append(list, fmt.Sprintf("%s: %s, after %s", h.Name, s.Name, duration(s.Seconds)))
			}
		}
	}
	for _, a := range r.Activities {
		if a.Status == report.Interrupted && len(list) < 40 {
			list = append(list, fmt.Sprintf("%s: %s of %s, after %s", a.Host, a.Kind, base(a.Path), duration(a.Seconds)))
		}
	}
	for _, c := range r.Checks {
		if c.Status == report.Interrupted && len(list) < 40 {
			list = append(list, strings.TrimSpace(fmt.Sprintf("check %s %s, after %s", c.Name, c.Host, duration(c.Seconds))))
		}
	}
	return list
}

// figures are the owner's goals, then what the run cost.
func figures(r *report.Report, c *checks) []figure {
	passed := 0
	var built, fetched, present int
	var fetchedBytes int64
	known := false
	for _, h := range r.Hosts {
		if h.Status == report.Passed {
			passed++
		}
		if w := h.Work; w != nil {
			known = true
			built, fetched, fetchedBytes = built+w.Built, fetched+w.Fetched, fetchedBytes+w.FetchedBytes
		}
	}
	for _, p := range r.Paths {
		if p.Origin == "" {
			present++
		}
	}
	goal := func(ok bool) report.Status {
		if ok {
			return report.Passed
		}
		return report.Failed
	}
	var f []figure
	if n := len(r.Hosts); n > 0 {
		share := float64(passed) / float64(n)
		f = append(f, figure{"Hosts", fmt.Sprintf("%d of %d", passed, n), percent(share) + ", goal 95 %", goal(share >= report.BuildGoal)})
	}
	if c.Total > 0 {
		share := float64(c.Passed) / float64(c.Total)
		f = append(f, figure{"Validation", fmt.Sprintf("%d of %d", c.Passed, c.Total), percent(share) + " of checks, goal 100 %", goal(share >= 1)})
	}
	if cis := c.CIS; cis != nil {
		note := fmt.Sprintf("%s of %s items done", number(cis.Done), number(cis.Asked))
		f = append(f, figure{"CIS level 1", fmt.Sprintf("%d missing", cis.Missing), note, goal(cis.Missing == 0)})
	}
	f = append(f, figure{Label: "Duration", Value: duration(r.Run.Seconds), Note: "started " + r.Run.Started.UTC().Format("15:04 UTC")})
	if paths, bytes, ok := r.ClosureUnion(); ok {
		f = append(f, figure{Label: "All closures", Value: size(bytes), Note: number(paths) + " paths, shared ones once"})
	}
	if r.Push != nil {
		f = append(f, figure{Label: "Sent", Value: size(r.Push.Sent.FileBytes), Note: fmt.Sprintf("%s of %s paths", number(r.Push.Sent.Paths), number(len(r.Push.Paths)))})
	}
	if known {
		f = append(f, figure{Label: "Built", Value: number(built), Note: "derivations"})
		if fetched > 0 || present > 0 {
			note := size(fetchedBytes)
			f = append(f, figure{Label: "Fetched", Value: number(fetched), Note: "paths, " + note})
			f = append(f, figure{Label: "Already there", Value: number(present), Note: "paths of the closures"})
		}
	}
	return f
}

func failures(r *report.Report) []failure {
	var out []failure
	add := func(f failure, log []string) {
		if len(out) >= maxFailures {
			return
		}
		tail := log[max(0, len(log)-maxLog):]
		f.Left = len(log) - len(tail)
		for _, l := range tail {
			if len(l) > maxLine {
				l = strings.ToValidUTF8(l[:maxLine], "") + "..."
			}
			f.Log = append(f.Log, l)
		}
		out = append(out, f)
	}
	for _, g := range r.FailureGroups() {
		add(failure{
			Of: list(g.Hosts), Result: g.Result, Message: g.Failure.Message,
			DrvPath: g.Failure.DrvPath, Command: g.Failure.Command,
		}, g.Failure.LogTail)
	}
	for _, c := range r.Checks {
		if c.Status == report.Failed {
			add(failure{Of: cmp.Or(c.Host, "the fleet"), Result: "check " + c.Name + " failed", Message: c.Detail}, c.Log)
		}
	}
	return out
}

// card is a host at a glance.
type card struct {
	*report.Host
	ID      string
	Result  string
	Steps   []stepBar
	Seconds float64 // of all steps
	Cached  *report.Count
	Present string  // share of its paths that the cache had
	Weight  float64 // share of the largest closure
	Kinds   string  // how its packages changed
	Own     int64   // bytes that only this host has
	Failed  []string
}

// stepBar is a step as a part of a bar.
type stepBar struct {
	report.Step
	Kind  string // class of its colour
	From  float64
	Share float64
}

// cards has those that need attention first.
func cards(r *report.Report) (out []card, more int) {
	largest := int64(1)
	for _, h := range r.Hosts {
		if h.Closure != nil {
			largest = max(largest, h.Closure.NARBytes)
		}
	}
	own := ownBytes(r)
	for i := range r.Hosts {
		h := &r.Hosts[i]
		c := card{Host: h, ID: fmt.Sprintf("host-%d", i+1), Result: h.Result(), Own: own[i]}
		for _, s := range h.Steps {
			c.Seconds += s.Seconds
		}
		at := 0.0
		for _, s := range h.Steps {
			b := stepBar{Step: s, Kind: stepKind(s), From: at}
			if c.Seconds > 0 {
				b.Share = s.Seconds / c.Seconds
			}
			at += b.Share
			c.Steps = append(c.Steps, b)
		}
		if h.Closure != nil {
			c.Weight = float64(h.Closure.NARBytes) / float64(largest)
			if r.Push != nil && r.Push.Status == report.Passed && !r.Push.DryRun && h.Sent.Paths <= h.Closure.Paths && h.Closure.Paths > 0 {
				c.Cached = &report.Count{Paths: h.Closure.Paths - h.Sent.Paths, NARBytes: max(0, h.Closure.NARBytes-h.Sent.NARBytes)}
				c.Present = percent(float64(c.Cached.Paths) / float64(h.Closure.Paths))
			}
		}
		if h.Changes != nil {
			c.Kinds = kinds(h.Changes)
		}
		for _, k := range r.Checks {
			if k.Host == h.Name && k.Status == report.Failed {
				c.Failed = append(c.Failed, k.Name)
			}
		}
		out = append(out, c)
	}
	rank := map[report.Status]int{report.Failed: 0, report.Interrupted: 1, report.Skipped: 2, report.Passed: 3}
	slices.SortStableFunc(out, func(a, b card) int { return cmp.Compare(rank[a.Status], rank[b.Status]) })
	if len(out) > maxHosts {
		return out[:maxHosts], len(out) - maxHosts
	}
	return out, 0
}

func stepKind(s report.Step) string {
	switch {
	case s.Status == report.Failed:
		return "bad"
	case s.Status == report.Interrupted:
		return "cut"
	case s.Name == report.StepEvaluate, s.Name == report.StepBuild, s.Name == report.StepPush:
		return s.Name
	}
	return "other"
}

// ownBytes is, for each host, the size of the paths that no other has.
func ownBytes(r *report.Report) []int64 {
	holders := sharing(r)
	own := make([]int64, len(r.Hosts))
	for i, h := range r.Hosts {
		if h.Closure == nil {
			continue
		}
		for _, m := range h.Closure.Members {
			if holders[m] == 1 {
				own[i] += r.Paths[m].NARBytes
			}
		}
	}
	return own
}

// sharing is, for each path, how many hosts' closures have it.
func sharing(r *report.Report) []int {
	n := make([]int, len(r.Paths))
	for _, h := range r.Hosts {
		if h.Closure == nil {
			continue
		}
		for _, m := range h.Closure.Members {
			n[m]++
		}
	}
	return n
}

// push is what was sent and what was not, and why.
type push struct {
	*report.Push
	Rows  []pushRow
	Keys  []string
	Roots []report.PushRoot
	More  int
}

type pushRow struct {
	Word, Why string
	Kind      string
	report.Count
	From, Share float64
}

func newPush(r *report.Report) *push {
	if r.Push == nil {
		return nil
	}
	p := &push{Push: r.Push, Keys: r.Push.PublicKeys, Roots: r.Push.Roots}
	const most = 60
	if len(p.Roots) > most {
		p.Roots, p.More = p.Roots[:most], len(p.Roots)-most
	}
	p.Keys = p.Keys[:min(len(p.Keys), 10)]
	rest := report.Count{}
	for _, q := range r.Push.Paths {
		if q.Action != "sent" && q.Action != "skipped" {
			rest.Paths++
			rest.NARBytes += q.NARBytes
		}
	}
	p.Rows = append(p.Rows, pushRow{Word: "sent", Why: "it was not in the cache", Kind: "sent", Count: r.Push.Sent})
	for _, reason := range slices.Sorted(maps.Keys(r.Push.Skipped)) {
		p.Rows = append(p.Rows, pushRow{Word: reason, Why: report.SkipReason(reason), Kind: "kept", Count: r.Push.Skipped[reason]})
		if len(p.Rows) > 20 {
			break
		}
	}
	if rest.Paths > 0 {
		why := "not reached"
		if r.Push.DryRun {
			why = "it would be sent: this was a dry run"
		}
		p.Rows = append(p.Rows, pushRow{Word: "not sent", Why: why, Kind: "left", Count: rest})
	}
	total := int64(0)
	for _, row := range p.Rows {
		total += row.NARBytes
	}
	at := 0.0
	for i := range p.Rows {
		row := &p.Rows[i]
		row.From = at
		if total > 0 {
			row.Share = float64(row.NARBytes) / float64(total)
		}
		at += row.Share
	}
	return p
}

// Describe is the chart in words.
func (p *push) Describe() string {
	var parts []string
	for _, row := range p.Rows {
		parts = append(parts, fmt.Sprintf("%s %s, %s", row.Word, report.Plural(row.Paths, "path"), size(row.NARBytes)))
	}
	return "What the push sent and left out, by size: " + strings.Join(parts, "; ") + "."
}
