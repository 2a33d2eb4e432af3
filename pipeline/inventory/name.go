package inventory

import (
	"regexp"
	"slices"
	"strings"
)

// Systems are what a host's system can be: those that NixOS is built and
// cached for. The array is not to be changed.
var Systems = []string{"aarch64-linux", "x86_64-linux"}

var (
	// A label of RFC 1123, section 2.1, in lower case. One label, because
	// networking.hostName takes no dots, and it names folders and attributes.
	hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	digits   = regexp.MustCompile(`^[0-9]+$`)
	// What Nix takes as the name of a flake input (flakeIdRegex in its
	// libflake), which is also an identifier of the language. It bounds no
	// length; a host's bound serves here too.
	featureName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,62}$`)
	// POSIX's portable user names as far as Debian's and shadow's useradd
	// take them; NixOS allows at most 31 characters (users-groups.nix).
	userName    = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}$`)
	profileName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_-]*/[a-zA-Z0-9_][a-zA-Z0-9_-]*$`)
	fleetName   = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]{0,62}$`)
	identifier  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_'-]*$`)
	release     = regexp.MustCompile(`^[0-9]{2}\.(05|11)$`)
)

// keywords of the Nix language are no attribute names unless quoted.
var keywords = []string{"assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"}

// reservedHosts are names that mean something else where a host's name goes.
var reservedHosts = map[string]string{
	"all":       "it stands for every host",
	"common":    "profiles/common and home/common hold what hosts share",
	"default":   "Nix takes that attribute when none is named",
	"fleet":     "it stands for what concerns no single host",
	"localhost": "every machine calls itself that",
	"nixpkgs":   "it names an input of the flake",
	"self":      "it names the flake itself",
}

// reservedUsers have accounts or folders of another kind already.
var reservedUsers = map[string]string{
	"common": "home/common holds what users share",
	"nobody": "NixOS has a system account of that name",
	"root":   "NixOS has a system account of that name",
}

// reservedFeatures are inputs that every flake of ours has.
var reservedFeatures = map[string]string{
	"nixpkgs": "its address is the key nixpkgs of [fleet]",
	"self":    "it names the flake itself",
}

// isAttrPath says whether s is identifiers joined by dots.
func isAttrPath(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !identifier.MatchString(part) || slices.Contains(keywords, part) {
			return false
		}
	}
	return true
}
