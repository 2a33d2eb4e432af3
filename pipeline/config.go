package pipeline

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/inventory"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// Inputs says what the flake's inputs are.
type Inputs string

const (
	// InputsReal are the inputs that the flake names, as flake.lock pins them.
	InputsReal Inputs = "real"
	// InputsOffline replaces each of them by one of the project's stand-ins,
	// which need no network. What is built from them is no NixOS.
	InputsOffline Inputs = "offline"
	// InputsAuto is InputsReal if nixpkgs can be had within seconds, else
	// InputsOffline.
	InputsAuto Inputs = "auto"
)

// Scope is how far a run goes. Each scope includes those before it.
type Scope int

// The scopes.
const (
	ScopeCheck Scope = iota // check the fleet and evaluate the hosts
	ScopeBuild              // build the hosts' toplevels
	ScopePush               // push what was built to the cache
)

// steps are the steps that every host must pass in a scope.
func (s Scope) steps() []string {
	switch s {
	case ScopeCheck:
		return []string{report.StepEvaluate}
	case ScopeBuild:
		return []string{report.StepEvaluate, report.StepBuild}
	}
	return []string{report.StepEvaluate, report.StepBuild, report.StepPush}
}

// Config is what to do. Shell, Inventory and FlakeDir must be set, and Cache
// for ScopePush; everything else has a useful zero value.
type Config struct {
	Shell     Shell
	Inventory *inventory.Inventory
	// FlakeDir is the flake's folder, in the shell's eyes and in ours.
	FlakeDir string
	// Hosts are the names of the hosts wanted; empty means all.
	Hosts []string
	Scope Scope
	// Generate writes what is generated from the inventory before it is
	// checked, where it is not up to date.
	Generate bool

	Inputs Inputs // default: InputsAuto
	// InputsNote says in a sentence why the inputs are what they are.
	InputsNote string
	// StandIns is the folder of the stand-ins, one folder per input; default:
	// tests/stand-in in the flake's folder.
	StandIns string

	// Jobs is how many hosts are evaluated or built at once; default: as many
	// as there are processors. Evaluating a host takes up to 2 GiB of memory.
	Jobs int

	// Cache is the address of the cache to push to, in pcache's terms.
	Cache string
	// SecretKeyFile is the file of the key that signs what is pushed.
	SecretKeyFile string

	Commit   string         // of the repository, for the report
	Previous *report.Report // what the report's changes are relative to; may be nil
	// Limits say what is called a regression; default: report.DefaultLimits.
	Limits report.Limits

	// NixCommand is how a person runs the shell's Nix; it starts the commands
	// that the report gives to reproduce a failure. Default: "nix".
	NixCommand string

	// Engine is what runs the containers and its version, for the report; empty
	// without containers.
	Engine string
	// Checkpoint is called each time a step begins or ends, and must not block.
	// snapshot makes the report so far, valid as if the run had been killed at
	// that moment; it takes a while in a large fleet, and may be called at any
	// time and from anywhere.
	Checkpoint func(snapshot func() *report.Report)

	// Observe is told what happens as it happens. Its calls are not
	// concurrent and it must not block for long.
	Observe func(Event)
}

// Event is something that happened during a run.
type Event struct {
	Kind EventKind
	// Host is empty for what concerns the fleet.
	Host string
	// Step is "evaluate", "build" or "push", for a host; "inputs", "drift",
	// "syntax", "flake-check" or "push", for the fleet.
	Step    string
	Status  report.Status // of StepFinished
	Seconds float64       // of StepFinished
	// Detail is one line: what was found, what is under way, what is noted.
	Detail string
	// Done and Total count what Unit says; Total is 0 where it is not known.
	Done, Total int64
	Unit        string // "derivations", "bytes"
	// Building names the derivations that a build has under way, in the order
	// in which they were started.
	Building []string
	// Fetching is how many store paths a build is fetching at present, Fetched
	// the bytes of NARs that it has fetched so far, and FetchTotal those that
	// it will have fetched, 0 where that is not known.
	Fetching            int
	Fetched, FetchTotal int64
	// Sent is how many bytes of a push, as stored, the link to the cache has
	// taken; Done may count more, that was read and is on its way. -1 where
	// that is not measured.
	Sent int64
}

// EventKind is the kind of an Event.
type EventKind string

// The kinds of events.
const (
	StepStarted  EventKind = "started"
	StepProgress EventKind = "progress"
	StepFinished EventKind = "finished"
	Note         EventKind = "note"
)

// UnknownHostError says that a host is wanted that the inventory does not have.
type UnknownHostError struct {
	Name  string
	Known []string
}

func (e *UnknownHostError) Error() string {
	return fmt.Sprintf("no host is called %q in the inventory; the hosts are %s", e.Name, strings.Join(e.Known, ", "))
}

// withDefaults checks c and fills in what was left out.
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Shell == nil:
		return c, errors.New("pipeline: no shell to run commands in")
	case c.Inventory == nil:
		return c, errors.New("pipeline: no inventory")
	case c.FlakeDir == "":
		return c, errors.New("pipeline: no flake folder")
	case c.Scope < ScopeCheck || c.Scope > ScopePush:
		return c, fmt.Errorf("pipeline: there is no scope %d", c.Scope)
	case c.Scope == ScopePush && c.Cache == "":
		return c, errors.New("pipeline: no cache to push to")
	}
	if !filepath.IsAbs(c.FlakeDir) {
		abs, err := filepath.Abs(c.FlakeDir)
		if err != nil {
			return c, fmt.Errorf("finding %s: %v", c.FlakeDir, err)
		}
		c.FlakeDir = abs
	}
	switch c.Inputs {
	case "":
		c.Inputs = InputsAuto
	case InputsReal, InputsOffline, InputsAuto:
	default:
		return c, fmt.Errorf("inputs are %q, which is none of real, offline and auto", c.Inputs)
	}
	if c.StandIns == "" {
		c.StandIns = filepath.Join(c.FlakeDir, "tests", "stand-in")
	}
	if c.Jobs < 1 {
		c.Jobs = runtime.NumCPU()
	}
	if c.NixCommand == "" {
		c.NixCommand = "nix"
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	return c, nil
}

// wanted are the hosts wanted, in the order of the inventory, each once.
func (c Config) wanted() ([]inventory.Host, error) {
	if len(c.Hosts) == 0 {
		return c.Inventory.Hosts, nil
	}
	for _, name := range c.Hosts {
		if _, ok := c.Inventory.Host(name); !ok {
			return nil, &UnknownHostError{Name: name, Known: c.Inventory.HostNames()}
		}
	}
	var hosts []inventory.Host
	for _, h := range c.Inventory.Hosts {
		if slices.Contains(c.Hosts, h.Name) {
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}
