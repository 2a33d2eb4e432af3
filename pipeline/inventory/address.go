package inventory

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// placeholder stands for the fleet's release in addresses.
const placeholder = "${release}"

// address returns a flake reference in which ${release} is replaced, or ""
// after reporting what is wrong with it.
func (v *validator) address(prefix string, e *entry) string {
	raw, ok := v.text(prefix, e)
	if !ok {
		return ""
	}
	wrong := func(hint, format string, args ...any) string {
		v.report(e.value.pos, hint, "%s%s %s %s", prefix, e.key, quote(withoutPassword(raw)), fmt.Sprintf(format, args...))
		return ""
	}
	s := strings.ReplaceAll(raw, placeholder, v.release)
	if v.release == "" {
		// The release is wrong or missing and reported; any will do here.
		s = strings.ReplaceAll(raw, placeholder, "00.00")
	}
	if i := strings.Index(s, "${"); i >= 0 {
		name, _, _ := strings.Cut(s[i:], "}")
		return wrong("${release} is the only placeholder", "has the placeholder %s", quote(name+"}"))
	}
	if i := strings.IndexFunc(s, notInAddress); i >= 0 {
		return wrong("write other characters as %XX", "contains %s", quote(string([]rune(s[i:])[0])))
	}
	if why, hint := badReference(s); why != "" {
		return wrong(hint, "%s", why)
	}
	return s
}

// notInAddress is true for characters that RFC 3986 does not allow in a URI,
// and further for quotes, the dollar sign, brackets, which only addresses with
// an IPv6 host need, and "#", which Nix refuses in the address of an input.
func notInAddress(r rune) bool {
	alphanumeric := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !alphanumeric && !strings.ContainsRune("-._~:/?@!&()*+,;=%", r)
}

const maxAddress = 2048

var (
	// <owner>/<repository>, perhaps followed by a branch, tag or revision.
	forge    = regexp.MustCompile(`^[A-Za-z0-9~._%-]+/[A-Za-z0-9~._%-]+(/.*)?$`)
	revision = regexp.MustCompile(`(^|&)(ref|rev)=`)
	commit   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	refName  = regexp.MustCompile(`^[a-zA-Z0-9@][a-zA-Z0-9_./@+-]*$`)
	badRef   = regexp.MustCompile(`//|/\.|\.\.|\.lock$|\.lock/|[/.]$|^@$`)
	scheme   = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
)

// badReference says why s cannot be a flake reference of a kind that means
// the same on every machine; "" if it can. It does not ask the network.
func badReference(s string) (why, hint string) {
	const forms = "use github:<owner>/<repository>, git+https://<host>/<path>, https://<host>/<path>.tar.gz or path:<folder>"
	if len(s) > maxAddress {
		return fmt.Sprintf("is longer than %d characters", maxAddress), ""
	}
	plain, err := url.PathUnescape(s)
	if err != nil {
		return "has a % that two hexadecimal digits do not follow", "write %25 for the character itself"
	}
	if strings.ContainsFunc(plain, unicode.IsControl) {
		return "has an escaped control character", "take it out"
	}
	kind, rest, ok := strings.Cut(s, ":")
	if !ok || !scheme.MatchString(kind) {
		return "is not a flake reference", forms
	}
	rest, query, _ := strings.Cut(rest, "?")
	if !goodParameters(query) {
		return "has a ref or rev that is none", "write ?ref=<branch or tag> or ?rev=<40 hexadecimal digits>"
	}
	switch kind {
	case "github", "gitlab", "sourcehut":
		m := forge.FindStringSubmatch(rest)
		if m == nil || m[1] != "" && (!goodRef(m[1][1:]) || revision.MatchString(query)) {
			return "is not a flake reference", fmt.Sprintf("write %s:<owner>/<repository> or %s:<owner>/<repository>/<branch>", kind, kind)
		}
		return "", ""
	case "path":
		if rest == "" || strings.HasPrefix(rest, "//") {
			return "is not a flake reference", "write path:<folder>"
		}
		return "", ""
	case "flake":
		return "depends on a registry", "each machine has its own: write the address itself"
	case "git", "git+http", "git+https", "git+ssh", "git+file", "hg+http", "hg+https", "hg+ssh", "hg+file",
		"http", "https", "tarball+http", "tarball+https", "tarball+file":
	default:
		return "is not a flake reference", forms
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Path == "" || u.Path == "/" || (u.Host == "") != strings.HasSuffix(kind, "file") {
		return "is not a flake reference", forms
	}
	if _, secret := u.User.Password(); secret {
		return "holds a password", "it would be readable by everyone in the Nix store: use netrc-file or access-tokens of nix.conf"
	}
	return "", ""
}

// goodRef says whether Nix takes s as a branch or tag: what git-check-ref-format
// allows, and no other characters than Nix's refRegex has.
func goodRef(s string) bool {
	return refName.MatchString(s) && !badRef.MatchString(s)
}

// goodParameters looks at those of an address's parameters that Nix checks
// when it reads the address.
func goodParameters(query string) bool {
	for parameter := range strings.SplitSeq(query, "&") {
		switch key, val, _ := strings.Cut(parameter, "="); {
		case key == "ref" && !goodRef(val), key == "rev" && !commit.MatchString(val):
			return false
		}
	}
	return true
}

// userinfo is what precedes the host in an address; its password is group 1.
var userinfo = regexp.MustCompile(`//[^/@:]*:([^/@]*)@`)

// withoutPassword keeps a password out of messages, which end up in logs.
func withoutPassword(s string) string {
	if m := userinfo.FindStringSubmatchIndex(s); m != nil {
		return s[:m[2]] + "***" + s[m[3]:]
	}
	return s
}
