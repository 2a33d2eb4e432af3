package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/inventory"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// builtHost is a host that was built; toplevel is empty if it was not.
type builtHost struct {
	name     string
	toplevel string
	// withhold says why it is not to be pushed; empty if it may be.
	withhold string
}

// host evaluates and builds one host, and records what happens.
func (r *run) host(ctx context.Context, h inventory.Host) builtHost {
	b := builtHost{name: h.Name}
	if ctx.Err() != nil {
		return b
	}
	v, ok := r.evaluate(ctx, h.Name)
	if !ok || r.Scope < ScopeBuild {
		return b
	}
	if len(v.problems) > 0 {
		b.withhold = "not pushed: its checks failed"
	}
	b.toplevel = r.build(ctx, h.Name, v.drvPath)
	return b
}

// build builds what the evaluation gave and returns the toplevel's store path;
// empty if it failed.
func (r *run) build(ctx context.Context, host, drv string) string {
	began := r.startStep(host, report.StepBuild)
	log := nixLog{onActivity: r.activity(host), onRefusal: func(message string) {
		r.event(Event{Kind: Note, Host: host, Step: report.StepBuild, Detail: message})
	}}
	r.rec.FetchedBytes(host, 0)
	type state struct {
		building       string
		done, expected int
		fetched, total int64
	}
	var shown state
	out, err := r.Shell.Run(ctx, Command{
		Host: host, Step: report.StepBuild,
		Argv: []string{"nix", "build", "--no-link", "--json", "--log-format", "internal-json", "-v", drv + "^out"},
		OnStderr: func(line string) {
			log.line(line)
			building := log.building()
			if now := (state{strings.Join(building, " "), log.done, log.expected, log.fetchedBytes(), log.fetchTotal()}); now != shown {
				shown = now
				r.event(Event{
					Kind: StepProgress, Host: host, Step: report.StepBuild, Detail: now.building,
					Done: int64(now.done), Total: int64(now.expected), Unit: "derivations",
					Building: building, Fetching: log.fetching(), Fetched: now.fetched, FetchTotal: now.total,
				})
			}
		},
	})
	r.rec.FetchedBytes(host, log.fetchedBytes())
	failure := report.Failure{Step: report.StepBuild, Command: r.buildCommand(host)}
	var toplevel string
	var closure []report.Path
	if err == nil && out.ExitCode != 0 {
		r.explain(ctx, host, &failure, &log, out)
		r.fail(ctx, host, began, failure)
		return ""
	}
	if err == nil {
		toplevel, err = readBuilt(out.Stdout, drv)
	}
	if err == nil {
		closure, err = r.closure(ctx, host, toplevel)
	}
	if err == nil {
		r.outputs(ctx, host, log.drvs)
		r.rec.SetToplevel(host, toplevel)
		err = r.rec.Closure(host, closure)
	}
	if err != nil {
		failure.Message, failure.LogTail = err.Error(), log.lines()
		r.fail(ctx, host, began, failure)
		return ""
	}
	r.endStep(ctx, host, report.StepBuild, began, log.summary())
	return toplevel
}

// activity returns what records the builds and fetches of a host's log.
func (r *run) activity(host string) func(nixActivity) {
	return func(a nixActivity) {
		if a.status == "" {
			r.rec.StartActivity(host, a.kind, a.path, a.from)
			return
		}
		r.rec.EndActivity(host, a.kind, a.path, a.status)
	}
}

// outputs records what derivations that were built have put into the store. It
// is for the report alone: where it cannot be asked, the paths count as having
// been there.
func (r *run) outputs(ctx context.Context, host string, drvs []string) {
	for batch := range slices.Chunk(drvs, 500) {
		var log nixLog
		out, err := r.Shell.Run(ctx, Command{
			Host: host, Step: report.StepBuild,
			Argv:     append([]string{"nix-store", "--log-format", "internal-json", "--query", "--outputs"}, batch...),
			OnStderr: log.line,
		})
		if err == nil && out.ExitCode == 0 {
			r.rec.Built(strings.Fields(string(out.Stdout)))
		}
	}
}

// summary says what a successful build did.
func (l *nixLog) summary() string {
	var did []string
	if l.built > 0 {
		did = append(did, fmt.Sprintf("%d built", l.built)+l.where())
	}
	if l.fetched > 0 {
		did = append(did, fmt.Sprintf("%d fetched", l.fetched))
	}
	if len(did) == 0 {
		return "nothing to build"
	}
	for _, machine := range slices.Sorted(maps.Keys(l.refused)) {
		did = append(did, "not on "+machineName(machine)+", which could not")
	}
	return strings.Join(did, ", ")
}

