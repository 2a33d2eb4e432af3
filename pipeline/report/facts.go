package report

import (
	"path"
	"strings"
)

// What renderers in packages of their own need of the words and numbers that
// all renderings share.

// Duration writes seconds in the one or two units that matter: "41 ms",
// "12.3 s", "4 min 05 s".
func Duration(seconds float64) string { return duration(seconds) }

// Size writes bytes in MiB, always, so that reports can be compared.
func Size(bytes int64) string { return mib(bytes) }

// Plural is "1 path" or "3 paths"; noun is the singular.
func Plural(n int, noun string) string { return count(n, noun) }

// Result is a host's outcome in a few words: "passed", "build failed".
func (h *Host) Result() string { return h.result(clean) }

// Outcome is the verdict on the run in words: its status, and that something
// got worse in a run that passed.
func (r *Report) Outcome() string {
	if n := len(r.Regressions); n > 0 && r.Status == Passed {
		return string(Passed) + ", with " + count(n, "regression")
	}
	return string(r.Status)
}

// FailureGroup is one failure and the hosts that it broke: a derivation that
// all of them need, a push that failed as a whole.
type FailureGroup struct {
	Failure *Failure
	Result  string   // of these hosts, as Host.Result words it
	Hosts   []string // sorted
}

// FailureGroups lists what broke hosts, each failure once.
func (r *Report) FailureGroups() []FailureGroup {
	var list []FailureGroup
	for _, f := range r.failures() {
		list = append(list, FailureGroup{f.first.Failure, f.first.Result(), f.hosts})
	}
	return list
}

// ClosureUnion is the number and NAR size of all hosts' closures together,
// each path counted once; known is false if no host has one.
func (r *Report) ClosureUnion() (paths int, bytes int64, known bool) { return r.union() }

// Summary says in a sentence, without a full stop, what a push did. It holds
// no text from outside.
func (p *Push) Summary() string { return p.summary() }

// SkipReason explains a reason for which a push left paths out; empty for
// reasons that came later.
func SkipReason(reason string) string { return skipReasons[reason] }

// SplitPath takes the package name and the version out of a store path, as
// PackageChange gives them.
func SplitPath(storePath string) (name, version string) { return splitPath(storePath) }

// PathName is what follows the hash in a store path, without ".drv".
func PathName(storePath string) string {
	base := strings.TrimSuffix(path.Base(storePath), ".drv")
	if _, name, ok := strings.Cut(base, "-"); ok {
		return name
	}
	return base
}

// CompareVersions orders versions as Nix does.
func CompareVersions(a, b string) int { return compareVersions(a, b) }

// Offline reports whether the toplevels were made from stand-ins.
func (r *Report) Offline() bool { return r.Run.Inputs == "offline" }
