// Package inventory reads hosts.toml, the one list of the fleet's machines.
//
// docs/hosts-toml.md describes the format for its readers. Nix reads the same
// file with builtins.fromTOML (flake-src/lib/inventory.nix), so nothing may be
// accepted here that Nix would read differently.
package inventory

import (
	"path/filepath"
	"slices"
	"strings"
)

// Inventory is a validated hosts.toml. Hosts and features are sorted by name.
type Inventory struct {
	// Path is the file it was read from.
	Path  string
	Fleet Fleet
	// Features are the optional flake inputs that hosts can ask for.
	Features []Feature
	Hosts    []Host
}

// Fleet is what all hosts share.
type Fleet struct {
	Name        string // "pantherOS"
	Description string
	Release     string // the NixOS release, "25.05"
	Nixpkgs     string // address of nixpkgs, ${release} already replaced
}

// Feature is a flake input that only some hosts need.
type Feature struct {
	Name    string
	URL     string   // flake reference, ${release} already replaced
	Follows []string // the input's own inputs that follow ours
	Modules []string // attribute paths of the input that its hosts import
	Line    int      // where its table starts in the file
}

// Host is one machine, defaults filled in.
type Host struct {
	Name         string
	Description  string   // its name if the file has none
	System       string   // "x86_64-linux"
	StateVersion string   // "25.05"; never changed after installation
	Profiles     []string // in the order of the file, "workstation/base" = profiles/workstation/base.nix
	Features     []string // in the order of the file
	Users        []string
	Line         int // where its table starts in the file
}

// Dir is the folder of hosts.toml: the flake's own folder.
func (inv *Inventory) Dir() string {
	return filepath.Dir(inv.Path)
}

// Host returns the host of that name.
func (inv *Inventory) Host(name string) (Host, bool) {
	i, ok := slices.BinarySearchFunc(inv.Hosts, name, func(h Host, name string) int {
		return strings.Compare(h.Name, name)
	})
	if !ok {
		return Host{}, false
	}
	return inv.Hosts[i], true
}

// HostNames returns the names of all hosts, sorted.
func (inv *Inventory) HostNames() []string {
	names := make([]string, len(inv.Hosts))
	for i, h := range inv.Hosts {
		names[i] = h.Name
	}
	return names
}

// UsedFeatures returns the features that at least one host has, sorted by
// name. Only these are inputs of the flake.
func (inv *Inventory) UsedFeatures() []Feature {
	used := make(map[string]bool)
	for _, h := range inv.Hosts {
		for _, name := range h.Features {
			used[name] = true
		}
	}
	var features []Feature
	for _, f := range inv.Features {
		if used[f.Name] {
			features = append(features, f)
		}
	}
	return features
}
