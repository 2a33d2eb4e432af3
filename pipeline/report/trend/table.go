package trend

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// What a terminal shows of a history.
const (
	tableRuns        = 20
	tableRegressions = 10
)

// Table writes a trend for a terminal: the goal, the hosts, the newest runs, and
// what got worse in the Window.
func Table(w io.Writer, t *Trend) error {
	var b strings.Builder
	if t.Last() == nil {
		b.WriteString("no runs yet\n")
	} else {
		t.write(&b)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	return nil
}

func (t *Trend) write(b *strings.Builder) {
	met := "above"
	if t.Builds.Share() < report.BuildGoal {
		met = "BELOW"
	}
	fmt.Fprintf(b, "%s, %s of %s inputs: %d of %d builds succeeded in the last %d, %.1f %%, %s the goal of 95 %%\n",
		report.Line(t.Fleet), report.Plural(len(t.Points), "run"), report.Line(t.Inputs), t.Builds.Passed, t.Builds.Of,
		min(len(t.Points), Window), 100*t.Builds.Share(), met)
	if t.Others > 0 {
		fmt.Fprintf(b, "%s of other fleets or inputs not counted\n", report.Plural(t.Others, "run"))
	}
	b.WriteString("\n")
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "HOST\tSUCCEEDED\tNEWEST\tTIME\tCLOSURE\tSENT")
	for _, h := range t.Hosts {
		l := h.Last()
		fmt.Fprintf(tw, "%s\t%d of %d\t%s\t%s\t%s\t%s\n", report.Line(h.Name), h.Builds.Passed, h.Builds.Of, report.Line(l.Result),
			report.Duration(Seconds(l)), report.Size(l.ClosureBytes), report.Size(l.SentBytes))
	}
	fmt.Fprintln(tw, "\nRUN\tHOSTS\tRESULT\tTIME\tCLOSURES\tSENT")
	shown := t.Points[len(t.Points)-min(len(t.Points), tableRuns):]
	for _, p := range slices.Backward(shown) {
		s := p.Summary
		fmt.Fprintf(tw, "%s\t%d of %d\t%s\t%s\t%s\t%s\n", s.Started.UTC().Format("2006-01-02 15:04"), p.Builds.Passed, p.Builds.Of, s.Status,
			report.Duration(s.Seconds), report.Size(s.ClosureBytes), report.Size(s.SentBytes))
	}
	_ = tw.Flush() // into memory
	if more := len(t.Points) - len(shown); more > 0 {
		fmt.Fprintf(b, "and %s\n", report.Plural(more, "older run"))
	}
	n := 0
	for _, p := range slices.Backward(t.Points[len(t.Points)-min(len(t.Points), Window):]) {
		for _, g := range p.Summary.Regressions {
			if n++; n <= tableRegressions {
				if n == 1 {
					b.WriteString("\n")
				}
				fmt.Fprintf(b, "regression on %s: %s\n", p.Summary.Started.UTC().Format("2006-01-02"), report.Line(g.String()))
			}
		}
	}
	if n > tableRegressions {
		fmt.Fprintf(b, "and %s more\n", report.Plural(n-tableRegressions, "regression"))
	}
}
