package pipeline

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/flake"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// fleetChecks runs the checks that concern no single host and read the flake.
func (r *run) fleetChecks(ctx context.Context) {
	r.check(ctx, "syntax", r.checkSyntax)
	if len(r.hosts) < len(r.Inventory.Hosts) {
		// It evaluates every host of the flake, whichever are wanted.
		r.rec.Check(report.Check{
			Name: "flake-check", Status: report.Skipped,
			Detail: "it evaluates all hosts, and not all are wanted",
		})
		return
	}
	r.check(ctx, "flake-check", r.checkFlake)
}

// finding is what a check found. A check that could not be carried out has
// failed, too.
type finding struct {
	failed bool
	detail string
	log    []string
}

// check runs one check of the fleet and records it. If ctx ends in it, the
// report shows it as interrupted by itself.
func (r *run) check(ctx context.Context, name string, do func(context.Context) (finding, error)) {
	if ctx.Err() != nil {
		return
	}
	r.rec.StartCheck(name, "")
	r.event(Event{Kind: StepStarted, Step: name})
	began := time.Now()
	found, err := do(ctx)
	if ctx.Err() != nil {
		return
	}
	c := report.Check{Name: name, Status: report.Passed, Detail: found.detail}
	switch {
	case err != nil:
		c.Status, c.Detail = report.Failed, err.Error()
	case found.failed:
		c.Status, c.Log = report.Failed, found.log
	}
	r.rec.Check(c)
	r.finished("", name, c.Status, began, oneLine(c.Detail))
}

// maxChanges bounds how many files a row names.
const maxChanges = 5

// checkDrift compares what is generated with the inventory that it is
// generated from, and writes it anew if the run is to.
func (r *run) checkDrift(context.Context) (finding, error) {
	changes, err := flake.Plan(r.FlakeDir, r.Inventory)
	if err != nil || len(changes) == 0 {
		return finding{detail: "what is generated is up to date"}, err
	}
	var names []string
	for _, c := range changes[:min(len(changes), maxChanges)] {
		names = append(names, c.Path)
	}
	if more := len(changes) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	list := strings.Join(names, ", ")
	if r.Generate {
		if err := flake.Apply(changes); err != nil {
			return finding{}, err
		}
		return finding{detail: "written: " + list}, nil
	}
	var diff tail
	diff.add(flake.Diff(changes))
	return finding{failed: true, detail: "not up to date: " + list + "; run panther generate", log: diff.all()}, nil
}

// checkSyntax parses every Nix file of the flake in one call: a file with an
// error is found even if no host uses it.
func (r *run) checkSyntax(ctx context.Context) (finding, error) {
	argv := []string{"nix-instantiate", "--log-format", "internal-json", "--parse"}
	count := 0
	err := filepath.WalkDir(r.FlakeDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		if d.Type().IsRegular() && strings.HasSuffix(path, ".nix") {
			argv = append(argv, path)
			count++
		}
		return nil
	})
	if err != nil {
		return finding{}, fmt.Errorf("listing the files of the flake: %v", err)
	}
	if count == 0 {
		return finding{}, fmt.Errorf("there is no Nix file in %s", r.FlakeDir)
	}
	var log nixLog
	out, err := r.Shell.Run(ctx, Command{Step: "syntax", Argv: argv, OnStderr: log.line})
	if err != nil {
		return finding{}, err
	}
	if out.ExitCode != 0 {
		return finding{failed: true, detail: log.messageOr(out), log: log.lines()}, nil
	}
	return finding{detail: fmt.Sprintf("%d files", count)}, nil
}

// checkFlake is Nix's own check of the flake: every output evaluates and is of
// the kind that its name promises.
func (r *run) checkFlake(ctx context.Context) (finding, error) {
	argv := []string{"nix", "flake", "check", "--no-build", "--log-format", "internal-json"}
	argv = append(argv, r.inputs...)
	argv = append(argv, flakeRef(r.FlakeDir))
	var log nixLog
	out, err := r.Shell.Run(ctx, Command{Step: "flake-check", Argv: argv, OnStderr: log.line})
	if err != nil {
		return finding{}, err
	}
	if out.ExitCode != 0 {
		names := r.sourceNames(ctx)
		lines := log.lines()
		for i := range lines {
			lines[i] = names.Replace(lines[i])
		}
		return finding{failed: true, detail: names.Replace(log.messageOr(out)), log: lines}, nil
	}
	return finding{}, nil
}
