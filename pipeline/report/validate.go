package report

import (
	"fmt"
	"math"
	"strings"
)

// hashLen is the number of characters of a store path's hash, and maxNameLen
// that of its name, as Nix limits them.
const (
	hashLen    = 32
	maxNameLen = 211
)

// maxBytes bounds every size in a report, so that two can be added without
// overflow.
const maxBytes = math.MaxInt64 / 4

// maxSeconds bounds durations: three centuries.
const maxSeconds = 1e10

// addSizes adds two valid sizes and stops at maxBytes, so that a sum is valid
// too, whatever a file claims.
func addSizes(a, b int64) int64 { return min(a+b, maxBytes) }

// Validate says what in r breaks the schema: an unknown status, a list that
// is not sorted, an index that points nowhere, a negative size. Reports that
// Read and Builder return are valid.
func (r *Report) Validate() error {
	if r.Schema != Schema {
		return fmt.Errorf("schema is %q, not %q", cut(clean(r.Schema), 40), Schema)
	}
	if err := validStatus("report", r.Status); err != nil {
		return err
	}
	if err := validSeconds("run", r.Run.Seconds); err != nil {
		return err
	}
	for i, c := range r.Checks {
		what := fmt.Sprintf("checks[%d]", i)
		if err := validStatus(what, c.Status); err != nil {
			return err
		}
		if err := validSeconds(what, c.Seconds); err != nil {
			return err
		}
		for word, n := range c.Counts {
			if n < 0 {
				return fmt.Errorf("%s.counts[%q]: negative number", what, cut(clean(word), 40))
			}
		}
	}
	if err := validPaths("paths", len(r.Paths), func(i int) (string, int64) {
		return r.Paths[i].Path, r.Paths[i].NARBytes
	}); err != nil {
		return err
	}
	for i := range r.Hosts {
		what := fmt.Sprintf("hosts[%d]", i)
		if i > 0 && r.Hosts[i-1].Name >= r.Hosts[i].Name {
			return fmt.Errorf("%s: hosts must be sorted by name, each once", what)
		}
		if err := r.Hosts[i].validate(what, len(r.Paths)); err != nil {
			return err
		}
	}
	for i, a := range r.Activities {
		if err := a.validate(fmt.Sprintf("activities[%d]", i)); err != nil {
			return err
		}
	}
	if p := r.Previous; p != nil && p.Limits != nil {
		if err := p.Limits.validate(); err != nil {
			return fmt.Errorf("previous.%v", err)
		}
	}
	for i, g := range r.Regressions {
		if err := g.validate(fmt.Sprintf("regressions[%d]", i)); err != nil {
			return err
		}
	}
	if r.Push != nil {
		if err := r.Push.Validate(); err != nil {
			return fmt.Errorf("push: %v", err)
		}
	}
	return nil
}

func (h *Host) validate(what string, paths int) error {
	if h.Name == "" {
		return fmt.Errorf("%s: the host has no name", what)
	}
	if err := validStatus(what, h.Status); err != nil {
		return err
	}
	for i, s := range h.Steps {
		what := fmt.Sprintf("%s.steps[%d]", what, i)
		if err := validStatus(what, s.Status); err != nil {
			return err
		}
		if err := validSeconds(what, s.Seconds); err != nil {
			return err
		}
	}
	if err := validCount(what+".sent", h.Sent); err != nil {
		return err
	}
	if w := h.Work; w != nil {
		if w.Built < 0 || w.Fetched < 0 || w.Present < 0 {
			return fmt.Errorf("%s.work: negative number", what)
		}
		if err := validSize(what+".work", w.FetchedBytes); err != nil {
			return err
		}
	}
	if c := h.Closure; c != nil {
		what += ".closure"
		if c.Paths != len(c.Members) {
			return fmt.Errorf("%s: it says %d paths but lists %d", what, c.Paths, len(c.Members))
		}
		if err := validSize(what, c.NARBytes); err != nil {
			return err
		}
		return validIndexes(what+".members", c.Members, paths)
	}
	return nil
}

