package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gitlab.com/pantheros/pantheros/cmd/panther/local"
	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/page"
	"gitlab.com/pantheros/pantheros/pipeline/report/render"
	"gitlab.com/pantheros/pantheros/pipeline/report/trend"
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

// addRun gives pcache the report in a folder that holds nothing else, since in
// the report folder may be anything, and makes the page of the history anew.
func addRun(ctx context.Context, h pipeline.History, rep *report.Report) error {
	dir, err := os.MkdirTemp("", "panther-run-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := render.Files(dir, rep); err != nil {
		return err
	}
	index, err := h.Add(ctx, rep.Run.Started, dir)
	if err != nil {
		return err
	}
	return storePage(ctx, h, index)
}

// storePage renders the page of a history and stores it there.
func storePage(ctx context.Context, h pipeline.History, index *trend.Index) error {
	dir, err := os.MkdirTemp("", "panther-page-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	write := func(w io.Writer) error { return page.WriteHistory(w, index) }
	if err := report.WriteAll(dir, report.File{Name: "index.html", Write: write}); err != nil {
		return err
	}
	return h.SetPage(ctx, filepath.Join(dir, "index.html"))
}

func newReportIndex(a *app) *cobra.Command {
	var htmlFile string
	var store bool
	cmd := &cobra.Command{
		Use:   "index CACHE|FILE",
		Short: "Show how the fleet did over time, from a history of runs",
		Long: `index reads a history of runs and shows how the fleet did: how many builds
succeeded against the goal of 95 %, how long runs took, how large the closures are,
what was sent, and what got worse, by run and by host.

The history is the one in the storage of CACHE, an address or a name as pcache has
it, or in FILE, which "pcache reports list --json" printed ("-" is standard input),
or a folder that "pcache reports get" filled. build-all makes the page anew after
each run; --store does so now. The page's links lead to the reports beside it.`,
		Example: `  panther report index s3://nix-cache
  panther report index file:///srv/cache --store
  pcache reports list --json nightly | panther report index - --html history.html`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("html") && htmlFile == "" {
				return usageError("--html is empty; it has to be a file, or - for standard output")
			}
			return a.reportIndex(cmd.Context(), args[0], htmlFile, store)
		},
	}
	cmd.Flags().StringVar(&htmlFile, "html", "", "write the page to this file; - is standard output")
	cmd.Flags().BoolVar(&store, "store", false, "store the page in the cache, beside the reports")
	return cmd
}

// reportIndex shows the history at place, or makes its page.
func (a *app) reportIndex(ctx context.Context, place, htmlFile string, store bool) error {
	index, h, err := a.readIndex(ctx, place)
	if err != nil {
		return err
	}
	if store {
		if h == nil {
			return usageError("--store: %s is no cache; name the one that the page is to be stored in", place)
		}
		if err := storePage(ctx, *h, index); err != nil {
			return environmentError("%v", err)
		}
		a.tellf("stored: %s", h.Page())
	}
	if htmlFile != "" {
		var b bytes.Buffer
		if err := page.WriteHistory(&b, index); err != nil {
			return environmentError("--html: %v", err)
		}
		if err := a.deliver(target{path: htmlFile}, b.Bytes()); err != nil {
			return environmentError("--html: writing %s: %v", htmlFile, osCause(err))
		}
	}
	if store || htmlFile != "" {
		return nil
	}
	if err := trend.Table(a.stdout, trend.Of(index)); err != nil {
		return environmentError("printing the history: %v", osCause(err))
	}
	return nil
}

// readIndex reads the history at place; h is nil where that is a file.
func (a *app) readIndex(ctx context.Context, place string) (index *trend.Index, h *pipeline.History, err error) {
	if info, err := os.Stat(place); err == nil || place == "-" {
		in := io.Reader(os.Stdin)
		if place != "-" {
			if info.IsDir() {
				place = filepath.Join(place, "index.json")
			}
			f, err := os.Open(place)
			if err != nil {
				return nil, nil, usageError("the index of runs: %v", err)
			}
			defer f.Close()
			in = f
		}
		if index, err = trend.Read(in); err != nil {
			return nil, nil, usageError("%s: %v", place, err)
		}
		return index, nil, nil
	}
	if strings.ContainsAny(place, "/.") && !strings.Contains(place, ":") {
		return nil, nil, usageError("there is no file %s; a cache in a folder is %s", place, fileURL(absolute(place)))
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, environmentError("finding panther's own file: %v", err)
	}
	shell := local.CacheShell(filepath.Dir(self), os.LookupEnv)
	a.shell.Store(shell)
	h = &pipeline.History{Shell: shell, Address: place}
	if index, err = h.Index(ctx); err != nil {
		return nil, nil, environmentError("%v", err)
	}
	return index, h, nil
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
