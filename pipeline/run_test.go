package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

func TestRunOrder(t *testing.T) {
	inv, dir := newFleet(t, "alpha", "beta")
	sh := &script{answer: afterPushOf("alpha", func(c pipeline.Command) bool { return c.Host == "beta" })}
	rep, err := run(t.Context(), t, pipeline.Config{
		Shell: sh, Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopePush,
		Inputs: pipeline.InputsOffline, Jobs: 1,
		Cache: "file:///cache", SecretKeyFile: "/key", Commit: "abc",
	})
	if err != nil {
		t.Fatal(err)
	}
	inputs := "--no-write-lock-file --override-input nixpkgs path:" + dir + "/tests/stand-in/nixpkgs"
	var files []string
	for _, f := range []string{
		"flake.nix",
		"hosts/alpha/configuration.nix", "hosts/alpha/hardware-configuration.nix", "hosts/alpha/home.nix",
		"hosts/beta/configuration.nix", "hosts/beta/hardware-configuration.nix", "hosts/beta/home.nix",
		"tests/stand-in/nixpkgs/flake.nix",
	} {
		files = append(files, filepath.Join(dir, f))
	}
	want := []string{
		"nix --version",
		"nix-instantiate --log-format internal-json --parse " + strings.Join(files, " "),
		"nix flake check --no-build --log-format internal-json " + inputs + " path:" + dir,
	}
	for _, h := range []string{"alpha", "beta"} {
		want = append(want,
			"nix eval --json --show-trace --log-format internal-json "+inputs+" path:"+dir+"#lib.validation."+h,
			"nix build --no-link --json --log-format internal-json -v "+drvOf(h)+"^out",
			"nix path-info --log-format internal-json --recursive --size "+toplevelOf(h),
		)
	}
	if diff := cmp.Diff(want, sh.ran(func(c pipeline.Command) bool { return !starts("pcache")(c) })); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	// alpha goes up before beta is evaluated: that waited for it.
	want = nil
	for _, h := range []string{"alpha", "beta"} {
		want = append(want, "pcache push --json --progress json --secret-key-file /key --commit abc"+
			" --root "+h+"="+toplevelOf(h)+" file:///cache")
	}
	if diff := cmp.Diff(want, sh.ran(starts("pcache"))); diff != "" {
		t.Errorf("pushes (-want +got):\n%s", diff)
	}
	if len(rep.Push.Roots) != 2 || len(rep.Push.Paths) != 3 {
		t.Errorf("push %+v, want both hosts and what they share", rep.Push)
	}
	if diff := cmp.Diff([]string{
		"run passed",
		"alpha passed: evaluate passed build passed push passed",
		"beta passed: evaluate passed build passed push passed",
	}, outcomes(rep)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	alpha := host(t, rep, "alpha")
	if alpha.DrvPath != drvOf("alpha") || alpha.Toplevel != toplevelOf("alpha") {
		t.Errorf("alpha is %s, %s", alpha.DrvPath, alpha.Toplevel)
	}
	if c := alpha.Closure; c == nil || c.Paths != 2 || c.NARBytes != 1500 {
		t.Errorf("closure %+v, want 2 paths of 1500 bytes", c)
	}
	facts := rep.Run
	facts.Started, facts.Seconds = time.Time{}, 0
	if diff := cmp.Diff(report.Run{
		Fleet: "test", Inputs: "offline", Release: "25.05", Commit: "abc", NixVersion: "2.26.3", Cache: "file:///cache",
	}, facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

// Hosts that are ready while a push is under way go up together in the next.
func TestRunPushesTogether(t *testing.T) {
	inv, dir := newFleet(t, "alpha", "beta", "gamma", "last")
	sh := &script{answer: batched("alpha", "last")}
	rep, err := run(t.Context(), t, pipeline.Config{
		Shell: sh, Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopePush,
		Inputs: pipeline.InputsOffline, Jobs: 1, Cache: "file:///cache",
	})
	if err != nil {
		t.Fatal(err)
	}
	root := func(h string) string { return " --root " + h + "=" + toplevelOf(h) }
	const push, to = "pcache push --json --progress json", " file:///cache"
	if diff := cmp.Diff([]string{
		push + root("alpha") + to, push + root("beta") + root("gamma") + to, push + root("last") + to,
	}, sh.ran(starts("pcache"))); diff != "" {
		t.Errorf("pushes (-want +got):\n%s", diff)
	}
	if rep.Status != report.Passed || len(rep.Push.Roots) != 4 {
		t.Errorf("%s, push %+v", rep.Status, rep.Push)
	}
}

func TestRunJobs(t *testing.T) {
	inv, dir := newFleet(t, "a", "b", "c", "d", "e", "f")
	sh := &script{answer: func(context.Context, pipeline.Command) (pipeline.Output, error, bool) {
		time.Sleep(5 * time.Millisecond)
		return pipeline.Output{}, nil, false
	}}
	if _, err := run(t.Context(), t, pipeline.Config{
		Shell: sh, Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopeBuild, Inputs: pipeline.InputsOffline, Jobs: 3,
	}); err != nil {
		t.Fatal(err)
	}
	if sh.top != 3 {
		t.Errorf("%d hosts at once, want 3", sh.top)
	}
}

func TestRunCancelled(t *testing.T) {
	inv, dir := newFleet(t, "alpha", "beta", "gamma")
	ctx, cancel := context.WithCancel(t.Context())
	isBeta := func(c pipeline.Command) bool { return starts("nix", "build")(c) && c.Host == "beta" }
	pushed := afterPushOf("alpha", isBeta)
	sh := &script{answer: func(ctx context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
		out, err, handled := pushed(ctx, c)
		if isBeta(c) {
			time.Sleep(50 * time.Millisecond) // alpha's push has ended, and is recorded soon
			cancel()
			<-ctx.Done()
			return pipeline.Output{}, ctx.Err(), true
		}
		return out, err, handled
	}}
	rep, err := run(ctx, t, pipeline.Config{
		Shell: sh, Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopePush, Jobs: 1,
		Inputs: pipeline.InputsOffline, Cache: "file:///cache",
	})
	if !errors.Is(err, pipeline.ErrInterrupted) {
		t.Errorf("error %v, want ErrInterrupted", err)
	}
	if diff := cmp.Diff([]string{
		"run interrupted",
		"alpha passed: evaluate passed build passed push passed",
		"beta interrupted: evaluate passed build interrupted push skipped",
		"gamma interrupted: evaluate skipped build skipped push skipped",
	}, outcomes(rep)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if rep.Run.Error != "interrupted" {
		t.Errorf("reason %q", rep.Run.Error)
	}
	if late := sh.ran(func(c pipeline.Command) bool { return c.Host == "gamma" }); len(late) > 0 {
		t.Errorf("commands were started after the end: %q", late)
	}
}

func TestRunCancelledBefore(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rep, err := run(ctx, t, pipeline.Config{
		Shell: &script{answer: func(ctx context.Context, _ pipeline.Command) (pipeline.Output, error, bool) {
			return pipeline.Output{}, ctx.Err(), true
		}},
		Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopeBuild,
	})
	if !errors.Is(err, pipeline.ErrInterrupted) || rep.Status != report.Interrupted {
		t.Errorf("error %v, status %s", err, rep.Status)
	}
}

func TestRunSomeHosts(t *testing.T) {
	inv, dir := newFleet(t, "alpha", "beta", "gamma")
	sh := &script{}
	rep, err := run(t.Context(), t, pipeline.Config{
		Shell: sh, Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopeCheck, Inputs: pipeline.InputsOffline,
		Hosts: []string{"gamma", "alpha", "gamma"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"run passed", "alpha passed: evaluate passed", "gamma passed: evaluate passed", "check flake-check skipped",
	}, outcomes(rep)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if n := len(sh.ran(starts("nix", "eval"))); n != 2 {
		t.Errorf("%d evaluations, want 2", n)
	}
}

func TestRunUnknownHost(t *testing.T) {
	inv, dir := newFleet(t, "alpha", "beta")
	rep, err := run(t.Context(), t, pipeline.Config{
		Shell: &script{}, Inventory: inv, FlakeDir: dir, Hosts: []string{"alpha", "delta"},
	})
	unknown := new(pipeline.UnknownHostError)
	if !errors.As(err, &unknown) || unknown.Name != "delta" || !slices.Equal(unknown.Known, []string{"alpha", "beta"}) {
		t.Errorf("error %v", err)
	}
	if rep.Status != report.Failed || rep.Run.Error == "" {
		t.Errorf("status %s, error %q", rep.Status, rep.Run.Error)
	}
}

func TestRunConfig(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	good := pipeline.Config{Shell: &script{}, Inventory: inv, FlakeDir: dir}
	for name, edit := range map[string]func(*pipeline.Config){
		"no shell":     func(c *pipeline.Config) { c.Shell = nil },
		"no inventory": func(c *pipeline.Config) { c.Inventory = nil },
		"no flake":     func(c *pipeline.Config) { c.FlakeDir = "" },
		"no cache":     func(c *pipeline.Config) { c.Scope = pipeline.ScopePush },
		"odd inputs":   func(c *pipeline.Config) { c.Inputs = "online" },
		"odd scope":    func(c *pipeline.Config) { c.Scope = 7 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			edit(&cfg)
			rep, err := run(t.Context(), t, cfg)
			if err == nil || rep.Status != report.Failed {
				t.Errorf("error %v, status %s", err, rep.Status)
			}
		})
	}
}

func TestRunNoNix(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	missing := errors.New("nix was not found")
	rep, err := run(t.Context(), t, pipeline.Config{
		Shell: &script{answer: func(context.Context, pipeline.Command) (pipeline.Output, error, bool) {
			return pipeline.Output{}, missing, true
		}},
		Inventory: inv, FlakeDir: dir,
	})
	if !errors.Is(err, missing) || !strings.Contains(rep.Run.Error, "nix was not found") || rep.Status != report.Failed {
		t.Errorf("error %v, report says %q, status %s", err, rep.Run.Error, rep.Status)
	}
}

func TestRunDrift(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	write(t, filepath.Join(dir, "flake.nix"), "{ }\n")
	cfg := pipeline.Config{Shell: &script{}, Inventory: inv, FlakeDir: dir, Inputs: pipeline.InputsOffline}
	rep, err := run(t.Context(), t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	drift := rep.Checks[0]
	if drift.Name != "drift" || drift.Status != report.Failed || !strings.Contains(drift.Detail, "flake.nix") || len(drift.Log) == 0 {
		t.Errorf("drift %+v", drift)
	}
	if got := host(t, rep, "alpha").Status; got != report.Passed {
		t.Errorf("alpha %s: drift must not stop the hosts", got)
	}
	cfg.Generate = true
	if rep, err = run(t.Context(), t, cfg); err != nil || rep.Checks[0].Detail != "written: flake.nix" {
		t.Errorf("%v, drift %+v", err, rep.Checks[0])
	}
	if text, err := os.ReadFile(filepath.Join(dir, "flake.nix")); err != nil || len(text) < 10 {
		t.Errorf("flake.nix was not written: %v, %q", err, text)
	}
}

func TestRunPrevious(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	cfg := pipeline.Config{Shell: &script{}, Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopeBuild, Inputs: pipeline.InputsOffline}
	first, err := run(t.Context(), t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Previous = first
	second, err := run(t.Context(), t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if c := host(t, second, "alpha").Changes; c == nil || !c.SameToplevel {
		t.Errorf("changes %+v, want the same toplevel", c)
	}
}

func TestRunEvents(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	var got []string
	sh := &script{answer: func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
		switch {
		case starts("nix", "build")(c):
			c.OnStderr(`@nix {"action":"start","id":9,"type":104}`)
			c.OnStderr(`@nix {"action":"start","id":1,"type":105,"fields":["` + brokenDrv + `"]}`)
			c.OnStderr(`@nix {"action":"result","id":9,"type":105,"fields":[0,4,1,0]}`)
			c.OnStderr(`@nix {"action":"result","id":9,"type":105,"fields":[0,4,1,0]}`)
			c.OnStderr(`@nix {"action":"stop","id":1}`)
		case starts("pcache")(c):
			c.OnStderr(`{"done_paths":1,"total_paths":2,"done_bytes":300,"total_bytes":600}`)
		}
		return pipeline.Output{}, nil, false
	}}
	if _, err := run(t.Context(), t, pipeline.Config{
		Shell: sh, Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopePush, Inputs: pipeline.InputsOffline, Cache: "file:///cache",
		Observe: func(e pipeline.Event) {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %d/%d %s %s", e.Kind, e.Host, e.Step, e.Status, e.Done, e.Total, e.Unit, e.Detail)))
		},
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"started  drift  0/0",
		"finished  drift passed 0/0  what is generated is up to date",
		"started  syntax  0/0",
		"finished  syntax passed 0/0  5 files",
		"started  flake-check  0/0",
		"finished  flake-check passed 0/0",
		"started alpha evaluate  0/0",
		"finished alpha evaluate passed 0/0",
		"started alpha build  0/0",
		"progress alpha build  0/0 derivations broken",
		"progress alpha build  0/4 derivations broken",
		"progress alpha build  0/4 derivations",
		"finished alpha build passed 0/0  1 built",
		"started  push  0/0",
		"progress  push  300/600 bytes 1 of 2 paths",
		"finished  push passed 0/0  alpha: 2 of 2 paths sent",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