// Validate says what in p breaks the schema. Pushes that ReadPush returns
// are valid.
func (p *Push) Validate() error {
	if p.Schema != PushSchema {
		return fmt.Errorf("schema is %q, not %q", cut(clean(p.Schema), 40), PushSchema)
	}
	if err := validStatus("push", p.Status); err != nil {
		return err
	}
	if err := validSeconds("push", p.Seconds); err != nil {
		return err
	}
	if err := validSeconds("plan", p.PlanSeconds); err != nil {
		return err
	}
	for i, root := range p.Roots {
		what := fmt.Sprintf("roots[%d]", i)
		if err := validStorePath(what, root.Path); err != nil {
			return err
		}
		if root.Paths < 0 {
			return fmt.Errorf("%s: negative number of paths", what)
		}
		if err := validSize(what, root.NARBytes); err != nil {
			return err
		}
		if err := validCount(what+".sent", root.Sent); err != nil {
			return err
		}
	}
	if err := validPaths("paths", len(p.Paths), func(i int) (string, int64) {
		return p.Paths[i].Path, p.Paths[i].NARBytes
	}); err != nil {
		return err
	}
	for i, path := range p.Paths {
		what := fmt.Sprintf("paths[%d]", i)
		if err := validSize(what, path.FileBytes); err != nil {
			return err
		}
		if err := validIndexes(what+".roots", path.Roots, len(p.Roots)); err != nil {
			return err
		}
	}
	for reason, c := range p.Skipped {
		if err := validCount(fmt.Sprintf("skipped[%q]", cut(clean(reason), 40)), c); err != nil {
			return err
		}
	}
	return validCount("sent", p.Sent)
}

func validStatus(what string, s Status) error {
	switch s {
	case Passed, Failed, Skipped, Interrupted:
		return nil
	}
	return fmt.Errorf("%s: unknown status %q", what, cut(clean(string(s)), 40))
}

func validSeconds(what string, s float64) error {
	if !(s >= 0 && s <= maxSeconds) { // also NaN
		return fmt.Errorf("%s: %v is no number of seconds", what, s)
	}
	return nil
}

func validSize(what string, bytes int64) error {
	if bytes < 0 || bytes > maxBytes {
		return fmt.Errorf("%s: %d is no size", what, bytes)
	}
	return nil
}

func validCount(what string, c Count) error {
	if c.Paths < 0 {
		return fmt.Errorf("%s: negative number of paths", what)
	}
	if err := validSize(what, c.NARBytes); err != nil {
		return err
	}
	return validSize(what, c.FileBytes)
}

// validPaths checks a table of n store paths: each well formed and greater
// than the one before, with a valid size.
func validPaths(table string, n int, at func(int) (string, int64)) error {
	var before string
	for i := range n {
		what := fmt.Sprintf("%s[%d]", table, i)
		path, size := at(i)
		if err := validStorePath(what, path); err != nil {
			return err
		}
		if path <= before {
			return fmt.Errorf("%s: paths must be sorted, each once", what)
		}
		before = path
		if err := validSize(what, size); err != nil {
			return err
		}
	}
	return nil
}

func validIndexes(what string, indexes []int, n int) error {
	for i, x := range indexes {
		if x < 0 || x >= n {
			return fmt.Errorf("%s[%d]: index %d is outside a list of %d", what, i, x, n)
		}
		if i > 0 && indexes[i-1] >= x {
			return fmt.Errorf("%s[%d]: indexes must be ascending, each once", what, i)
		}
	}
	return nil
}

const (
	nixBase32 = "0123456789abcdfghijklmnpqrsvwxyz"
	nameChars = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-._?="
)

// validStorePath checks the form DIR/HASH-NAME with an absolute DIR, a hash
// in Nix's base 32 and a name of the characters that Nix allows.
func validStorePath(what, path string) error {
	slash := strings.LastIndexByte(path, '/')
	hash, name, dash := strings.Cut(path[slash+1:], "-")
	if slash > 0 && path[0] == '/' && dash && clean(path) == path &&
		len(hash) == hashLen && consistsOf(hash, nixBase32) &&
		0 < len(name) && len(name) <= maxNameLen && consistsOf(name, nameChars) {
		return nil
	}
	return fmt.Errorf("%s: %q is no store path", what, cut(clean(path), 100))
}

func consistsOf(s, chars string) bool { return strings.Trim(s, chars) == "" }
