package local

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The oldest Nix that can evaluate nixpkgs since 25.11 (lib/minver.nix there).
const minMajor, minMinor = 2, 18

// Nix is an installation of Nix on this machine.
type Nix struct {
	Dir     string // the folder that holds nix and nix-instantiate
	Version string // "2.26.3"
	// Private is true of one that tools/nix/prepare unpacked: it belongs to no
	// system, so it has no store and no settings of its own either.
	Private bool
}

// ErrNoNix is returned by FindNix when there is no usable Nix.
var ErrNoNix = errors.New("no Nix of version 2.18 or newer was found; " +
	"run `make nix` to unpack one below .panther (Debian and its kin), " +
	"or install it from https://nixos.org/download, or name its folder with --nix DIR")

// FindNix returns the Nix in dir, if dir is not empty; else the one on the
// search path if it is new enough; else the newest that tools/nix/prepare
// unpacked below state/nix. Errors are for the user to act on.
func FindNix(ctx context.Context, dir, path, state string) (Nix, error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return Nix{}, fmt.Errorf("finding %s: %v", dir, err)
		}
		return inspect(ctx, abs)
	}
	for _, d := range filepath.SplitList(path) {
		if !isProgram(filepath.Join(d, "nix")) {
			continue
		}
		if n, err := inspect(ctx, d); err == nil {
			return n, nil
		}
		break // an older one: what follows on PATH is what the user hid
	}
	unpacked, err := filepath.Glob(filepath.Join(state, "nix", "*", "bin"))
	if err != nil {
		return Nix{}, fmt.Errorf("looking for Nix in %s: %v", state, err)
	}
	var found []Nix
	for _, d := range unpacked {
		if n, err := inspect(ctx, d); err == nil {
			found = append(found, n)
		}
	}
	if err := ctx.Err(); err != nil {
		return Nix{}, context.Cause(ctx)
	}
	if len(found) == 0 {
		return Nix{}, ErrNoNix
	}
	return slices.MaxFunc(found, func(a, b Nix) int {
		am, an, _ := parseVersion(a.Version)
		bm, bn, _ := parseVersion(b.Version)
		return 1000*(am-bm) + an - bn
	}), nil
}

// inspect asks the Nix in dir for its version.
func inspect(ctx context.Context, dir string) (Nix, error) {
	nix := filepath.Join(dir, "nix")
	if !isProgram(nix) {
		return Nix{}, fmt.Errorf("there is no nix in %s", dir)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, nix, "--version")
	cmd.Env = []string{"HOME=/nonexistent", "NIX_CONF_DIR=/nonexistent", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		return Nix{}, fmt.Errorf("%s --version: %v", nix, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	major, minor, ok := parseVersion(first)
	if !ok {
		return Nix{}, fmt.Errorf("%s --version printed %q, which has no version in it", nix, first)
	}
	if major < minMajor || major == minMajor && minor < minMinor {
		return Nix{}, fmt.Errorf("the Nix in %s is %d.%d, older than %d.%d, which nixpkgs needs",
			dir, major, minor, minMajor, minMinor)
	}
	fields := strings.Fields(first)
	// tools/nix/prepare puts the unpacked packages beside the folder of commands.
	return Nix{
		Dir:     dir,
		Version: fields[len(fields)-1],
		Private: isProgram(filepath.Join(dir, "..", "root", "usr", "bin", "nix")),
	}, nil
}

// parseVersion reads the last word of a line such as "nix (Nix) 2.26.3" or
// "nix (Lix, like Nix) 2.91.1".
func parseVersion(line string) (major, minor int, ok bool) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return 0, 0, false
	}
	first, rest, found := strings.Cut(fields[len(fields)-1], ".")
	if !found {
		return 0, 0, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(rest[:end])
	return major, minor, err1 == nil && err2 == nil
}

// findBusybox returns a statically linked busybox to serve as /bin/sh of the
// build sandbox: the private Nix's own, else the one on the search path.
func findBusybox(nix Nix, path string) (string, error) {
	dirs := filepath.SplitList(path)
	if nix.Private {
		dirs = slices.Insert(dirs, 0, nix.Dir)
	}
	for _, dir := range dirs {
		p := filepath.Join(dir, "busybox")
		if !isProgram(p) {
			continue
		}
		p, err := filepath.EvalSymlinks(p)
		if err == nil && isStatic(p) {
			return p, nil
		}
	}
	return "", errors.New("the build sandbox needs a statically linked busybox as its /bin/sh and none is on PATH; " +
		"install one (apt-get install busybox-static) or use the Nix that `make nix` unpacks")
}

// isStatic reports whether an ELF program asks for no loader, and so runs in a
// sandbox that holds nothing else.
func isStatic(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
