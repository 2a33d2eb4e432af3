package pipeline

import (
	"net/url"
	"regexp"
	"strings"
)

// flakeRef is the reference of the flake in an absolute folder. path:, because
// the folder is taken as it is, in a git repository or not; what a URL gives
// another meaning is escaped.
func flakeRef(dir string) string {
	return "path:" + (&url.URL{Path: dir}).EscapedPath()
}

// attr is an installable of the flake in dir. Each name is quoted, so that a
// dot in it does not divide it.
func attr(dir string, names ...string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = n
		if !plainName.MatchString(n) {
			quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(n) + `"`
		}
	}
	return flakeRef(dir) + "#" + strings.Join(quoted, ".")
}

var (
	plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_'-]*$`)
	plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./^-]+$`)
)

// ShellWords writes arguments so that a POSIX shell reads them back.
func ShellWords(args ...string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if !plainWord.MatchString(a) {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// storePath matches the path of something in a Nix store: the store's folder,
// 32 digits of Nix's base 32, and a name (Nix's manual, "store path").
var storePath = regexp.MustCompile(`^/[^\s"']*/[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+._?=-]{1,211}$`)
