package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/flake"
	"gitlab.com/pantheros/pantheros/pipeline/inventory"
)

// ResolveInputs decides what InputsAuto means now: InputsReal if nixpkgs can
// be fetched through sh, which a machine without a network refuses at once and
// a dead one within seconds. The note says in a sentence why they are offline;
// it is empty for real ones. An error means that the question could not be
// asked: Nix does not run, or ctx ended.
func ResolveInputs(ctx context.Context, sh Shell, inv *inventory.Inventory) (in Inputs, note string, err error) {
	var log nixLog
	out, err := sh.Run(ctx, Command{
		Step: "inputs",
		Argv: []string{
			"nix", "flake", "metadata", "--json", "--log-format", "internal-json",
			"--option", "connect-timeout", "3",
			"--option", "download-attempts", "1",
			"--option", "stalled-download-timeout", "5",
			wantedNixpkgs(inv),
		},
		OnStderr: log.line,
	})
	if err != nil {
		return "", "", fmt.Errorf("trying whether nixpkgs can be fetched: %w", err)
	}
	if out.ExitCode == 0 {
		return InputsReal, "", nil
	}
	why := log.message()
	if why == "" {
		why = fmt.Sprintf("nix flake metadata ended with code %d", out.ExitCode)
	}
	why = strings.TrimSuffix(why, ".")
	return InputsOffline, fmt.Sprintf("The real inputs cannot be fetched here: %s.", why), nil
}

// lockedPart is what may be put into a flake reference as it is.
var lockedPart = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// wantedNixpkgs is the nixpkgs that a real run would fetch: the revision of
// flake.lock, so that trying it fetches nothing that is not needed, or else
// the branch. A lock file that says something else is left to Nix to judge.
func wantedNixpkgs(inv *inventory.Inventory) string {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(inv.Path), "flake.lock"))
	if err != nil {
		return inv.Fleet.Nixpkgs
	}
	var lock struct {
		Nodes map[string]struct {
			Inputs map[string]any
			Locked struct{ Type, Owner, Repo, Rev string }
		}
		Root string
	}
	if json.Unmarshal(data, &lock) != nil {
		return inv.Fleet.Nixpkgs
	}
	node, _ := lock.Nodes[lock.Root].Inputs["nixpkgs"].(string)
	l := lock.Nodes[node].Locked
	for _, part := range []string{l.Owner, l.Repo, l.Rev} {
		if l.Type != "github" || !lockedPart.MatchString(part) {
			return inv.Fleet.Nixpkgs
		}
	}
	return "github:" + l.Owner + "/" + l.Repo + "/" + l.Rev
}

// inputArgs are the arguments that give the flake its inputs.
func (r *run) inputArgs(ctx context.Context) ([]string, error) {
	if r.Inputs == InputsReal {
		return r.realInputs(ctx)
	}
	args := []string{"--no-write-lock-file"}
	for _, name := range flake.Inputs(r.Inventory) {
		dir, err := filepath.Abs(filepath.Join(r.StandIns, name))
		if err != nil {
			return nil, fmt.Errorf("finding the stand-in for the input %s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "flake.nix")); err != nil {
			return nil, fmt.Errorf("the flake's input %s has no stand-in: there is no %s; "+
				"write one, or use --inputs real", name, filepath.Join(dir, "flake.nix"))
		}
		args = append(args, "--override-input", name, flakeRef(dir))
	}
	return args, nil
}

// realInputs are those of flake.lock. Where there is none, a run that writes
// what is generated writes it too, once, so that all hosts get the same.
func (r *run) realInputs(ctx context.Context) ([]string, error) {
	const locked = "--no-update-lock-file"
	if _, err := os.Stat(filepath.Join(r.FlakeDir, "flake.lock")); err == nil {
		return []string{locked}, nil
	}
	if !r.Generate {
		r.noteInputs("There is no flake.lock: they are what their branches are now.")
		return []string{"--no-write-lock-file"}, nil
	}
	var log nixLog
	out, err := r.Shell.Run(ctx, Command{
		Step:     "inputs",
		Argv:     []string{"nix", "flake", "lock", "--log-format", "internal-json", flakeRef(r.FlakeDir)},
		OnStderr: log.line,
	})
	if err != nil {
		return nil, fmt.Errorf("locking the flake's inputs: %w", err)
	}
	if out.ExitCode != 0 {
		return nil, fmt.Errorf("locking the flake's inputs: %s", log.messageOr(out))
	}
	r.noteInputs("There was no flake.lock: it was written with what their branches are now.")
	return []string{locked}, nil
}
