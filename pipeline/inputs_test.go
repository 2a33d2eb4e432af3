package pipeline_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

func TestRunInputs(t *testing.T) {
	unreachable := `@nix {"action":"msg","level":0,"msg":"error: x","raw_msg":"unable to download: no such host."}`
	offline := "--no-write-lock-file --override-input nixpkgs path:DIR/tests/stand-in/nixpkgs"
	tests := []struct {
		name     string
		inputs   pipeline.Inputs
		generate bool
		locked   bool   // there is a flake.lock
		lock     string // what it says; empty: nothing
		failing  []string
		want     string // arguments of the evaluation
		asked    []string
		facts    report.Run
	}{
		{
			name: "offline asks for nothing", inputs: pipeline.InputsOffline, want: offline,
			facts: report.Run{Inputs: "offline"},
		},
		{
			name: "auto without a network", failing: []string{"nix", "flake", "metadata"}, want: offline,
			asked: []string{"nix flake metadata --json --log-format internal-json --option connect-timeout 3" +
				" --option download-attempts 1 --option stalled-download-timeout 5 github:NixOS/nixpkgs/nixos-25.05"},
			facts: report.Run{
				Inputs:     "offline",
				InputsNote: "The real inputs cannot be fetched here: unable to download: no such host.",
			},
		},
		{
			name: "auto with a network", inputs: pipeline.InputsAuto, locked: true, want: "--no-update-lock-file",
			asked: []string{"nix flake metadata --json --log-format internal-json --option connect-timeout 3" +
				" --option download-attempts 1 --option stalled-download-timeout 5 github:NixOS/nixpkgs/nixos-25.05"},
			facts: report.Run{Inputs: "real"},
		},
		{
			name: "auto tries what is locked", locked: true, failing: []string{"nix", "flake", "metadata"}, want: offline,
			lock: `{"nodes":{"n":{"locked":{"type":"github","owner":"NixOS","repo":"nixpkgs","rev":"ac62194c"}},"r":{"inputs":{"nixpkgs":"n"}}},"root":"r"}`,
			asked: []string{"nix flake metadata --json --log-format internal-json --option connect-timeout 3" +
				" --option download-attempts 1 --option stalled-download-timeout 5 github:NixOS/nixpkgs/ac62194c"},
			facts: report.Run{
				Inputs:     "offline",
				InputsNote: "The real inputs cannot be fetched here: unable to download: no such host.",
			},
		},
		{
			name: "real with a lock file", inputs: pipeline.InputsReal, locked: true, generate: true, want: "--no-update-lock-file",
			facts: report.Run{Inputs: "real"},
		},
		{
			name: "real without one", inputs: pipeline.InputsReal, want: "--no-write-lock-file",
			facts: report.Run{Inputs: "real", InputsNote: "There is no flake.lock: they are what their branches are now."},
		},
		{
			name: "real without one, written", inputs: pipeline.InputsReal, generate: true, want: "--no-update-lock-file",
			asked: []string{"nix flake lock --log-format internal-json path:DIR"},
			facts: report.Run{Inputs: "real", InputsNote: "There was no flake.lock: it was written with what their branches are now."},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inv, dir := newFleet(t, "alpha")
			if tt.locked {
				write(t, filepath.Join(dir, "flake.lock"), orElse(tt.lock, "{}"))
			}
			sh := &script{answer: func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
				if tt.failing == nil || !starts(tt.failing...)(c) {
					return pipeline.Output{}, nil, false
				}
				c.OnStderr(unreachable)
				return pipeline.Output{ExitCode: 1}, nil, true
			}}
			rep, err := run(t.Context(), t, pipeline.Config{
				Shell: sh, Inventory: inv, FlakeDir: dir, Inputs: tt.inputs, Generate: tt.generate,
			})
			if err != nil {
				t.Fatal(err)
			}
			evaluation := strings.Join(sh.ran(starts("nix", "eval")), "\n")
			if want := strings.ReplaceAll(tt.want, "DIR", dir) + " path:" + dir + "#"; !strings.Contains(evaluation, want) {
				t.Errorf("%s\ndoes not contain %s", evaluation, want)
			}
			asked := sh.ran(func(c pipeline.Command) bool { return c.Step == "inputs" && c.Argv[1] != "--version" })
			for i := range asked {
				asked[i] = strings.ReplaceAll(asked[i], dir, "DIR")
			}
			if diff := cmp.Diff(tt.asked, asked); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.facts, report.Run{Inputs: rep.Run.Inputs, InputsNote: rep.Run.InputsNote}); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunNoStandIn(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	if err := os.RemoveAll(filepath.Join(dir, "tests")); err != nil {
		t.Fatal(err)
	}
	sh := &script{}
	rep, err := run(t.Context(), t, pipeline.Config{Shell: sh, Inventory: inv, FlakeDir: dir, Inputs: pipeline.InputsOffline})
	want := "the flake's input nixpkgs has no stand-in: there is no " + filepath.Join(dir, "tests/stand-in/nixpkgs/flake.nix")
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
	if !strings.HasPrefix(rep.Run.Error, want) {
		t.Errorf("the report says %q", rep.Run.Error)
	}
	if n := sh.ran(starts("nix", "eval")); len(n) > 0 {
		t.Errorf("hosts were evaluated all the same: %q", n)
	}
}

func TestRunLockFails(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	_, err := run(t.Context(), t, pipeline.Config{
		Shell: &script{answer: func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
			return pipeline.Output{ExitCode: 1}, nil, starts("nix", "flake", "lock")(c)
		}},
		Inventory: inv, FlakeDir: dir, Inputs: pipeline.InputsReal, Generate: true,
	})
	if err == nil || !strings.Contains(err.Error(), "locking the flake's inputs") {
		t.Errorf("error %v", err)
	}
}

// A folder whose name means something in a URL or a shell is still one folder.
func TestRunOddFolder(t *testing.T) {
	inv, dir := newFleet(t, "alpha")
	odd := filepath.Join(t.TempDir(), "it's a #1 ?% folder")
	if err := os.Rename(dir, odd); err != nil {
		t.Fatal(err)
	}
	inv.Path = filepath.Join(odd, "hosts.toml")
	sh := &script{answer: fails("eval", "error: no\n", "alpha")}
	rep, err := run(t.Context(), t, pipeline.Config{Shell: sh, Inventory: inv, FlakeDir: odd, Inputs: pipeline.InputsOffline})
	if err != nil {
		t.Fatal(err)
	}
	ref := "path:" + filepath.Dir(odd) + "/it%27s%20a%20%231%20%3F%25%20folder"
	if got := sh.ran(starts("nix", "eval")); len(got) != 1 || !strings.HasSuffix(got[0], " "+ref+"#lib.validation.alpha") {
		t.Errorf("%q does not end with %s", got, ref)
	}
	if f := host(t, rep, "alpha").Failure; f == nil || !strings.HasSuffix(f.Command, " '"+ref+"#lib.validation.alpha'") {
		t.Errorf("failure %+v", f)
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
