// Package report holds the record of a pipeline run: the wire types of
// report.json, what changed since an earlier run, and its renderings.
package report

import "time"

// Schema names the version of the wire format. Fields are only ever added
// under one name; a reader must ignore fields that it does not know.
const Schema = "pantheros.report/1"

// Status is the outcome of a step, check, host or run.
type Status string

// The outcomes. The set is closed: a reader may refuse any other.
const (
	Passed      Status = "passed"
	Failed      Status = "failed"
	Skipped     Status = "skipped"     // not wanted or not possible because of an earlier step
	Interrupted Status = "interrupted" // the run was cancelled while it was under way
)

// Report is one run of the pipeline.
type Report struct {
	Schema string  `json:"schema"`
	Status Status  `json:"status"`
	Run    Run     `json:"run"`
	Checks []Check `json:"checks"`
	Hosts  []Host  `json:"hosts"` // sorted by name
	// Push is the run's push. Where it pushed several times, one host after
	// the other, they are one here: all roots, the union of the paths with what
	// became of each in the end, the worst status, and seconds added up.
	Push *Push `json:"push,omitempty"`
	// Paths lists every store path of any host's closure once, sorted by
	// path; hosts refer to it by index.
	Paths []Path `json:"paths"`
	// Previous names the report that Changes are relative to.
	Previous *Previous `json:"previous,omitempty"`
	// Regressions are what got worse since Previous by more than is allowed,
	// see Limits; sorted by host.
	Regressions []Regression `json:"regressions,omitempty"`
	// Activities are what Nix built and fetched, sorted by start. Of very many
	// the longest are here.
	Activities []Activity `json:"activities,omitempty"`
}

// Run is what is true of the run as a whole.
type Run struct {
	Fleet   string    `json:"fleet"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	// Inputs is "real" or "offline". Offline toplevels are made from
	// stand-ins for the flake's inputs and are no NixOS.
	Inputs     string `json:"inputs"`
	InputsNote string `json:"inputs_note,omitempty"` // why, in a sentence
	Release    string `json:"release"`
	Commit     string `json:"commit,omitempty"` // of the repository, "+dirty" appended if it was
	NixVersion string `json:"nix_version,omitempty"`
	Cache      string `json:"cache,omitempty"`  // address, without credentials
	Error      string `json:"error,omitempty"`  // what stopped the run as a whole
	Engine     string `json:"engine,omitempty"` // what ran the containers, and its version; empty without containers
	// Unfinished says that the report was made while the run was going. One
	// that stays like this was killed.
	Unfinished bool `json:"unfinished,omitempty"`
	// Locked are the flake's own inputs as flake.lock pins them, sorted by name.
	Locked []LockedInput `json:"locked,omitempty"`
}

// LockedInput is an input of the flake, as flake.lock pins it.
type LockedInput struct {
	Name     string    `json:"name"`
	Source   string    `json:"source,omitempty"` // "github:NixOS/nixpkgs"
	Revision string    `json:"revision,omitempty"`
	Modified time.Time `json:"modified,omitzero"` // date of the revision
}

// Check is one thing that was checked, of the fleet (Host empty) or of a host.
type Check struct {
	Name   string `json:"name"` // "drift", "syntax", "flake-check", "toplevel", "security", "services"
	Host   string `json:"host,omitempty"`
	Status Status `json:"status"`
	// Started is zero for what another step answers on its way, as a host's
	// evaluation does, and in older reports.
	Started time.Time `json:"started,omitzero"`
	Seconds float64   `json:"seconds"`
	Detail  string    `json:"detail,omitempty"` // one line: what was found
	Log     []string  `json:"log,omitempty"`    // tail of its output, when it failed
	// Counts are the items that the check looked at, by what was found: for
	// "cis" "done", "missing", "not-applicable" and "not-done".
	Counts map[string]int `json:"counts,omitempty"`
}

// Host is one machine's outcome.
type Host struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	System      string   `json:"system"`
	Status      Status   `json:"status"`
	Steps       []Step   `json:"steps"`
	DrvPath     string   `json:"drv_path,omitempty"`
	Toplevel    string   `json:"toplevel,omitempty"`
	Failure     *Failure `json:"failure,omitempty"`
	Closure     *Closure `json:"closure,omitempty"`
	Sent        Count    `json:"sent"` // those of its paths that this run sent; shared paths count for every host
	Changes     *Changes `json:"changes,omitempty"`
	Work        *Work    `json:"work,omitempty"`
}

// Work is what Nix did to build a host. What hosts share is the work of the
// one that came first.
type Work struct {
	Built        int   `json:"built"`         // derivations
	Fetched      int   `json:"fetched"`       // store paths
	FetchedBytes int64 `json:"fetched_bytes"` // of NARs, as far as Nix said
	// Present are the paths of the closure that this run neither built nor
	// fetched for any host; 0 while the closure is not known.
	Present int `json:"present"`
}

// Activity is one thing that Nix did for a host.
type Activity struct {
	Kind    string    `json:"kind"` // "build", "fetch"
	Host    string    `json:"host"`
	Path    string    `json:"path"`           // the derivation built, or the store path fetched
	From    string    `json:"from,omitempty"` // the substituter, or the machine that built if it is another
	Status  Status    `json:"status"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
}

