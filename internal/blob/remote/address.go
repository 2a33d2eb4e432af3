package remote

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// NixSettings are the parameters that Nix 2.26 to 2.35 knows in the addresses
// of all binary caches and that say nothing about how to reach one: they are
// handed on to the caller.
var NixSettings = []string{
	"compression", "compression-level", "parallel-compression",
	"narinfo-compression", "ls-compression", "log-compression",
	"write-nar-listing", "index-debug-info", "local-nar-cache",
	"secret-key", "secret-keys", "trusted",
	"priority", "want-mass-query", "system-features", "store", "path-info-cache-size",
}

// Params splits an address's query: into those parameters that the store
// itself knows, and Nix's. One that is in neither list is refused, with the
// nearest that is known: a misspelt parameter must not be ignored.
func Params(query string, known []string) (own, nix map[string]string, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, nil, fmt.Errorf("its parameters cannot be read: %v", err)
	}
	own, nix = make(map[string]string), make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			return nil, nil, fmt.Errorf("parameter %q is given more than once", name)
		}
		switch {
		case slices.Contains(known, name):
			own[name] = values[name][0]
		case slices.Contains(NixSettings, name):
			nix[name] = values[name][0]
		default:
			return nil, nil, fmt.Errorf("parameter %q is not known%s", name, Suggest(name, slices.Concat(known, NixSettings)))
		}
	}
	return own, nix, nil
}

// Suggest says what a misspelt name most probably means, or else lists what
// could be: text to be put behind a message.
func Suggest(name string, known []string) string {
	best, least := "", len(name)/2+2
	for _, k := range known {
		if d := distance(strings.ToLower(name), k); d < least {
			best, least = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return "; known are " + strings.Join(known, ", ")
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// Loopback says that a host, with a port or without, is this machine.
func Loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Printable makes text from elsewhere fit for a message: one line, no control
// characters, not endless.
func Printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	const longest = 300
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}
