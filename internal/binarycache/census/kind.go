package census

import (
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Kind is what an object of a cache is, by its key.
type Kind uint8

// The kinds of objects, as docs/cache-layout.md describes them. Foreign is what
// neither pcache nor Nix puts into a cache; nobody but its owner deletes it.
const (
	Foreign Kind = iota
	CacheInfo
	PublicKeys
	UpstreamKeys
	NARInfo
	NAR
	Listing
	Log
	DebugInfo
	Trace // which path an output of a derivation is: Nix's realisations and build traces
	Root
	Pin
	Lease
	Sweep
	Report
	numKinds
)

var kindNames = [numKinds]string{
	"foreign", "nix-cache-info", "public-keys", "upstream-keys", "narinfo", "nar", "listing", "log",
	"debuginfo", "build-trace", "root", "pin", "lease", "sweep", "report",
}

// String is the kind's name in reports.
func (k Kind) String() string { return kindNames[k] }

// Kinds are all kinds, in the order in which reports list them.
func Kinds() []Kind {
	all := make([]Kind, 0, numKinds)
	for k := CacheInfo; k < numKinds; k++ {
		all = append(all, k)
	}
	return append(all, Foreign)
}

// KindOf says what an object is. It looks at nothing but the key.
func KindOf(key string) Kind {
	first, rest, below := strings.Cut(key, "/")
	if !below {
		switch key {
		case "nix-cache-info":
			return CacheInfo
		case "public-keys":
			return PublicKeys
		case "upstream-keys":
			return UpstreamKeys
		}
		hash, extension, _ := strings.Cut(key, ".")
		switch {
		case !nix.IsHashPart(hash):
			return Foreign
		case extension == "narinfo":
			return NARInfo
		case extension == "ls":
			return Listing
		}
		return Foreign
	}
	switch first + "/" {
	case "nar/":
		return NAR
	case "log/":
		return Log
	case "debuginfo/":
		return DebugInfo
	case "realisations/", "build-trace-v2/":
		return Trace
	case "reports/":
		return Report
	case lease.Prefix:
		return Lease
	case lease.SweepPrefix:
		return Sweep
	case "roots/":
		_, file, _ := strings.Cut(rest, "/")
		switch {
		case strings.Contains(file, "/"):
			return Foreign
		case strings.HasSuffix(file, ".json"):
			return Root
		case strings.HasSuffix(file, ".pin"):
			return Pin
		}
	}
	return Foreign
}
