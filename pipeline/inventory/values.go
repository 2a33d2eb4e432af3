package inventory

import (
	"fmt"
	"strings"
	"unicode"
)

// isTable reports an entry that should be a table and is not.
func (v *validator) isTable(e *entry, name, hint string) bool {
	if e.kind == kindTable {
		return true
	}
	v.report(e.pos, hint, "%s must be a table, not %s", clip(name), e.noun)
	return false
}

// text returns a string without control characters. It is false, after a
// report if there is something to report, for anything else.
func (v *validator) text(prefix string, e *entry) (string, bool) {
	if e == nil {
		return "", false
	}
	if e.kind != kindString {
		v.report(e.value.pos, "", "%s%s must be a string, not %s", prefix, e.key, e.noun)
		return "", false
	}
	return e.str, v.printable(prefix+e.key, e.value)
}

// printable reports the first character that does not print: these strings
// end up in generated files, tables on terminals and reports.
func (v *validator) printable(subject string, val value) bool {
	for _, r := range val.str {
		if !unicode.IsPrint(r) {
			v.report(val.pos, "write it on one line, without control characters",
				"%s contains the character %U, which does not print", subject, r)
			return false
		}
	}
	return true
}

// strings returns the strings of a list; those that are given twice, or are
// no strings, are reported and left out. noun names one of them.
func (v *validator) strings(prefix string, e *entry, noun string) []value {
	if e == nil {
		return nil
	}
	if e.kind != kindList {
		hint := ""
		if e.kind == kindString {
			hint = fmt.Sprintf("write %s = [%s]", e.key, quote(e.str))
		}
		v.report(e.value.pos, hint, "%s%s must be a list of strings, not %s", prefix, e.key, e.noun)
		return nil
	}
	var items []value
	seen := make(map[string]bool)
	for _, item := range e.list {
		switch {
		case item.kind != kindString:
			v.report(item.pos, "", "%s%s must hold strings only, not %s", prefix, e.key, item.noun)
		case !v.printable(prefix+e.key, item):
		case seen[item.str]:
			v.report(item.pos, "take one of them out", "%s%s %s is listed twice", prefix, noun, quote(item.str))
		default:
			seen[item.str] = true
			items = append(items, item)
		}
	}
	return items
}

// texts are the strings of a list, never nil.
func texts(items []value) []string {
	s := make([]string, len(items))
	for i, item := range items {
		s[i] = item.str
	}
	return s
}

// version returns a NixOS release, or "" after reporting what is none.
func (v *validator) version(prefix string, e *entry) string {
	s, ok := v.text(prefix, e)
	switch {
	case e != nil && e.noun == "a float":
		// The usual slip, and 25.10 would not even survive it.
		v.problems[len(v.problems)-1].Hint = "put it in quotes"
		return ""
	case !ok:
		return ""
	case !release.MatchString(s):
		v.report(e.value.pos, `write two digits of the year and the month, 05 or 11: "25.05" say`,
			"%s%s %s is not a NixOS release", prefix, e.key, quote(s))
		return ""
	}
	return s
}

// clip bounds and escapes a name without quoting it.
func clip(s string) string {
	q := quote(s)
	if end := strings.TrimSuffix(q, "..."); end != q {
		return end[1:len(end)-1] + "..."
	}
	return q[1 : len(q)-1]
}
