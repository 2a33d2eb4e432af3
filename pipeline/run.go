package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gitlab.com/pantheros/pantheros/pipeline/inventory"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// run is one Run under way.
type run struct {
	Config
	hosts  []inventory.Host
	inputs []string // arguments that give the flake its inputs
	rec    *report.Builder

	sourceOnce sync.Once
	source     sourceNames

	observing sync.Mutex // keeps the calls of Observe apart
}

// ErrInterrupted is the reason that a report gives when ctx ended without a
// cause of its own.
var ErrInterrupted = errors.New("interrupted")

// Run takes the fleet through the steps that cfg asks for and returns the
// report, which is there and valid whatever happens:
//
//  1. what is generated from the inventory is compared with it, or written,
//     and it is settled where the flake's inputs come from;
//  2. the other checks of the fleet: syntax, flake-check;
//  3. the hosts, as many at once as cfg.Jobs: each is evaluated by a process
//     of its own, which also answers the host's checks, and then built from
//     the derivation that the evaluation gave;
//  4. the push of those that were built and passed their checks, while others
//     are still at it: one push at a time, each of all hosts that are ready
//     when it begins, so that what they share goes up once.
//
// A check or host that fails is recorded in the report, and the others go on.
// The error is for what stopped the run as a whole: a cfg that makes no sense
// (an *UnknownHostError, say), inputs that are not there, or the end of ctx.
// Run returns within a second of that, if the shell does.
func Run(ctx context.Context, cfg Config) (*report.Report, error) {
	r, err := newRun(cfg)
	if err == nil {
		err = r.all(ctx)
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
		if errors.Is(err, context.Canceled) {
			err = ErrInterrupted
		}
		r.rec.Interrupt(err.Error())
	case err != nil:
		r.rec.RunError(err)
	}
	rep := r.rec.Finish(time.Now())
	if cmpErr := r.Limits.Compare(r.Previous, &rep); cmpErr != nil {
		r.event(Event{Kind: Note, Detail: oneLine(cmpErr.Error())})
	}
	return &rep, err
}

// newRun returns a run that can record even where cfg is wrong.
func newRun(cfg Config) (*run, error) {
	cfg, err := cfg.withDefaults()
	r := &run{Config: cfg}
	facts := report.Run{
		Inputs:     string(cfg.Inputs),
		InputsNote: cfg.InputsNote,
		Commit:     cfg.Commit,
		Engine:     cfg.Engine,
	}
	if cfg.Scope == ScopePush {
		facts.Cache = cfg.Cache
	}
	if cfg.Inventory != nil {
		facts.Locked = lockedInputs(cfg.Inventory)
		facts.Fleet, facts.Release = cfg.Inventory.Fleet.Name, cfg.Inventory.Fleet.Release
		if err == nil {
			r.hosts, err = cfg.wanted()
		}
	}
	rows := make([]report.Host, len(r.hosts))
	for i, h := range r.hosts {
		rows[i] = report.Host{Name: h.Name, Description: h.Description, System: h.System}
	}
	r.rec = report.NewBuilder(facts, rows...)
	r.rec.Steps = cfg.Scope.steps()
	return r, err
}

func (r *run) all(ctx context.Context) error {
	if err := r.nixVersion(ctx); err != nil {
		return err
	}
	r.check(ctx, "drift", r.checkDrift) // first: what is generated names the inputs
	if err := r.settleInputs(ctx); err != nil {
		return err
	}
	r.fleetChecks(ctx)

	built := make(chan builtHost, len(r.hosts)) // holds all: a build never waits for a push
	var pushing sync.WaitGroup
	if r.Scope >= ScopePush {
		pushing.Go(func() { r.pushAll(ctx, built) })
	}
	var g errgroup.Group
	g.SetLimit(r.Jobs)
	for _, h := range r.hosts {
		g.Go(func() error {
			built <- r.host(ctx, h)
			return nil
		})
	}
	_ = g.Wait() // hosts record their failures themselves
	close(built)
	pushing.Wait()
	return nil
}

// nixVersion asks the shell's Nix for its version, which also shows that it
// runs at all.
func (r *run) nixVersion(ctx context.Context) error {
	out, err := r.Shell.Run(ctx, Command{Step: "inputs", Argv: []string{"nix", "--version"}})
	if err != nil {
		return fmt.Errorf("asking Nix for its version: %w", err)
	}
	if out.ExitCode != 0 {
		return fmt.Errorf("nix --version ended with code %d: %s", out.ExitCode, oneLine(string(out.Stderr)))
	}
	fields := strings.Fields(string(out.Stdout))
	if len(fields) == 0 {
		return errors.New("nix --version printed nothing")
	}
	r.rec.EditRun(func(facts *report.Run) { facts.NixVersion = fields[len(fields)-1] })
	return nil
}

// settleInputs decides where the flake's inputs come from.
func (r *run) settleInputs(ctx context.Context) error {
	if r.Inputs == InputsAuto {
		r.event(Event{Kind: StepStarted, Step: "inputs", Detail: "trying whether nixpkgs can be fetched"})
		in, note, err := ResolveInputs(ctx, r.Shell, r.Inventory)
		if err != nil {
			return err
		}
		r.Inputs = in
		r.noteInputs(note)
	}
	var err error
	r.inputs, err = r.inputArgs(ctx)
	return err
}

// noteInputs puts into the report what the inputs are and why.
func (r *run) noteInputs(note string) {
	r.InputsNote = strings.TrimSpace(r.InputsNote + " " + note)
	r.rec.EditRun(func(facts *report.Run) { facts.Inputs, facts.InputsNote = string(r.Inputs), r.InputsNote })
}

func (r *run) event(e Event) {
	if r.Observe == nil {
		return
	}
	r.observing.Lock()
	defer r.observing.Unlock()
	r.Observe(e)
}

// startStep records that a step of a host begins.
func (r *run) startStep(host, step string) time.Time {
	r.rec.StartStep(host, step)
	r.event(Event{Kind: StepStarted, Host: host, Step: step})
	r.checkpoint()
	return time.Now()
}

// endStep records how a step of a host ended, unless the run was interrupted
// in it: the report says so by itself.
func (r *run) endStep(ctx context.Context, host, step string, began time.Time, detail string) {
	if ctx.Err() != nil {
		return
	}
	r.rec.EndStep(host, step, report.Passed, detail)
	r.finished(host, step, report.Passed, began, detail)
}

// fail records what broke a host.
func (r *run) fail(ctx context.Context, host string, began time.Time, f report.Failure) {
	if ctx.Err() != nil {
		return
	}
	r.rec.Fail(host, f)
	r.finished(host, f.Step, report.Failed, began, oneLine(f.Message))
}

func (r *run) finished(host, step string, status report.Status, began time.Time, detail string) {
	r.event(Event{
		Kind: StepFinished, Host: host, Step: step, Status: status,
		Seconds: time.Since(began).Seconds(), Detail: detail,
	})
	r.checkpoint()
}

// checkpoint offers the report as it is now.
func (r *run) checkpoint() {
	if r.Checkpoint == nil {
		return
	}
	r.observing.Lock()
	defer r.observing.Unlock()
	r.Checkpoint(func() *report.Report {
		rep := r.rec.Snapshot()
		_ = r.Limits.Compare(r.Previous, &rep) // Run tells of it at the end
		return &rep
	})
}
