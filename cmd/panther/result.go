package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/render"
)

// readPrevious reads the report that changes are relative to, where one was
// named.
func (o *options) readPrevious() (*report.Report, error) {
	if o.previous == "" {
		return nil, nil
	}
	prev, err := report.ReadFile(o.previous)
	if err != nil {
		return nil, usageError("--previous: %v", err)
	}
	return prev, nil
}

// lastReport reads the report that is in the report folder; nil if none is.
func (o *options) lastReport() (*report.Report, error) {
	prev, err := report.ReadFile(filepath.Join(o.report, report.JSONFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return prev, err
}

// stopped ends a run that never began: its report says why, so that an older
// one is not taken for it.
func (a *app) stopped(ctx context.Context, p *project, o options, cfg pipeline.Config, cause error) error {
	if o.report == "" && !a.json {
		return cause
	}
	rows := make([]report.Host, 0, len(p.inv.Hosts))
	for _, h := range p.inv.Hosts {
		rows = append(rows, report.Host{Name: h.Name, Description: h.Description, System: h.System})
	}
	b := report.NewBuilder(report.Run{
		Fleet: p.inv.Fleet.Name, Release: p.inv.Fleet.Release,
		Inputs: string(cfg.Inputs), InputsNote: cfg.InputsNote, Commit: cfg.Commit, Cache: cfg.Cache,
	}, rows...)
	if ctx.Err() != nil {
		b.Interrupt(context.Cause(ctx).Error())
	} else {
		b.RunError(cause)
	}
	rep := b.Finish(time.Now())
	if err := a.publish(&rep, o); err != nil {
		a.tellf("%v", err)
	}
	a.trace(ctx, &rep, o)
	return cause
}

// write writes the report's files into its folder.
func (o *options) write(rep *report.Report) error { return render.Files(o.report, rep) }

// publish writes the report where it is wanted.
func (a *app) publish(rep *report.Report, o options) error {
	var err error
	if o.report != "" {
		if err = o.write(rep); err != nil {
			err = environmentError("%v", err)
		}
	}
	if a.json {
		if jsonErr := rep.Write(a.stdout); jsonErr != nil {
			err = cmp.Or(err, environmentError("%v", jsonErr))
		}
	}
	return err
}

// conclude shows the result of a run and turns it into an exit code.
// The run is added to the history h, unless that is nil.
func (a *app) conclude(ctx context.Context, rep *report.Report, o options, h *pipeline.History, runErr error) error {
	publishErr := a.publish(rep, o)
	added := h != nil && a.addToHistory(ctx, *h, rep)
	if !a.json {
		if err := a.show(rep, o); err != nil && publishErr == nil {
			publishErr = environmentError("printing the result: %v", osCause(err))
		} else if added {
			fmt.Fprintf(a.stdout, "history %s\n", h.Page())
		}
	}
	a.trace(ctx, rep, o)
	unknown := new(pipeline.UnknownHostError)
	switch {
	case errors.Is(runErr, pipeline.ErrInterrupted):
		return &exitError{exitInterrupted, runErr}
	case errors.As(runErr, &unknown):
		return &exitError{exitUsage, runErr}
	case drifted(rep):
		return &exitError{exitInventory, runErr}
	case runErr != nil:
		return &exitError{exitEnvironment, runErr}
	case publishErr != nil:
		return publishErr
	case rep.Status == report.Passed:
		return nil
	}
	return &exitError{code: exitFailed}
}

// drifted reports whether what is generated is not what the inventory says.
func drifted(rep *report.Report) bool {
	return slices.ContainsFunc(rep.Checks, func(c report.Check) bool {
		return c.Name == "drift" && c.Status == report.Failed
	})
}

// show prints the result for people.
func (a *app) show(rep *report.Report, o options) error {
	var b strings.Builder
	if o.scope == pipeline.ScopeCheck {
		checks(&b, rep)
	}
	if err := report.Table(&b, rep); err != nil {
		return err
	}
	switch o.scope {
	case pipeline.ScopeBuild:
		toplevels(&b, rep)
	case pipeline.ScopePush:
		b.WriteString("\n")
		places(&b, rep, o)
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// checks lists the checks, those of hosts in one line for all of them.
func checks(b *strings.Builder, rep *report.Report) {
	rows := [][]string{{"CHECK", "RESULT"}}
	for i := 0; i < len(rep.Checks); {
		c := rep.Checks[i]
		if c.Host == "" {
			row := []string{c.Name, string(c.Status)}
			if c.Detail != "" {
				row = append(row, c.Detail)
			}
			rows = append(rows, row)
			i++
			continue
		}
		passed, all := 0, 0
		for ; i < len(rep.Checks) && rep.Checks[i].Name == c.Name; i++ {
			all++
			if rep.Checks[i].Status == report.Passed {
				passed++
			}
		}
		rows = append(rows, []string{c.Name, fmt.Sprintf("%d of %d passed", passed, all)})
	}
	columns(b, rows)
	b.WriteString("\n")
}

// toplevels lists what was built.
func toplevels(b *strings.Builder, rep *report.Report) {
	var rows [][]string
	for _, h := range rep.Hosts {
		if h.Toplevel != "" {
			rows = append(rows, []string{h.Name, h.Toplevel})
		}
	}
	if rows != nil {
		b.WriteString("\n")
	}
	columns(b, rows)
}

// columns lines up rows of cells.
func columns(b *strings.Builder, rows [][]string) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // into memory
}

// places says where things are and how to use them.
func places(b *strings.Builder, rep *report.Report, o options) {
	for i, f := range []string{"report.html", report.MarkdownFile, report.JSONFile} {
		fmt.Fprintf(b, "%-6s  %s\n", map[bool]string{true: "report"}[i == 0], filepath.Join(o.report, f))
	}
	if rep.Push == nil || len(rep.Push.PublicKeys) == 0 {
		return
	}
	key := rep.Push.PublicKeys[0]
	fmt.Fprintf(b, "cache   %s\n", rep.Run.Cache)
	fmt.Fprintf(b, "key     %s\n", key)
	var example string
	for _, h := range rep.Hosts {
		if h.Toplevel != "" && h.Status == report.Passed {
			example = h.Toplevel
			break
		}
	}
	if example == "" {
		return
	}
	fmt.Fprintf(b, "\nA Nix client reads it with\n\n  nix copy --from %s --option trusted-public-keys %s %s\n",
		pipeline.ShellWords(rep.Run.Cache), pipeline.ShellWords(key), example)
	fmt.Fprintf(b, "\nor, as a substituter, with these lines in nix.conf\n\n  extra-substituters = %s\n  extra-trusted-public-keys = %s\n",
		rep.Run.Cache, strings.Join(rep.Push.PublicKeys, " "))
}

// fileURL is the address of a cache in an absolute folder.
func fileURL(dir string) string {
	return "file://" + (&url.URL{Path: dir}).EscapedPath()
}