// where says which machines built, if not this one alone.
func (l *nixLog) where() string {
	var parts []string
	for _, machine := range slices.Sorted(maps.Keys(l.on)) {
		parts = append(parts, fmt.Sprintf("%d on %s", l.on[machine], machineName(machine)))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// machineName is a builder's store address without its settings.
func machineName(address string) string {
	name, _, _ := strings.Cut(address, "?")
	return report.Line(name)
}

// explain finds out which derivation failed and what it printed.
func (r *run) explain(ctx context.Context, host string, f *report.Failure, log *nixLog, out Output) {
	broken := log.failure()
	if broken == nil {
		f.Message, f.LogTail = log.messageOr(out), log.lines()
		return
	}
	f.DrvPath = broken.drv
	f.Message = fmt.Sprintf("building %s failed: %s", drvName(broken.drv), broken.message)
	f.LogTail = broken.log.all()
	if len(f.LogTail) > 0 {
		return
	}
	// A builder that another machine or an earlier run ended may have left its
	// output in Nix's own log alone.
	kept, err := r.Shell.Run(ctx, Command{
		Host: host, Step: report.StepBuild,
		Argv: []string{"nix", "log", broken.drv},
	})
	if err == nil && kept.ExitCode == 0 {
		var t tail
		t.add(string(kept.Stdout))
		f.LogTail = t.all()
	}
}

// buildCommand is what a person types to see a host's build fail again.
func (r *run) buildCommand(host string) string {
	args := slices.Concat([]string{"build", "--no-link", "--print-build-logs"}, r.inputs)
	args = append(args, attr(r.FlakeDir, "nixosConfigurations", host, "config", "system", "build", "toplevel"))
	return r.NixCommand + " " + ShellWords(args...)
}

// readBuilt takes the toplevel out of what `nix build --json` printed, and
// makes sure that it is the output of the derivation asked for.
func readBuilt(stdout []byte, drv string) (string, error) {
	var results []struct {
		DrvPath string            `json:"drvPath"`
		Outputs map[string]string `json:"outputs"`
	}
	if err := json.Unmarshal(stdout, &results); err != nil {
		return "", fmt.Errorf("reading what nix build printed: %v", err)
	}
	if len(results) != 1 || path.Base(results[0].DrvPath) != path.Base(drv) {
		return "", fmt.Errorf("nix build was asked for %s and says that it built something else", drv)
	}
	toplevel := results[0].Outputs["out"]
	if !storePath.MatchString(toplevel) {
		return "", fmt.Errorf("nix build gave %q as the output of %s, which is no store path", toplevel, drv)
	}
	return toplevel, nil
}

// closure asks for the store paths that a toplevel refers to, and their sizes.
// The plain output is the same in every version, the JSON is not.
func (r *run) closure(ctx context.Context, host, toplevel string) ([]report.Path, error) {
	var log nixLog
	out, err := r.Shell.Run(ctx, Command{
		Host: host, Step: report.StepBuild,
		Argv:     []string{"nix", "path-info", "--log-format", "internal-json", "--recursive", "--size", toplevel},
		OnStderr: log.line,
	})
	if err != nil {
		return nil, fmt.Errorf("asking for the closure of %s: %w", toplevel, err)
	}
	if out.ExitCode != 0 {
		return nil, fmt.Errorf("asking for the closure of %s: %s", toplevel, log.messageOr(out))
	}
	var paths []report.Path
	for line := range bytes.Lines(out.Stdout) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		size, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
		if err != nil || len(fields) != 2 {
			return nil, fmt.Errorf("nix path-info printed %q, which is no path and size", oneLine(string(line)))
		}
		paths = append(paths, report.Path{Path: fields[0], NARBytes: size})
	}
	if len(paths) == 0 {
		return nil, errors.New("nix path-info printed no closure of " + toplevel)
	}
	return paths, nil
}

// messageOr is what Nix said was wrong, or at least how it ended.
func (l *nixLog) messageOr(out Output) string {
	if m := l.message(); m != "" {
		return m
	}
	return fmt.Sprintf("nix ended with code %d and said nothing", out.ExitCode)
}
