package main

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/render"
)

// historyNone is the value of --history that keeps no runs.
const historyNone = "none"

// How long the history may keep a run waiting: a storage that does not answer
// is the push's to fail for.
const (
	historyReadTime = time.Minute
	historyAddTime  = 10 * time.Minute
)

// addLimits adds the flags that say what is a regression.
func addLimits(cmd *cobra.Command) {
	d := report.DefaultLimits
	cmd.Flags().Float64("max-growth", d.Growth*100, "by how many per cent a closure may grow before that is called a regression")
	cmd.Flags().Float64("max-slowdown", d.Slowdown, "how many times as long a step may take before that is called a regression")
}

// limits are what the flags of addLimits say.
func limits(cmd *cobra.Command) (report.Limits, error) {
	l := report.DefaultLimits
	growth, err := cmd.Flags().GetFloat64("max-growth")
	if err != nil {
		return l, err
	}
	l.Growth = growth / 100
	if l.Slowdown, err = cmd.Flags().GetFloat64("max-slowdown"); err != nil {
		return l, err
	}
	if math.IsNaN(growth) || growth < 0 || growth > 1e6 {
		return l, usageError("--max-growth is %v; it has to be 0 or more per cent", growth)
	}
	if math.IsNaN(l.Slowdown) || l.Slowdown < 1 || l.Slowdown > 1e6 {
		return l, usageError("--max-slowdown is %v; it has to be 1 or more times as long", l.Slowdown)
	}
	return l, nil
}

// fillInHistory settles where runs are kept: in the cache itself, unless that
// is a server's, which has no place for files.
func (o *options) fillInHistory(p *project) error {
	if o.historyKeep < 1 {
		return usageError("--history-keep is %d; it has to be 1 or more (for no history: --history none)", o.historyKeep)
	}
	o.historyNamed = o.history != ""
	switch {
	case strings.HasPrefix(o.history, "http://"), strings.HasPrefix(o.history, "https://"), pipeline.ServerSigns(o.history):
		return usageError("--history %s: a server does not take reports; name a folder (file:///dir) or a bucket (s3://bucket)", o.history)
	case o.historyNamed:
	case pipeline.ServerSigns(o.cache):
		o.history = localHistory(p)
	default:
		o.history = o.cache
	}
	return nil
}

// localHistory keeps runs beside what else is kept between them.
func localHistory(p *project) string { return fileURL(filepath.Join(p.state, "history")) }

// openHistory finds the history that a run is added to, nil if it is kept in
// none, and the report that changes are shown against, where none was named:
// that of the history's newest run, or the one in the report folder.
func (w *workshop) openHistory(ctx context.Context, o *options, cfg *pipeline.Config) *pipeline.History {
	note := func(err error) {
		if ctx.Err() == nil {
			cfg.Observe(pipeline.Event{Kind: pipeline.Note, Step: "history", Detail: report.Line(err.Error())})
		}
	}
	var h *pipeline.History
	if o.history != historyNone {
		h = &pipeline.History{Shell: w.shell, Address: o.history, Keep: o.historyKeep}
		read := func() (*report.Report, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, historyReadTime, errors.New("no answer within a minute"))
			defer cancel()
			if cfg.Previous != nil {
				_, err := h.Index(ctx)
				return nil, err
			}
			return h.Previous(ctx, w.inv.Fleet.Name, cfg.Inputs)
		}
		prev, err := read()
		// A name of pcache's configuration can stand for a server's cache.
		if errors.Is(err, pipeline.ErrNoPlace) && !o.historyNamed {
			h.Address = localHistory(w.project)
			prev, err = read()
		}
		if err != nil {
			note(err)
		}
		if cfg.Previous == nil {
			cfg.Previous = prev
		}
	}
	if cfg.Previous == nil {
		prev, err := o.lastReport()
		if err != nil {
			note(err)
		}
		cfg.Previous = prev
	}
	return h
}

// addToHistory adds a run that went to its end, with its report, and reports
// whether that was done. What fails is told.
func (a *app) addToHistory(ctx context.Context, h pipeline.History, rep *report.Report) bool {
	if rep.Status == report.Interrupted || ctx.Err() != nil {
		return false
	}
	ctx, cancel := context.WithTimeoutCause(ctx, historyAddTime, errors.New("it took more than ten minutes"))
	defer cancel()
	err := addRun(ctx, h, rep)
	if err != nil {
		a.tellf("the run is not in the history: %v", err)
	}
	return err == nil
}

// addRun gives pcache the report in a folder that holds nothing else: in the
// report folder may be anything.
func addRun(ctx context.Context, h pipeline.History, rep *report.Report) error {
	dir, err := os.MkdirTemp("", "panther-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := render.Files(dir, rep); err != nil {
		return err
	}
	_, err = h.Add(ctx, rep.Run.Started, dir)
	return err
}
