package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gitlab.com/pantheros/pantheros/pipeline/inventory"
)

const (
	flakeName     = "flake-src"
	inventoryName = "hosts.toml"
)

// project is the checkout that panther works on.
type project struct {
	flake string // absolute folder of the flake
	state string // absolute folder of what is kept between runs
	inv   *inventory.Inventory
}

// root is the folder that holds the flake's folder.
func (p *project) root() string { return filepath.Dir(p.flake) }

// project finds and reads the inventory. Its errors end in the right code.
func (a *app) project() (*project, error) {
	dir, err := a.findFlake()
	if err != nil {
		return nil, err
	}
	inv, err := inventory.Load(shortPath(filepath.Join(dir, inventoryName)))
	if err != nil {
		return nil, &exitError{exitInventory, firstProblems(err)}
	}
	p := &project{flake: dir, inv: inv}
	if p.state, err = filepath.Abs(a.stateDir); a.stateDir == "" || err != nil {
		p.state = filepath.Join(p.root(), ".panther")
	}
	return p, nil
}

// shortPath is path as seen from the working folder, if it is below that.
func shortPath(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// maxProblems is how many problems of the inventory are shown at once: more
// than a screen of them has one cause as a rule.
const maxProblems = 10

func firstProblems(err error) error {
	var problems inventory.Problems
	if !errors.As(err, &problems) || len(problems) <= maxProblems {
		return err
	}
	return fmt.Errorf("%v\nand %d more", problems[:maxProblems], len(problems)-maxProblems)
}

// findFlake returns the folder of --flake, or walks up from the working
// folder to the first that is a flake's folder or holds one.
func (a *app) findFlake() (string, error) {
	if a.flakeDir != "" {
		dir, err := filepath.Abs(a.flakeDir)
		if err != nil {
			return "", environmentError("finding %s: %v", a.flakeDir, err)
		}
		// The folder that holds it is meant as well.
		if !isFile(filepath.Join(dir, inventoryName)) && isFile(filepath.Join(dir, flakeName, inventoryName)) {
			dir = filepath.Join(dir, flakeName)
		}
		return realDir(dir), nil
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", environmentError("finding the working folder: %v", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		for _, candidate := range []string{filepath.Join(dir, flakeName), dir} {
			if isFile(filepath.Join(candidate, inventoryName)) {
				return realDir(candidate), nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", &exitError{exitInventory, fmt.Errorf(
				"there is no %s/%s in %s or a folder above it; name the flake's folder with --flake DIR",
				flakeName, inventoryName, wd)}
		}
	}
}

// realDir resolves symbolic links: Nix refuses a flake behind one.
func realDir(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// checkHosts makes sure that the inventory has the hosts that were named.
func (p *project) checkHosts(names []string) error {
	for _, name := range names {
		if _, ok := p.inv.Host(name); ok {
			continue
		}
		hint := ""
		if near := nearest(name, p.inv.HostNames()); near != "" {
			hint = fmt.Sprintf("; did you mean %s?", near)
		}
		return usageError("there is no host %q in %s%s (the hosts are %s)",
			name, p.inv.Path, hint, strings.Join(p.inv.HostNames(), ", "))
	}
	return nil
}

// nearest is the name that a misspelt one most probably means, as cobra
// suggests a command.
func nearest(name string, known []string) string {
	names := &cobra.Command{SuggestionsMinimumDistance: 3}
	for _, k := range known {
		names.AddCommand(&cobra.Command{Use: k, Run: func(*cobra.Command, []string) {}})
	}
	if found := names.SuggestionsFor(name); len(found) > 0 {
		return found[0]
	}
	return ""
}

// completeHosts completes the names of the hosts that are not there yet.
func (a *app) completeHosts(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	p, err := a.project()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, h := range p.inv.Hosts {
		if !slices.Contains(args, h.Name) {
			names = append(names, cobra.CompletionWithDesc(h.Name, h.Description))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// commit is the revision of the repository that holds the flake, with "+dirty"
// appended if the flake's folder differs from it; empty where git cannot tell.
func (p *project) commit(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// GIT_DIR and the like mean another repository, in a hook of one say.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	env = append(env, "GIT_OPTIONAL_LOCKS=0")
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", p.flake}, args...)...)
		cmd.Env = env
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	rev, err := git("rev-parse", "--verify", "HEAD")
	if err != nil || rev == "" {
		return ""
	}
	if changed, err := git("status", "--porcelain", "--untracked-files=normal", "--", "."); err != nil || changed != "" {
		rev += "+dirty"
	}
	return rev
}

// writable makes a folder and writes a block in it, which a full disk refuses.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return environmentError("cannot make the folder %s: %v", dir, osCause(err))
	}
	f, err := os.CreateTemp(dir, ".panther-*")
	if err != nil {
		return environmentError("cannot write in the folder %s: %v", dir, osCause(err))
	}
	_, err = f.Write(make([]byte, 4096))
	if err := errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name())); err != nil {
		return environmentError("cannot write in the folder %s: %v", dir, osCause(err))
	}
	return nil
}

// osCause is what an error of package os says without the call and the path.
func osCause(err error) error {
	if pathErr := new(os.PathError); errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
