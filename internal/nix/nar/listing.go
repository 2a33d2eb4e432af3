package nar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// MaxListing bounds a listing, in bytes. It is enough for some 300,000 files,
// several times what the largest store paths have.
const MaxListing = 32 << 20

// ErrNoListing is the cause when an archive cannot be listed: a name or a
// symlink's target is not UTF-8, which JSON cannot hold, or the listing would
// exceed MaxListing. It says nothing against the archive.
var ErrNoListing = errors.New("the archive cannot be listed")

// Lister makes a listing of what its Visitor sees: the JSON that Nix writes
// for write-nar-listing (version 1), byte for byte.
type Lister struct {
	buf   bytes.Buffer
	after []bool // for each directory around: it has had an entry
	err   error
}

// Visitor is to be given to a Parser. Its functions do not fail: a reason for
// not listing is kept for JSON, and the parse goes on.
func (l *Lister) Visitor() Visitor {
	l.buf.WriteString(`{"root":`)
	return Visitor{
		Enter: func(n Node) error {
			if l.err == nil {
				l.enter(n)
			}
			return nil
		},
		Leave: func() error {
			if l.err == nil {
				l.after = l.after[:len(l.after)-1]
				l.buf.WriteString(`},"type":"directory"}`)
			}
			return nil
		},
	}
}

// JSON is the listing, once the parse has ended without an error. The error is
// ErrNoListing.
func (l *Lister) JSON() ([]byte, error) {
	if l.err != nil {
		return nil, l.err
	}
	return append(l.buf.Bytes(), `,"version":1}`...), nil
}

func (l *Lister) enter(n Node) {
	if depth := len(l.after); depth > 0 {
		if l.after[depth-1] {
			l.buf.WriteByte(',')
		}
		l.after[depth-1] = true
		l.string(n.Path[lastSlash(n.Path)+1:])
		l.buf.WriteByte(':')
	}
	switch n.Kind {
	case Directory:
		l.after = append(l.after, false)
		l.buf.WriteString(`{"entries":{`)
	case Symlink:
		l.buf.WriteString(`{"target":`)
		l.string(n.Target)
		l.buf.WriteString(`,"type":"symlink"}`)
	default:
		l.buf.WriteByte('{')
		if n.Executable {
			l.buf.WriteString(`"executable":true,`)
		}
		b := append(l.buf.AvailableBuffer(), `"narOffset":`...)
		b = strconv.AppendInt(b, n.Offset, 10)
		b = append(b, `,"size":`...)
		b = strconv.AppendInt(b, n.Size, 10)
		l.buf.Write(append(b, `,"type":"regular"}`...))
	}
	// What closes the open directories is bounded by their number.
	if l.buf.Len() > MaxListing-64*len(l.after)-64 {
		l.fail("more than %d bytes", MaxListing)
	}
}

func (l *Lister) fail(format string, args ...any) {
	l.err = fmt.Errorf("%w: "+format, append([]any{ErrNoListing}, args...)...)
	l.buf = bytes.Buffer{}
}

func lastSlash(path string) int {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return i
		}
	}
	return -1
}

// string writes s as Nix's JSON library does: only quotes, backslashes and
// control characters are escaped.
func (l *Lister) string(s string) {
	if l.err != nil {
		return
	}
	if !utf8.ValidString(s) {
		l.fail("%q is not UTF-8", s)
		return
	}
	b := append(l.buf.AvailableBuffer(), '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < ' ' {
				b = append(b, '\\', 'u', '0', '0', '0'+c>>4, "0123456789abcdef"[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	l.buf.Write(append(b, '"'))
}

// listed is a node of a listing as it comes from outside.
type listed struct {
	Type       string             `json:"type"`
	Size       *int64             `json:"size"`
	Executable bool               `json:"executable"`
	NAROffset  int64              `json:"narOffset"`
	Target     *string            `json:"target"`
	Entries    map[string]*listed `json:"entries"`
}

// ParseListing reads a listing, of Nix or another program, into nodes in the
// order of the archive. Listings are not signed: what one says is not more
// than a hint of what the archive holds. Names and sizes are checked as those
// of an archive are; an Offset of 0 is one that the listing does not tell.
func ParseListing(data []byte) ([]Node, error) {
	if len(data) > MaxListing {
		return nil, fmt.Errorf("a listing of more than %d bytes", MaxListing)
	}
	var listing struct {
		Version int     `json:"version"`
		Root    *listed `json:"root"`
	}
	if err := json.Unmarshal(data, &listing); err != nil {
		return nil, fmt.Errorf("not a listing: %v", err)
	}
	if listing.Version != 1 {
		return nil, fmt.Errorf("a listing of version %d, this program knows 1", listing.Version)
	}
	return listing.Root.append(nil, "")
}

func (l *listed) append(nodes []Node, path string) ([]Node, error) {
	if l == nil {
		return nil, fmt.Errorf("not a listing: nothing is said of %q", path)
	}
	n := Node{Path: path}
	switch l.Type {
	case "regular":
		if l.Size == nil || *l.Size < 0 || l.NAROffset < 0 {
			return nil, fmt.Errorf("not a listing: the size of %q", path)
		}
		n.Kind, n.Executable, n.Size, n.Offset = Regular, l.Executable, *l.Size, l.NAROffset
		return append(nodes, n), nil
	case "symlink":
		if l.Target == nil || *l.Target == "" || len(*l.Target) > maxTarget {
			return nil, fmt.Errorf("not a listing: the target of %q", path)
		}
		n.Kind, n.Target = Symlink, *l.Target
		return append(nodes, n), nil
	case "directory":
		n.Kind = Directory
		nodes = append(nodes, n)
	default:
		return nil, fmt.Errorf("not a listing: %q has the type %q", path, l.Type)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Entries)) {
		inner := name
		if path != "" {
			inner = path + "/" + name
		}
		reason := badName([]byte(name))
		if reason == "" && (len(name) > maxName || len(inner) > maxPath) {
			reason = "it is too long"
		}
		if reason != "" {
			return nil, fmt.Errorf("not a listing: in %q the name %q: %s", path, name, reason)
		}
		var err error
		if nodes, err = l.Entries[name].append(nodes, inner); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}
