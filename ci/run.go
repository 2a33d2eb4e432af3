package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/ci/internal/dagger"
	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/inventory"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

const (
	flakeName = "flake-src"
	keyName   = "pantheros-local-1" // of the key that is made where none is given
)

// options are what distinguishes the functions that run the pipeline.
type options struct {
	scope    pipeline.Scope
	generate bool
	hosts    []string
	previous *dagger.File
	name     string // to keep the report under; empty: it is not kept
}

// result is a run that has ended.
type result struct {
	id   string
	rep  *report.Report
	text string // for people
}

// verdict is nil for a run in which all went well.
func (r *result) verdict() error {
	if r.rep.Status == report.Passed {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the run %s\n\n%s", r.rep.Status, r.text)
	for _, c := range r.rep.Checks {
		if c.Status == report.Failed && c.Host == "" {
			fmt.Fprintf(&b, "\n%s: %s\n%s\n", c.Name, c.Detail, strings.Join(c.Log, "\n"))
		}
	}
	for _, h := range r.rep.Hosts {
		if f := h.Failure; f != nil {
			fmt.Fprintf(&b, "\n%s: %s: %s\n%s\n", h.Name, f.Step, f.Message, strings.Join(f.LogTail, "\n"))
		}
	}
	return errors.New(strings.TrimRight(b.String(), "\n"))
}

// runID is different at every call.
func runID() string { return rand.Text() }

// checkout writes the flake's folder to this module's working folder, where the
// pipeline reads and writes it, and returns its path and the hosts that it lists.
func (m *Pantheros) checkout(ctx context.Context) (string, *inventory.Inventory, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", nil, err
	}
	dir := filepath.Join(wd, flakeName)
	_, err = m.Source.Directory(flakeName).Export(ctx, dir, dagger.DirectoryExportOpts{Wipe: true})
	if err != nil {
		return "", nil, fmt.Errorf("reading %s of the source: %w", flakeName, err)
	}
	inv, err := inventory.Load(filepath.Join(dir, "hosts.toml"))
	if err != nil {
		// As seen from a clone, not from here.
		return "", nil, errors.New(strings.ReplaceAll(err.Error(), dir, flakeName))
	}
	return dir, inv, nil
}

// run takes the fleet through the pipeline. The error is for a run that could
// not be made at all; what went wrong in it is in the result.
func (m *Pantheros) run(ctx context.Context, o options) (*result, error) {
	flake, inv, err := m.checkout(ctx)
	if err != nil {
		return nil, err
	}
	version, err := dag.Version(ctx)
	if err != nil {
		return nil, err
	}
	id := runID()
	sh := &shell{flake: flake, name: flakeName, run: id}
	cfg := pipeline.Config{
		Shell: sh, Inventory: inv, FlakeDir: flake,
		Hosts: o.hosts, Scope: o.scope, Generate: o.generate, Jobs: m.Jobs,
		Inputs: pipeline.Inputs(m.Inputs), Commit: m.Commit, Engine: "dagger " + version,
		Observe: logLine,
	}
	if cfg.Inputs == pipeline.InputsAuto {
		if sh.nix, err = m.workshop(ctx, pipeline.InputsReal, nil); err != nil {
			return nil, err
		}
		if cfg.Inputs, cfg.InputsNote, err = pipeline.ResolveInputs(ctx, sh, inv); err != nil {
			return nil, err
		}
	}
	var near *nearby
	if o.scope >= pipeline.ScopeBuild {
		if near, err = m.near(ctx, cfg.Inputs); err != nil {
			return nil, err
		}
	}
	if sh.nix, err = m.workshop(ctx, cfg.Inputs, near); err != nil {
		return nil, err
	}
	if o.scope == pipeline.ScopePush {
		cfg.Cache, cfg.SecretKeyFile = m.cacheAddress(), keyFile
		if pipeline.ServerSigns(cfg.Cache) {
			cfg.SecretKeyFile = "" // the server signs
		}
		if sh.push, err = m.pusher(ctx, sh.nix); err != nil {
			return nil, err
		}
	}
	history := m.history(sh, o)
	if o.name != "" {
		if cfg.Previous, err = m.previous(ctx, o, id, history, inv.Fleet.Name, cfg.Inputs); err != nil {
			return nil, err
		}
	}
	finish := func() {}
	if o.name != "" {
		k := &keeper{m: m, name: o.name, id: id}
		cfg.Checkpoint, finish = k.mark, k.start(ctx)
	}
	rep, err := pipeline.Run(ctx, cfg)
	finish()
	unknown := new(pipeline.UnknownHostError)
	if errors.As(err, &unknown) {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for i := range rep.Hosts { // as seen from a clone, not from here
		if f := rep.Hosts[i].Failure; f != nil {
			f.Command = strings.ReplaceAll(f.Command, "path:"+flake, "path:./"+flakeName)
		}
	}
	if o.name != "" {
		if err := m.keep(ctx, rep, o.name, id, "end"); err != nil {
			return nil, err
		}
	}
	if history != nil {
		if err := addRun(ctx, sh, *history, rep); err != nil { // the run is not worse for it
			fmt.Fprintf(os.Stderr, "the run is not in the history: %v\n", err)
		}
	}
	var text strings.Builder
	if err := report.Table(&text, rep); err != nil {
		return nil, err
	}
	for _, h := range rep.Hosts {
		if o.scope == pipeline.ScopeBuild && h.Toplevel != "" {
			fmt.Fprintf(&text, "\n%s  %s\n", h.Name, h.Toplevel)
		}
	}
	return &result{id: id, rep: rep, text: text.String()}, nil
}

// logLine prints what happened, for the log of the call.
func logLine(e pipeline.Event) {
	subject := e.Step
	if e.Host != "" {
		subject = e.Host + ": " + e.Step
	}
	switch e.Kind {
	case pipeline.StepFinished:
		fmt.Fprintf(os.Stderr, "%s: %s after %.1f s: %s\n", subject, e.Status, e.Seconds, e.Detail)
	case pipeline.Note:
		fmt.Fprintf(os.Stderr, "%s: %s\n", subject, e.Detail)
	}
}

// keepEvery is how often the report of a run under way is kept, so that one that
// is cancelled leaves it.
const keepEvery = 15 * time.Second

// keeper keeps the report of a run while it goes.
type keeper struct {
	m        *Pantheros
	name, id string

	mu       sync.Mutex
	snapshot func() *report.Report
}

func (k *keeper) mark(snapshot func() *report.Report) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.snapshot = snapshot
}

// start begins to keep, and returns what ends it.
func (k *keeper) start(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(keepEvery)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			k.mu.Lock()
			snapshot := k.snapshot
			k.mu.Unlock()
			if snapshot == nil {
				continue
			}
			// The run does not fail for it: its end is kept with an error of its own.
			if err := k.m.keep(ctx, snapshot(), k.name, k.id, fmt.Sprint(n)); err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "keeping the report of the run so far: %v\n", err)
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}
