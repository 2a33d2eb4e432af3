package inventory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxSize bounds hosts.toml, in bytes. A host's table takes a few hundred.
const maxSize = 1 << 20

// Load reads and validates hosts.toml, and looks whether the profiles and home
// folders that it names exist beside it. Defaults are filled into the hosts
// and ${release} is replaced.
//
// A file that can be read but is wrong gives a Problems error with everything
// that is wrong with it. A missing file satisfies errors.Is(err,
// fs.ErrNotExist).
//
// The hosts' own folders may be missing: see MissingHostFiles.
func Load(path string) (*Inventory, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	// Through a Root, because a symbolic link that leaves the folder does not
	// work in a flake either: Nix copies the folder and nothing else.
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open the folder of %s: %v", path, err)
	}
	defer func() { _ = root.Close() }()

	v := &validator{file: path, root: root}
	inv := v.inventory(data)
	if len(v.problems) > 0 {
		v.problems.sort()
		return nil, v.problems
	}
	inv.Path = path
	return inv, nil
}

func readFile(path string) ([]byte, error) {
	at := path
	if abs, err := filepath.Abs(path); err == nil {
		at = abs
	}
	// Before opening it: opening a pipe would wait for a writer.
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no inventory at %s: %w; name the flake's folder, or write the file (docs/hosts-toml.md has one to start from)",
			at, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read the inventory %s: %v", at, cause(err))
	case info.IsDir():
		return nil, fmt.Errorf("the inventory %s is a folder; it has to be a TOML file", at)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("the inventory %s is not a regular file", at)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the inventory %s: %v", at, cause(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the inventory %s: %v", at, cause(err))
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("the inventory %s is larger than %d KiB; is it the right file?", at, maxSize>>10)
	}
	return data, nil
}

// cause is what an error of package os says without the call and the path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// HostFiles are the names of the files in each host's folder hosts/<name>.
func HostFiles() []string {
	return []string{"configuration.nix", "hardware-configuration.nix", "home.nix"}
}

// MissingHostFiles returns a problem for each file that a host's folder
// lacks, sorted by line. `panther generate` writes a first version of them.
func (inv *Inventory) MissingHostFiles() Problems {
	root, err := os.OpenRoot(inv.Dir())
	if err != nil {
		return Problems{{File: inv.Path, Line: 1, Column: 1,
			Message: fmt.Sprintf("cannot look into its folder: %v", cause(err))}}
	}
	defer func() { _ = root.Close() }()
	v := &validator{file: inv.Path, root: root}
	for _, h := range inv.Hosts {
		for _, name := range HostFiles() {
			v.requireFile(position{h.Line, 1}, "hosts/"+h.Name+"/"+name,
				fmt.Sprintf("host %q: ", h.Name), "run `panther generate`, which writes a first version of it")
		}
	}
	v.problems.sort()
	return v.problems
}

// requireFile reports a problem unless path, below the inventory's folder and
// with slashes, is a regular file.
func (v *validator) requireFile(pos position, path, subject, hint string) {
	info, err := v.root.Stat(path)
	switch {
	case err == nil && info.Mode().IsRegular():
	case err == nil:
		v.report(pos, hint, "%s%s is not a regular file", subject, path)
	case errors.Is(err, fs.ErrNotExist):
		v.report(pos, hint, "%sthere is no file %s", subject, path)
	default:
		v.report(pos, "", "%scannot look at %s: %v", subject, path, cause(err))
	}
}

// validator collects what is wrong with one file.
type validator struct {
	file      string
	root      *os.Root
	problems  Problems
	suggested int // suggestions computed

	release  string // "" while unknown or wrong
	features map[string]bool
	homes    map[position]bool // users whose home folder has been looked for
}

func (v *validator) report(pos position, hint, format string, args ...any) {
	v.problems = append(v.problems, Problem{File: v.file, Line: pos.line, Column: pos.column,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// inventory validates a whole file. What it returns is of use only if no
// problem was reported.
func (v *validator) inventory(data []byte) *Inventory {
	doc, problem := parse(data)
	if problem != nil {
		problem.File = v.file
		v.problems = append(v.problems, *problem)
		return nil
	}
	if doc.newer != nil {
		doc.newer.File = v.file
		v.problems = append(v.problems, *doc.newer)
	}

	inv := &Inventory{}
	top := v.keys("", "the file", doc.root, "fleet", "defaults", "features", "hosts")
	inv.Fleet = v.fleet(top["fleet"])
	inv.Features = v.featureList(top["features"])
	defaults := v.defaults(top["defaults"])
	inv.Hosts = v.hostList(top["hosts"], defaults)

	// TOML forbids some things that the tree does not mind. Where the tree
	// had something to say about the same line, that is the better message.
	// The decoder takes time quadratic in the number of tables: not for a
	// file that has enough wrong with it to fill the screen.
	if len(v.problems) >= shownProblems {
		return inv
	}
	if problem := doc.recheck(); problem != nil {
		known := slices.ContainsFunc(v.problems, func(p Problem) bool { return p.Line == problem.Line })
		if !known {
			problem.File = v.file
			v.problems = append(v.problems, *problem)
		}
	}
	return inv
}

// keys returns a table's entries by key after reporting unknown and repeated
// ones. prefix starts a message about an entry ("host "yoga": "), whole names
// what has these keys ("a host").
func (v *validator) keys(prefix, whole string, t *table, known ...string) map[string]*entry {
	found := make(map[string]*entry)
	for _, e := range t.entries {
		if !slices.Contains(known, e.key) {
			v.report(e.pos, v.hint(e.key, known, whole+" can have "+list(known)),
				"%sunknown %s %s", prefix, e.what(), quote(e.key))
			continue
		}
		if first := found[e.key]; first != nil {
			v.report(e.pos, "keep one of them", "%s%s is given twice, first on line %d", prefix, e.key, first.pos.line)
			continue
		}
		found[e.key] = e
	}
	return found
}

// what names an entry by what it holds.
func (e *entry) what() string {
	if e.table != nil {
		return "table"
	}
	return "key"
}

// list joins words as a sentence does: "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
