package report

import (
	"path"
	"strings"
)

// outputNames are the suffixes that nixpkgs gives to the outputs of a
// derivation. A store path name does not say where the version ends and an
// output's name begins, so only these count as outputs; any other trailing
// word ("1.2-unstable") stays part of the version.
var outputNames = map[string]bool{
	"bin": true, "checksum": true, "data": true, "debug": true, "dev": true,
	"devdoc": true, "dist": true, "dnsutils": true, "doc": true,
	"getent": true, "host": true, "info": true, "lib": true, "lib32": true,
	"lib64": true, "libgcc": true, "login": true, "man": true,
	"modules": true, "mount": true, "out": true, "py": true,
	"python": true, "scripts": true, "share": true, "static": true,
	"swap": true, "terminfo": true, "tools": true,
}

// fileSuffixes end the names of single files that NixOS generates. What
// follows a dash in such a name ("unit-dbus-1.service") is not a version.
var fileSuffixes = map[string]bool{
	".automount": true, ".conf": true, ".device": true, ".mount": true,
	".path": true, ".rules": true, ".scope": true, ".service": true,
	".slice": true, ".socket": true, ".swap": true, ".target": true,
	".timer": true,
}

// splitPath takes the package name and the version out of a store path. The
// version starts after the first dash that is followed by something other
// than a letter, which is how Nix splits derivation names
// (builtins.parseDrvName); the name of an output after it is left out.
func splitPath(storePath string) (name, version string) {
	base := path.Base(storePath)
	if len(base) > hashLen && base[hashLen] == '-' {
		base = base[hashLen+1:]
	}
	if fileSuffixes[path.Ext(base)] {
		return base, ""
	}
	for i := 0; i+1 < len(base); i++ {
		if base[i] == '-' && !isLetter(base[i+1]) {
			return base[:i], withoutOutput(base[i+1:])
		}
	}
	return base, ""
}

func withoutOutput(version string) string {
	if i := strings.LastIndexByte(version, '-'); i > 0 && outputNames[version[i+1:]] {
		return version[:i]
	}
	return version
}

// compareVersions orders two versions as builtins.compareVersions does: less
// than, equal to or greater than zero. Numbers are compared at any length,
// where Nix compares those beyond 32 bits as text.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a = nextComponent(a)
		y, b = nextComponent(b)
		if c := compareComponents(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// nextComponent cuts the first run of digits or of other characters off v,
// skipping the dots and dashes before it.
func nextComponent(v string) (component, rest string) {
	for v != "" && (v[0] == '.' || v[0] == '-') {
		v = v[1:]
	}
	if v == "" {
		return "", ""
	}
	digits := isDigit(v[0])
	i := 1
	for i < len(v) && v[i] != '.' && v[i] != '-' && isDigit(v[i]) == digits {
		i++
	}
	return v[:i], v[i:]
}

// compareComponents orders "pre" before the end of a version, that before
// any other word, and words before numbers.
func compareComponents(a, b string) int {
	ra, rb := componentRank(a), componentRank(b)
	switch {
	case ra != rb:
		return ra - rb
	case ra == rankNumber:
		return compareNumbers(a, b)
	default:
		return strings.Compare(a, b)
	}
}

const (
	rankPre = iota
	rankEnd
	rankWord
	rankNumber
)

func componentRank(c string) int {
	switch {
	case c == "":
		return rankEnd
	case c == "pre":
		return rankPre
	case isDigit(c[0]):
		return rankNumber
	default:
		return rankWord
	}
}

func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