// Step is one timed part of a host's way: "evaluate", "build", "push".
type Step struct {
	Name    string    `json:"name"`
	Status  Status    `json:"status"`
	Started time.Time `json:"started,omitzero"`
	Seconds float64   `json:"seconds"`
	Detail  string    `json:"detail,omitempty"`
}

// Failure says what broke a host.
type Failure struct {
	Step    string   `json:"step"`
	Message string   `json:"message"`
	DrvPath string   `json:"drv_path,omitempty"` // the derivation that failed, where one did
	LogTail []string `json:"log_tail,omitempty"`
	Command string   `json:"command,omitempty"` // reproduces it
}

// Closure is a toplevel and everything it refers to.
type Closure struct {
	Paths    int   `json:"paths"`
	NARBytes int64 `json:"nar_bytes"`
	Members  []int `json:"members"` // indexes into Report.Paths, ascending
}

// Path is one store path.
type Path struct {
	Path     string `json:"path"` // full store path
	NARBytes int64  `json:"nar_bytes"`
	Origin   string `json:"origin,omitempty"` // "built", "fetched" by this run; empty: it was there, or not known
}

// Count is a number of paths and their sizes in bytes.
type Count struct {
	Paths     int   `json:"paths"`
	NARBytes  int64 `json:"nar_bytes"`
	FileBytes int64 `json:"file_bytes"` // as stored in the cache, compressed
}

// Previous identifies an earlier report.
type Previous struct {
	Started time.Time `json:"started"`
	Commit  string    `json:"commit,omitempty"`
	Limits  *Limits   `json:"limits,omitempty"` // what was called a regression; nil in older reports
}

// Changes is what is different in a host's closure since the previous report.
type Changes struct {
	SameToplevel bool            `json:"same_toplevel"`
	PathsAdded   int             `json:"paths_added"`
	PathsRemoved int             `json:"paths_removed"`
	NARBytes     int64           `json:"nar_bytes"` // growth; negative when it shrank
	Packages     []PackageChange `json:"packages,omitempty"`
}

// PackageChange is a package whose paths differ. Added packages have no
// Before, removed ones no After. Rebuilt ones have the same versions on both
// sides but other paths. Versions are listed once each, ascending as Nix
// orders them; the empty string stands for paths without a version.
type PackageChange struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"` // "added", "removed", "changed", "rebuilt"
	Before   []string `json:"before,omitempty"`
	After    []string `json:"after,omitempty"`
	NARBytes int64    `json:"nar_bytes"` // growth
}

// Push is what `pcache push --json` prints: the plan, what became of it, and
// why each path was or was not sent.
type Push struct {
	Schema  string    `json:"schema"` // PushSchema
	Status  Status    `json:"status"`
	Cache   string    `json:"cache"` // address, without credentials
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	// PlanSeconds is the time from start until it was known what to send.
	PlanSeconds float64 `json:"plan_seconds"`
	DryRun      bool    `json:"dry_run,omitempty"`
	// PublicKeys are the keys that this push signed with, "name:base64".
	PublicKeys []string   `json:"public_keys,omitempty"`
	Roots      []PushRoot `json:"roots"`
	Paths      []PushPath `json:"paths"` // union of the closures, sorted by path
	Sent       Count      `json:"sent"`
	// Skipped counts the paths that were not sent, by reason.
	Skipped map[string]Count `json:"skipped"`
	Error   string           `json:"error,omitempty"`
}

// PushSchema names the version of Push.
const PushSchema = "pantheros.push/1"

// PushRoot is one closure of a push.
type PushRoot struct {
	Name       string `json:"name,omitempty"` // as given by --root
	Path       string `json:"path"`
	Generation string `json:"generation,omitempty"` // of the manifest written, if one was
	Paths      int    `json:"paths"`
	NARBytes   int64  `json:"nar_bytes"`
	Sent       Count  `json:"sent"`
}

// PushPath is one store path of a push.
type PushPath struct {
	Path      string `json:"path"`
	NARHash   string `json:"nar_hash"`
	NARBytes  int64  `json:"nar_bytes"`
	FileBytes int64  `json:"file_bytes,omitempty"` // compressed, when sent
	Action    string `json:"action"`               // "send" (dry run), "sent", "skipped", "failed", "pending"
	Reason    string `json:"reason,omitempty"`     // of a skip: "present", "implied", "same-nar"; of a failure: the error
	Roots     []int  `json:"roots"`                // indexes of the roots whose closures hold it
}
