//go:build real

// The flake on real inputs: `make test-real`, see docs/flake-tests.md. Without
// the tag these tests do not exist; with it they run or fail.

package flake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/pipeline/inventory"
)

// real is the flake with real inputs.
type real struct {
	dir       string // a copy of flake-src
	store     string // a chroot store, kept between runs
	overrides []string
	inputs    []string
}

// openReal copies the flake and reads the environment: PANTHEROS_<INPUT> names
// an input's tree (a folder, a Git repository or what Nix calls a flake
// reference), PANTHEROS_OVERRIDES those of inputs' inputs, as
// "opnix/flake-utils=REF …". With none of them the inputs are flake.lock's.
func openReal(t *testing.T) *real {
	root := moduleRoot(t)
	inv, err := inventory.Load(filepath.Join(root, "flake-src/hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	r := &real{dir: filepath.Join(t.TempDir(), "flake-src"), inputs: []string{"nixpkgs"}}
	for _, f := range inv.Features {
		r.inputs = append(r.inputs, f.Name)
	}
	if err := os.CopyFS(r.dir, os.DirFS(filepath.Join(root, "flake-src"))); err != nil {
		t.Fatal(err)
	}
	if r.store = os.Getenv("PANTHEROS_REAL_STORE"); r.store == "" {
		r.store = filepath.Join(root, ".panther/real")
	}
	for _, input := range r.inputs {
		variable := "PANTHEROS_" + strings.ToUpper(strings.ReplaceAll(input, "-", "_"))
		if ref := os.Getenv(variable); ref != "" {
			r.overrides = append(r.overrides, "--override-input", input, reference(t, ref))
		}
	}
	for _, o := range strings.Fields(os.Getenv("PANTHEROS_OVERRIDES")) {
		input, ref, ok := strings.Cut(o, "=")
		if !ok {
			t.Fatalf("PANTHEROS_OVERRIDES: %q is not INPUT=REFERENCE", o)
		}
		r.overrides = append(r.overrides, "--override-input", input, reference(t, ref))
	}
	if len(r.overrides) > 0 {
		// What it locks for an input's inputs may not fit the trees given.
		if err := os.Remove(filepath.Join(r.dir, "flake.lock")); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// reference is what Nix takes for a tree: a Git repository by its commit, for
// with path: all of it would be copied again on every run.
func reference(t *testing.T, ref string) string {
	if !filepath.IsAbs(ref) {
		return ref
	}
	out, err := exec.Command("git", "-C", ref, "rev-parse", "--show-toplevel", "HEAD").Output()
	if err != nil {
		return "path:" + ref
	}
	top, rev, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if top != ref {
		return "path:" + ref
	}
	return fmt.Sprintf("git+file://%s?rev=%s&shallow=1", ref, rev)
}

// usage is what a command took.
type usage struct {
	wall, cpu time.Duration
	mebibytes int64
}

// run runs a command of the Nix in bin and returns its output and what it said.
func (r *real) run(t *testing.T, bin string, args ...string) (stdout, stderr string, used usage) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	home := filepath.Join(r.store, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, args[0]), append([]string{"--store", r.store}, args[1:]...)...)
	cmd.Env = append(os.Environ(), "HOME="+home, "PATH="+bin+":"+os.Getenv("PATH"),
		"NIX_CONFIG=experimental-features = nix-command flakes\nwarn-dirty = false\nbuild-users-group =\n")
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	start := time.Now()
	if failed := cmd.Run(); failed != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args[:2], " "), failed, err.String())
	}
	used.wall = time.Since(start)
	used.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if rusage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		used.mebibytes = rusage.Maxrss / 1024
	}
	return out.String(), err.String(), used
}

// eval evaluates an attribute of the flake into v.
func (r *real) eval(t *testing.T, bin, attribute string, v any) (stderr string, used usage) {
	t.Helper()
	stdout, stderr, used := r.run(t, bin, append([]string{"nix", "eval", "--json", "--no-write-lock-file",
		"path:" + r.dir + "#" + attribute}, r.overrides...)...)
	if err := json.Unmarshal([]byte(stdout), v); err != nil {
		t.Fatalf("%s: %v", attribute, err)
	}
	return stderr, used
}

// evaluators are the folders of the Nix versions to evaluate with:
// PANTHEROS_NIX_BINS, separated by colons, or the one of all tests.
func evaluators(t *testing.T) []string {
	if list := os.Getenv("PANTHEROS_NIX_BINS"); list != "" {
		return filepath.SplitList(list)
	}
	return []string{nixBin(t)}
}

