package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// fails makes a step of some hosts fail as Nix does.
func fails(command, stderr string, hosts ...string) func(context.Context, pipeline.Command) (pipeline.Output, error, bool) {
	return func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
		if !starts("nix", command)(c) || !slices.Contains(hosts, c.Host) {
			return pipeline.Output{}, nil, false
		}
		for line := range strings.Lines(stderr) {
			if c.OnStderr != nil {
				c.OnStderr(strings.TrimSuffix(line, "\n"))
			}
		}
		return pipeline.Output{ExitCode: 1, Stderr: []byte(stderr)}, nil, true
	}
}

const brokenDrv = "/nix/store/44444444444444444444444444444444-broken.drv"

const brokenBuild = `@nix {"action":"start","id":1,"type":105,"fields":["` + brokenDrv + `","",1,1]}
@nix {"action":"result","id":1,"type":101,"fields":["cc: no such file"]}
@nix {"action":"msg","level":0,"msg":"error: builder for '` + brokenDrv + `' failed","raw_msg":"builder for '` + brokenDrv + `' failed"}
@nix {"action":"stop","id":1}
`

func TestRunFailures(t *testing.T) {
	evalError := `@nix {"action":"msg","level":0,"msg":"error:\n  … while evaluating\n  error: no such option","raw_msg":"no such option"}`
	const good = "passed: evaluate passed build passed push passed"
	tests := []struct {
		name   string
		answer func(context.Context, pipeline.Command) (pipeline.Output, error, bool)
		want   []string
		roots  []string // of the push
		broken map[string]report.Failure
	}{
		{
			name:   "a host does not evaluate",
			answer: fails("eval", evalError, "beta"),
			want: []string{
				"run failed", "alpha " + good,
				"beta failed: evaluate failed build skipped push skipped", "gamma " + good,
				"check toplevel beta failed", "check security beta skipped", "check services beta skipped",
			},
			roots: []string{"alpha", "gamma"},
			broken: map[string]report.Failure{"beta": {
				Step: "evaluate", Message: "no such option",
				LogTail: []string{"error:", "  … while evaluating", "  error: no such option"},
				Command: "nix eval --json --show-trace INPUTS FLAKE#lib.validation.beta",
			}},
		},
		{
			name:   "two hosts share a derivation that does not build",
			answer: fails("build", brokenBuild, "alpha", "gamma"),
			want: []string{
				"run failed", "alpha failed: evaluate passed build failed push skipped",
				"beta " + good, "gamma failed: evaluate passed build failed push skipped",
			},
			roots: []string{"beta"},
			broken: map[string]report.Failure{
				"alpha": {
					Step: "build", DrvPath: brokenDrv, LogTail: []string{"cc: no such file"},
					Message: "building broken failed: builder for '" + brokenDrv + "' failed",
					Command: "nix build --no-link --print-build-logs INPUTS FLAKE#nixosConfigurations.alpha.config.system.build.toplevel",
				},
				"gamma": {
					Step: "build", DrvPath: brokenDrv, LogTail: []string{"cc: no such file"},
					Message: "building broken failed: builder for '" + brokenDrv + "' failed",
					Command: "nix build --no-link --print-build-logs INPUTS FLAKE#nixosConfigurations.gamma.config.system.build.toplevel",
				},
			},
		},
		{
			name:   "every host fails: there is nothing to push",
			answer: fails("build", "error: out of disk\n", "alpha", "beta", "gamma"),
			want: []string{
				"run failed", "alpha failed: evaluate passed build failed push skipped",
				"beta failed: evaluate passed build failed push skipped",
				"gamma failed: evaluate passed build failed push skipped",
			},
		},
		{
			name: "a host has problems: it is built and not pushed",
			answer: func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
				out, err := stdout(fmt.Sprintf(`{"toplevel":%q,"problems":[
					{"check":"security","message":"root may log in"},{"check":"security","message":"no firewall"},
					{"check":"naming","message":"odd"}]}`, drvOf("alpha")))
				return out, err, starts("nix", "eval")(c) && c.Host == "alpha"
			},
			want: []string{
				"run failed", "alpha failed: evaluate passed build passed push skipped", "beta " + good, "gamma " + good,
				"check security alpha failed", "check naming alpha failed",
			},
			roots: []string{"beta", "gamma"},
		},
		{
			name: "a check of the fleet fails: the hosts go on",
			answer: func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
				return pipeline.Output{ExitCode: 1}, nil, starts("nix", "flake", "check")(c) || starts("nix-instantiate")(c)
			},
			want: []string{
				"run failed", "alpha " + good, "beta " + good, "gamma " + good,
				"check syntax failed", "check flake-check failed",
			},
			roots: []string{"alpha", "beta", "gamma"},
		},
		{
			name: "a host's command cannot be run",
			answer: func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
				return pipeline.Output{}, errors.New("container is gone"), starts("nix", "build")(c) && c.Host == "beta"
			},
			want: []string{
				"run failed", "alpha " + good, "beta failed: evaluate passed build failed push skipped", "gamma " + good,
			},
			roots: []string{"alpha", "gamma"},
			broken: map[string]report.Failure{"beta": {
				Step: "build", Message: "container is gone",
				Command: "nix build --no-link --print-build-logs INPUTS FLAKE#nixosConfigurations.beta.config.system.build.toplevel",
			}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inv, dir := newFleet(t, "alpha", "beta", "gamma")
			sh := &script{answer: tt.answer}
			rep, err := run(t.Context(), t, pipeline.Config{
				Shell: sh, Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopePush,
				Inputs: pipeline.InputsOffline, Cache: "file:///cache",
			})
			if err != nil {
				t.Fatalf("a failure of a host or check is no error of the run: %v", err)
			}
			if diff := cmp.Diff(tt.want, outcomes(rep)); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
			var roots []string
			for _, c := range sh.commands {
				for i, arg := range c.Argv {
					if arg == "--root" {
						name, _, _ := strings.Cut(c.Argv[i+1], "=")
						roots = append(roots, name)
					}
				}
			}
			slices.Sort(roots) // each goes up when it is ready
			if diff := cmp.Diff(tt.roots, roots); diff != "" {
				t.Errorf("pushed roots (-want +got):\n%s", diff)
			}
			for name, want := range tt.broken {
				got := host(t, rep, name).Failure
				if got == nil {
					t.Errorf("%s has no failure", name)
					continue
				}
				inputs := "--no-write-lock-file --override-input nixpkgs path:" + dir + "/tests/stand-in/nixpkgs"
				got.Command = strings.NewReplacer(inputs, "INPUTS", "'path:"+dir, "FLAKE", "path:"+dir, "FLAKE").Replace(got.Command)
				got.Command = strings.TrimSuffix(got.Command, "'")
				if diff := cmp.Diff(want, *got); diff != "" {
					t.Errorf("failure of %s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// Programs that say something else than they should fail their host alone.
func TestRunOddOutput(t *testing.T) {
	tests := []struct {
		name, program, output string
		message               string
	}{
		{"evaluation is no JSON", "eval", "error", "reading the evaluation of lib.validation: "},
		{"evaluation is empty", "eval", "", "reading the evaluation of lib.validation: "},
		{"toplevel is no derivation", "eval", `{"toplevel":"/etc/passwd"}`, `lib.validation gives "/etc/passwd" as the toplevel`},
		{"build is no JSON", "build", "[", "reading what nix build printed: "},
		{"build gives nothing", "build", "[]", "nix build was asked for "},
		{"build gives another derivation", "build", `[{"drvPath":"/nix/store/x.drv","outputs":{"out":"/nix/store/x"}}]`, "nix build was asked for "},
		{"build gives no store path", "build", `[{"drvPath":"` + drvOf("alpha") + `","outputs":{"out":"/tmp/x"}}]`, `nix build gave "/tmp/x"`},
		{"closure is empty", "path-info", "", "nix path-info printed no closure"},
		{"closure has no size", "path-info", toplevelOf("alpha") + "\n", "nix path-info printed "},
		{"closure has odd paths", "path-info", "/tmp/x 3\n", `closure of host "alpha": `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inv, dir := newFleet(t, "alpha", "beta")
			rep, err := run(t.Context(), t, pipeline.Config{
				Shell: &script{answer: func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
					out, err := stdout(tt.output)
					return out, err, c.Host == "alpha" && starts("nix", tt.program)(c)
				}},
				Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopeBuild, Inputs: pipeline.InputsOffline,
			})
			if err != nil {
				t.Fatal(err)
			}
			if f := host(t, rep, "alpha").Failure; f == nil || !strings.HasPrefix(f.Message, tt.message) {
				t.Errorf("failure %+v, want a message that starts with %q", f, tt.message)
			}
			if got := host(t, rep, "beta").Status; got != report.Passed {
				t.Errorf("beta %s, want passed", got)
			}
		})
	}
}

// A build that Nix says failed but printed nothing here, another machine built
// it say, has its log fetched.
func TestRunFetchesLog(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	silent := strings.Replace(brokenBuild, `@nix {"action":"result","id":1,"type":101,"fields":["cc: no such file"]}`+"\n", "", 1)
	failing := fails("build", silent, "alpha")
	sh := &script{answer: func(ctx context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
		if starts("nix", "log", brokenDrv)(c) {
			out, err := stdout("line 1\nline 2\n")
			return out, err, true
		}
		return failing(ctx, c)
	}}
	rep, err := run(t.Context(), t, pipeline.Config{
		Shell: sh, Inventory: inv, FlakeDir: dir, Scope: pipeline.ScopeBuild, Inputs: pipeline.InputsOffline,
	})
	if err != nil {
		t.Fatal(err)
	}
	f := host(t, rep, "alpha").Failure
	if f == nil || !slices.Equal(f.LogTail, []string{"line 1", "line 2"}) {
		t.Errorf("failure %+v, want the log that nix log prints", f)
	}
}
