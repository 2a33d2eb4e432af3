package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

func newCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check [HOST...]",
		Short: "Check the flake and evaluate its hosts",
		Long: `check runs every check and shows a row for each:

  drift        what is generated from hosts.toml is up to date
  syntax       every Nix file parses
  flake-check  nix flake check --no-build (left out when only some hosts are named)
  toplevel     the host evaluates to a derivation
  security     its security settings are what the fleet asks for
  services     its services agree with each other

Nothing is built. Without a host, all hosts are checked.`,
		Example:           "  panther check\n  panther check yoga --json",
		ValidArgsFunction: a.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.pipeline(cmd.Context(), options{scope: pipeline.ScopeCheck, hosts: args})
		},
	}
}

func newBuild(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "build HOST...",
		Short: "Check and build hosts, without pushing them",
		Long: `build checks the named hosts and builds their toplevels. They stay in the store
and nothing is pushed.`,
		Example:           "  panther build yoga\n  panther build yoga zephyrus --inputs real",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.pipeline(cmd.Context(), options{scope: pipeline.ScopeBuild, hosts: args})
		},
	}
}

func newBuildAll(a *app) *cobra.Command {
	o := options{scope: pipeline.ScopePush, generate: true}
	cmd := &cobra.Command{
		Use:   "build-all",
		Short: "Generate, check and build all hosts, push them to a cache, write a report",
		Long: `build-all does the whole job: it writes what is generated from hosts.toml, runs
all checks, builds every host, pushes the closures of those that were built and
passed their checks to a signed binary cache, and writes a report. A host that
fails does not stop the others. It ends with code 0 only if all hosts were built
and pushed. Running it again sends what is missing, and nothing if all is there.

The report is report.html and its kin in the report folder; it is written whatever
happens, also when the run is interrupted. A run that went to its end is added to
the history of runs in the cache's own storage (--history), whose newest run is
what changes are shown against. What fails there is a warning.

Where OTEL_EXPORTER_OTLP_ENDPOINT is set, the run is sent there as an OpenTelemetry
trace when it has ended.`,
		Example: `  panther build-all
  panther build-all --inputs offline --out /tmp/out
  panther build-all --cache file:///srv/cache --secret-key-file /etc/pcache/key
  panther build-all --cache attic+https://cache.example.org/main --history s3://reports`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.limits, err = limits(cmd); err != nil {
				return err
			}
			return a.pipeline(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.out, "out", "", "folder for the cache and the report (default: out beside the flake's folder)")
	flags.StringVar(&o.cache, "cache", "", "address of the cache to push to, or its name in pcache's configuration (default: file://OUT/cache)")
	flags.StringVar(&o.report, "report", "", "folder of the report (default: OUT/report)")
	flags.StringVar(&o.keyFile, "secret-key-file", "", "key that signs what is pushed (default: STATE/cache-key, made when it is missing)")
	flags.StringVar(&o.previous, "previous", "", "report.json to show changes against (default: that of the newest run of the history, else the one in the report folder)")
	flags.StringVar(&o.history, "history", "", "address or name of the cache that keeps the reports of runs, or none (default: the cache; of an Attic server file://STATE/history)")
	flags.IntVar(&o.historyKeep, "history-keep", 200, "how many runs to keep there")
	addLimits(cmd)
	for _, name := range []string{"out", "report"} {
		if err := cmd.MarkFlagDirname(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
	return cmd
}

// options are what distinguishes check, build and build-all.
type options struct {
	scope    pipeline.Scope
	hosts    []string
	generate bool

	// Of build-all:
	out, cache, report, keyFile, previous string
	history                               string // historyNone: runs are not kept
	historyKeep                           int
	historyNamed                          bool // by the user
	limits                                report.Limits
}

// pipeline runs the pipeline on this machine and shows what comes of it.
func (a *app) pipeline(ctx context.Context, o options) error {
	p, err := a.project()
	if err != nil {
		return err
	}
	if err := p.checkHosts(o.hosts); err != nil {
		return err
	}
	if o.scope == pipeline.ScopePush {
		if err := o.fillIn(p); err != nil {
			return err
		}
	}
	previous, err := o.readPrevious()
	if err != nil {
		return err
	}
	display := a.newDisplay(p, o, previous)
	cfg := pipeline.Config{
		Inventory: p.inv,
		FlakeDir:  p.flake,
		Hosts:     o.hosts,
		Scope:     o.scope,
		Generate:  o.generate,
		Inputs:    pipeline.Inputs(a.inputs),
		Cache:     o.cache,
		Commit:    p.commit(ctx),
		Previous:  previous,
		Limits:    o.limits,
		Observe:   display.event,
	}
	h, err := a.prepare(ctx, p, &o, &cfg)
	if err != nil {
		display.close()
		return a.stopped(ctx, p, o, cfg, err)
	}
	closeCheckpoints := func() {}
	if o.report != "" {
		c := newCheckpoints(o.write,
			func(err error) { display.note(fmt.Sprintf("panther: the report of the run so far: %v", err)) })
		cfg.Checkpoint, closeCheckpoints = c.mark, c.close
	}
	rep, err := pipeline.Run(ctx, cfg)
	closeCheckpoints()
	display.close()
	return a.conclude(ctx, rep, o, h, err)
}

// prepare readies the machine for a run, and finds the history that the run is
// to be added to; nil if there is none.
func (a *app) prepare(ctx context.Context, p *project, o *options, cfg *pipeline.Config) (*pipeline.History, error) {
	if err := writable(p.state); err != nil {
		return nil, err
	}
	w, err := a.workshop(ctx, p, func(what string) {
		cfg.Observe(pipeline.Event{Kind: pipeline.StepStarted, Step: "inputs", Detail: what})
	})
	if err != nil {
		return nil, err
	}
	cfg.Shell, cfg.Inputs, cfg.InputsNote, cfg.NixCommand = w.shell, w.inputs, w.note, w.nixCommand
	cfg.Jobs = a.jobs
	if cfg.Jobs == 0 {
		cfg.Jobs = defaultJobs(max(1, len(p.inv.Hosts)))
	}
	if o.scope < pipeline.ScopePush {
		return nil, nil
	}
	if err := w.requirePcache(); err != nil {
		return nil, err
	}
	// A name stands for what pcache's configuration says of the cache, its key
	// included, or that its server signs.
	named := !strings.Contains(o.cache, "://")
	if !pipeline.ServerSigns(o.cache) && (!named || o.keyFile != "") {
		if o.keyFile == "" {
			o.keyFile = filepath.Join(p.state, "cache-key")
			if err := w.ensureKey(ctx, o.keyFile); err != nil {
				return nil, err
			}
		}
		cfg.SecretKeyFile = o.keyFile
	}
	return w.openHistory(ctx, o, cfg), nil
}

// fillIn gives what build-all was not told its default, and tries early what
// would be a pity to find out late.
func (o *options) fillIn(p *project) error {
	if o.out == "" {
		o.out = filepath.Join(p.root(), "out")
	}
	if o.report == "" {
		o.report = filepath.Join(o.out, "report")
	}
	for _, path := range []*string{&o.out, &o.report, &o.keyFile} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return environmentError("finding %s: %v", *path, err)
		}
		*path = abs
	}
	if o.cache == "" {
		o.cache = fileURL(filepath.Join(o.out, "cache"))
		if err := writable(o.out); err != nil {
			return err
		}
	}
	if err := o.fillInHistory(p); err != nil {
		return err
	}
	if o.keyFile != "" && pipeline.ServerSigns(o.cache) {
		return usageError("--secret-key-file: an Attic server signs with its own key; leave the key out")
	}
	if o.keyFile != "" && !isFile(o.keyFile) {
		return usageError("--secret-key-file: there is no file %s", o.keyFile)
	}
	return writable(o.report)
}

func (a *app) tellf(format string, args ...any) {
	fmt.Fprintf(a.stderr, "panther: "+format+"\n", args...)
}