// TestRealHosts evaluates each host's toplevel with each evaluator: nothing is
// wrong with it, nothing warns, and the evaluators want the same derivations. It prints what that
// took, for docs/flake-tests.md.
func TestRealHosts(t *testing.T) {
	r := openReal(t)
	var hosts []string
	entries, err := os.ReadDir(filepath.Join(r.dir, "hosts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		hosts = append(hosts, e.Name())
	}
	closures := map[string][]string{}
	var figures strings.Builder
	fmt.Fprintf(&figures, "| host | Nix | wall, s | CPU, s | peak memory, MiB | derivations |\n|---|---|---|---|---|---|\n")
	for _, bin := range evaluators(t) {
		version, _, _ := r.run(t, bin, "nix", "--version")
		version = version[strings.LastIndex(strings.TrimSpace(version), " ")+1:]
		version = strings.TrimSpace(version)
		for _, host := range hosts {
			t.Run(version+"/"+host, func(t *testing.T) {
				var validation struct {
					Toplevel string
					Problems []struct{ Check, Message string }
				}
				stderr, used := r.eval(t, bin, "lib.validation."+host, &validation)
				for _, p := range validation.Problems {
					t.Errorf("%s: %s", p.Check, p.Message)
				}
				t.Logf("it said:\n%s", stderr)
				for line := range strings.Lines(stderr) {
					if strings.Contains(line, "evaluation warning:") || strings.Contains(line, "trace: warning:") {
						t.Errorf("warning: %s", strings.TrimSpace(line))
					}
				}
				closure, _, _ := r.run(t, bin, "nix-store", "-qR", validation.Toplevel)
				var derivations []string
				for path := range strings.Lines(closure) {
					if _, name, ok := strings.Cut(strings.TrimSpace(path), "-"); ok && strings.HasSuffix(name, ".drv") {
						derivations = append(derivations, name)
					}
				}
				slices.Sort(derivations)
				if len(derivations) < 1000 {
					t.Errorf("%s needs %d derivations: that is no real system", validation.Toplevel, len(derivations))
				}
				// By name: Home Manager's manual has paths of its source in it, which
				// Nix 2.26 gives with the chroot store's folder and 2.34 without.
				if before, ok := closures[host]; ok {
					if diff := cmp.Diff(before, derivations); diff != "" {
						t.Errorf("other derivations than by the evaluator before:\n%s", diff)
					}
				}
				closures[host] = derivations
				fmt.Fprintf(&figures, "| %s | %s | %.0f | %.1f | %d | %d |\n", host, version,
					used.wall.Seconds(), used.cpu.Seconds(), used.mebibytes, len(derivations))
			})
		}
	}
	fmt.Println(figures.String())
}

// TestRealPromises switches each module off on a host that has it: something that
// its line of the brief promises is gone then. The suites on the stand-ins ask
// the same of each module alone, and of every fact.
func TestRealPromises(t *testing.T) {
	r := openReal(t)
	entries, err := os.ReadDir(filepath.Join(r.dir, "modules"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, e := range entries {
		// One process for each folder: all at once take some gigabytes.
		t.Run(e.Name(), func(t *testing.T) {
			var modules map[string]struct {
				Host            string
				WithIt, Without []string
			}
			r.eval(t, nixBin(t), "legacyPackages.x86_64-linux.promises."+e.Name(), &modules)
			for _, module := range slices.Sorted(maps.Keys(modules)) {
				seen++
				m := modules[module]
				gone := slices.DeleteFunc(slices.Clone(m.WithIt), func(fact string) bool {
					return slices.Contains(m.Without, fact)
				})
				if len(gone) == 0 {
					t.Errorf("%s off on %s: nothing is gone; with it: %q", module, m.Host, m.WithIt)
					continue
				}
				t.Logf("%s off on %s: %d of %d facts gone, %s", module, m.Host, len(gone), len(m.WithIt), gone[0])
			}
		})
	}
	t.Logf("%d modules", seen)
}

// TestRealPackage evaluates the package pcache, and a host that serves with it, from
// a Git tree: as path: the flake does not see the repository around it.
func TestRealPackage(t *testing.T) {
	r := openReal(t)
	root := moduleRoot(t)
	dir := filepath.Join(t.TempDir(), "repository")
	for _, args := range [][]string{
		{"clone", "--quiet", "--no-hardlinks", root, dir},
		{"-C", dir, "rm", "--quiet", "-r", "flake-src"},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	// As it is now, and without its lock where the trees are others.
	if err := os.CopyFS(filepath.Join(dir, "flake-src"), os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"add", "--all"},
		{"-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message", "as it is"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	flake := "git+file://" + dir + "?dir=flake-src"
	eval := func(args ...string) string {
		stdout, _, _ := r.run(t, nixBin(t), append(append([]string{"nix", "eval", "--raw", "--no-write-lock-file"}, args...), r.overrides...)...)
		return stdout
	}
	for name, args := range map[string][]string{
		"package": {flake + "#packages.x86_64-linux.pcache.drvPath"},
		"server": {flake + "#nixosConfigurations.ovh-cloud-vps", "--apply", `nixos: (nixos.extendModules {
			modules = [ { pantherOS.services.cache.local-cache = { serve.enable = true; warm = { enable = true; cache = "https://cache.example.org"; }; }; } ];
		}).config.system.build.toplevel.drvPath`},
	} {
		if got := eval(args...); !strings.HasSuffix(got, ".drv") {
			t.Errorf("%s: %q is no derivation", name, got)
		} else {
			t.Logf("%s: %s", name, got)
		}
	}
}

// TestRealVMs evaluates the VM tests to their derivations. Running them takes a
// machine with KVM and the packages.
func TestRealVMs(t *testing.T) {
	r := openReal(t)
	var names []string
	suites, err := fs.Glob(os.DirFS(r.dir), "tests/vm/*.nix")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range suites {
		if name := strings.TrimSuffix(filepath.Base(s), ".nix"); name != "default" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatal("no VM tests")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			var drv string
			r.eval(t, nixBin(t), "legacyPackages.x86_64-linux.vmTests."+name+".drvPath", &drv)
			t.Log(drv)
		})
	}
}

// TestRealOptions compares the stand-ins' tables of options with what the real
// inputs declare; -update writes them.
func TestRealOptions(t *testing.T) {
	r := openReal(t)
	var tables map[string]map[string]any
	r.eval(t, nixBin(t), "legacyPackages.x86_64-linux.options", &tables)
	release, ok := tables["release"]["nixpkgs"].(string)
	if !ok {
		t.Fatal("the flake does not say which release nixpkgs is")
	}
	delete(tables, "release")
	for input, options := range tables {
		file := filepath.Join(moduleRoot(t), "flake-src/tests/stand-in", input, "options.json")
		if input == "nixpkgs" {
			file = filepath.Join(filepath.Dir(file), "nixos/options.json")
		}
		got := encodeOptions(t, release, options)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
			t.Errorf("%s is not what the real input declares; `make options` writes it (-committed +real):\n%s", file, diff)
		}
	}
}

// encodeOptions writes a table: each type once, options with their type's
// number, a line for each type and for each set of options of the third level.
func encodeOptions(t *testing.T, release string, options map[string]any) []byte {
	var types []string
	numbers := map[string]int{}
	var intern func(any) int
	var set func(map[string]any) map[string]any
	set = func(options map[string]any) map[string]any {
		out := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(options)) {
			node := options[name]
			if inner, ok := node.(map[string]any); ok {
				out[name] = set(inner)
			} else {
				out[name] = intern(node)
			}
		}
		return out
	}
	intern = func(typ any) int {
		if list, ok := typ.([]any); ok {
			coded := []any{list[0]}
			for _, part := range list[1:] {
				switch part := part.(type) {
				case map[string]any:
					coded = append(coded, set(part))
				default:
					if list[0] == "enum" || list[0] == "separatedString" || list[0] == "strMatching" {
						coded = append(coded, part)
					} else {
						coded = append(coded, intern(part))
					}
				}
			}
			typ = coded
		}
		line := compact(t, typ)
		n, ok := numbers[line]
		if !ok {
			n = len(types)
			numbers[line] = n
			types = append(types, line)
		}
		return n
	}
	coded := set(options)
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\"release\":%q,\"options\":", release)
	writeSet(t, &b, coded, 2)
	b.WriteString(",\"types\":[\n" + strings.Join(types, ",\n") + "\n]}\n")
	return b.Bytes()
}

func writeSet(t *testing.T, b *bytes.Buffer, set map[string]any, levels int) {
	b.WriteString("{\n")
	for i, name := range slices.Sorted(maps.Keys(set)) {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString(compact(t, name) + ":")
		if inner, ok := set[name].(map[string]any); ok && levels > 1 {
			writeSet(t, b, inner, levels-1)
		} else {
			b.WriteString(compact(t, set[name]))
		}
	}
	b.WriteString("\n}")
}

func compact(t *testing.T, v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
