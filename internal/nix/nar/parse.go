package nar

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Bounds of what a Parser accepts. They are those of Linux, so no tree that
// Nix could have archived exceeds them: NAME_MAX, and PATH_MAX without the
// final zero, for a symlink's target and for a path within the archive.
const (
	maxName   = 255
	maxTarget = 4095
	maxPath   = 4095
)

// Kind says what a Node is.
type Kind uint8

// The kinds of nodes.
const (
	Regular Kind = iota + 1
	Directory
	Symlink
)

// String is the kind as NARs and listings have it.
func (k Kind) String() string {
	switch k {
	case Regular:
		return "regular"
	case Directory:
		return "directory"
	case Symlink:
		return "symlink"
	default:
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
}

// Node is a file, a directory or a symlink in an archive.
type Node struct {
	Path       string // elements joined by slashes, empty for the root
	Kind       Kind
	Executable bool   // of a regular file
	Size       int64  // of a regular file's contents, in bytes
	Offset     int64  // of these contents from the archive's beginning
	Target     string // of a symlink, never empty
}

// Visitor is told what an archive holds, in its order: a directory before its
// entries, those sorted by the bytes of their names. Functions that are nil
// are not called; an error of one ends the parse and is its error.
type Visitor struct {
	// Enter is called once for each node.
	Enter func(Node) error
	// Contents is called with consecutive pieces of the regular file entered
	// last, and not at all for an empty one. p is valid during the call.
	Contents func(p []byte) error
	// Leave is called after a directory's last entry.
	Leave func() error
}

// FormatError says where bytes stop being a NAR, and why.
type FormatError struct {
	Offset int64  // from the archive's beginning, in bytes
	Path   string // of the node that was being read
	Reason string
}

func (e *FormatError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("not a valid NAR: at byte %d: %s", e.Offset, e.Reason)
	}
	path := e.Path
	if len(path) > maxName {
		path = path[:maxName] + "..."
	}
	return fmt.Sprintf("not a valid NAR: at byte %d, in %q: %s", e.Offset, path, e.Reason)
}

// Parse reads a NAR from r to its end. It accepts exactly what Dump and Nix
// write: names sorted by their bytes, each once, none of them empty, "." or
// "..", or holding a slash or a zero byte; zeros as padding; nothing after the
// archive. Anything else is a FormatError. Memory does not grow with the
// archive.
func Parse(r io.Reader, v Visitor) error {
	p := NewParser(v)
	if _, err := io.Copy(p, r); err != nil {
		return err
	}
	return p.Close()
}

// Parser is Parse for bytes that pass by: they are written to it. Close says
// whether they were a whole archive.
type Parser struct {
	visit Visitor
	err   error // the first one; it stays

	pos   int64 // bytes read
	phase phase
	left  uint64 // bytes to come of the string or the contents
	pad   int    // bytes of padding after it
	head  []byte // of a length that was cut in two; backed by headBuf
	text  []byte // of a string that was cut in two

	want  expected
	node  Node
	path  []byte // of the entry read last
	stack []int  // directories around it: the lengths of their paths
	first bool   // the innermost directory has had no entry
	buf   [8]byte
}

// phase is what part of a string comes next.
type phase uint8

const (
	inLength phase = iota
	inString
	inContents
	inPadding
)

// expected is which string comes next.
type expected uint8

const (
	wantMagic expected = iota
	wantOpen
	wantType
	wantKind
	wantExecutableOrContents
	wantExecutableValue
	wantContentsTag
	wantContents
	wantTargetTag
	wantTarget
	wantNodeEnd
	wantEntryOrEnd
	wantEntryOpen
	wantNameTag
	wantName
	wantNodeTag
	wantEntryEnd
	wantNothing
)

// NewParser makes a Parser that tells v what it finds.
func NewParser(v Visitor) *Parser {
	p := &Parser{visit: v}
	p.head = p.buf[:0]
	return p
}

// Write parses the next bytes of the archive. After an error all later calls
// return the same one.
func (p *Parser) Write(data []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	rest := data
	for len(rest) > 0 {
		n, err := p.step(rest)
		rest = rest[n:]
		p.pos += int64(n)
		if err != nil {
			p.err = err
			return len(data) - len(rest), err
		}
	}
	return len(data), nil
}

// Close says whether the archive is complete. It need not be called.
func (p *Parser) Close() error {
	if p.err == nil && (p.want != wantNothing || p.phase != inLength) {
		p.err = p.bad("it ends too early")
	}
	return p.err
}

func (p *Parser) bad(format string, args ...any) error {
	return &FormatError{Offset: p.pos, Path: string(p.path), Reason: fmt.Sprintf(format, args...)}
}

// step consumes some of data, which is not empty.
func (p *Parser) step(data []byte) (int, error) {
	switch p.phase {
	case inLength:
		return p.length(data)
	case inString:
		if len(p.text) == 0 && uint64(len(data)) >= p.left {
			n := int(p.left)
			return n, p.endString(data[:n])
		}
		n := int(min(p.left, uint64(len(data))))
		p.text = append(p.text, data[:n]...)
		if p.left -= uint64(n); p.left > 0 {
			return n, nil
		}
		err := p.endString(p.text)
		p.text = p.text[:0]
		return n, err
	case inContents:
		n := int(min(p.left, uint64(len(data))))
		p.left -= uint64(n)
		if p.left == 0 {
			p.afterContents()
		}
		if p.visit.Contents != nil {
			return n, p.visit.Contents(data[:n])
		}
		return n, nil
	default: // inPadding
		n := min(p.pad, len(data))
		for _, b := range data[:n] {
			if b != 0 {
				return 0, p.bad("padding that is not zero")
			}
		}
		if p.pad -= n; p.pad == 0 {
			p.phase = inLength
		}
		return n, nil
	}
}

func (p *Parser) length(data []byte) (int, error) {
	if p.want == wantNothing {
		return 0, p.bad("data after its end")
	}
	var size uint64
	n := 8 - len(p.head)
	if len(data) < n {
		p.head = append(p.head, data...)
		return len(data), nil
	}
	if n == 8 {
		size = binary.LittleEndian.Uint64(data)
	} else {
		p.head = append(p.head, data[:n]...)
		size = binary.LittleEndian.Uint64(p.head)
		p.head = p.head[:0]
	}
	p.left, p.pad = size, int(-size%8)
	if p.want == wantContents {
		return n, p.startContents(size, p.pos+int64(n))
	}
	if limit := p.limit(); size > limit {
		return 0, p.bad("a string of %d bytes, where at most %d can be", size, limit)
	}
	p.phase = inString
	if size == 0 {
		return n, p.endString(nil)
	}
	return n, nil
}

// limit is how long the expected string can be.
func (p *Parser) limit() uint64 {
	switch p.want {
	case wantName:
		return maxName
	case wantTarget:
		return maxTarget
	default:
		return uint64(len(magic)) // the longest of the fixed ones
	}
}

func (p *Parser) startContents(size uint64, offset int64) error {
	const largest = 1<<63 - 1
	if size > largest-uint64(offset)-8 {
		return p.bad("a file of %d bytes", size)
	}
	p.node.Size, p.node.Offset = int64(size), offset
	if size > 0 {
		p.phase = inContents
	} else {
		p.afterContents()
	}
	return p.enter()
}

func (p *Parser) afterContents() {
	p.want = wantNodeEnd
	p.padding()
}

func (p *Parser) padding() {
	p.phase = inLength
	if p.pad > 0 {
		p.phase = inPadding
	}
}

func (p *Parser) enter() error {
	if p.visit.Enter == nil {
		return nil
	}
	p.node.Path = string(p.path)
	return p.visit.Enter(p.node)
}

// endString is called with each whole string but contents.
func (p *Parser) endString(s []byte) error {
	p.padding()
	switch p.want {
	case wantMagic:
		return p.fixed(s, magic, wantOpen)
	case wantOpen:
		return p.fixed(s, "(", wantType)
	case wantType:
		return p.fixed(s, "type", wantKind)
	case wantKind:
		return p.kind(s)
	case wantExecutableOrContents:
		if string(s) == "executable" {
			p.node.Executable, p.want = true, wantExecutableValue
			return nil
		}
		return p.fixed(s, "contents", wantContents)
	case wantExecutableValue:
		return p.fixed(s, "", wantContentsTag)
	case wantContentsTag:
		return p.fixed(s, "contents", wantContents)
	case wantTargetTag:
		return p.fixed(s, "target", wantTarget)
	case wantTarget:
		return p.target(s)
	case wantNodeEnd:
		if err := p.fixed(s, ")", wantEntryEnd); err != nil {
			return err
		}
		p.endNode()
		return nil
	case wantEntryOrEnd:
		return p.entryOrEnd(s)
	case wantEntryOpen:
		return p.fixed(s, "(", wantNameTag)
	case wantNameTag:
		return p.fixed(s, "name", wantName)
	case wantName:
		return p.name(s)
	case wantNodeTag:
		return p.fixed(s, "node", wantOpen)
	default: // wantEntryEnd
		return p.fixed(s, ")", wantEntryOrEnd)
	}
}

func (p *Parser) fixed(s []byte, want string, next expected) error {
	if string(s) != want {
		return p.bad("%q where %q should be", s, want)
	}
	p.want = next
	return nil
}

func (p *Parser) kind(s []byte) error {
	switch string(s) {
	case "regular":
		p.node = Node{Kind: Regular}
		p.want = wantExecutableOrContents
		return nil
	case "symlink":
		p.node = Node{Kind: Symlink}
		p.want = wantTargetTag
		return nil
	case "directory":
		p.node = Node{Kind: Directory}
		p.stack = append(p.stack, len(p.path))
		p.first, p.want = true, wantEntryOrEnd
		return p.enter()
	default:
		return p.bad("a node of type %q", s)
	}
}

func (p *Parser) target(s []byte) error {
	if len(s) == 0 || bytes.IndexByte(s, 0) >= 0 {
		return p.bad("a symlink to %q", s)
	}
	p.node.Target, p.want = string(s), wantNodeEnd
	return p.enter()
}

func (p *Parser) entryOrEnd(s []byte) error {
	if string(s) == "entry" {
		p.want = wantEntryOpen
		return nil
	}
	if err := p.fixed(s, ")", wantEntryEnd); err != nil {
		return err
	}
	p.path = p.path[:p.stack[len(p.stack)-1]]
	p.stack = p.stack[:len(p.stack)-1]
	p.first = false
	p.endNode()
	if p.visit.Leave != nil {
		return p.visit.Leave()
	}
	return nil
}

func (p *Parser) endNode() {
	if len(p.stack) == 0 {
		p.want = wantNothing
		return
	}
	p.want = wantEntryEnd
}

// name takes an entry's name. p.path still ends in the name of the entry
// before it, if there was one.
func (p *Parser) name(s []byte) error {
	if reason := badName(s); reason != "" {
		return p.bad("the name %q: %s", s, reason)
	}
	dir := p.stack[len(p.stack)-1]
	if !p.first {
		before := p.path[dir:]
		if dir > 0 {
			before = before[1:]
		}
		if bytes.Compare(before, s) >= 0 {
			return p.bad("the name %q after %q: names must be sorted, each once", s, before)
		}
	}
	p.path = p.path[:dir]
	if dir > 0 {
		p.path = append(p.path, '/')
	}
	p.path = append(p.path, s...)
	if len(p.path) > maxPath {
		return p.bad("a path of %d bytes, where at most %d can be", len(p.path), maxPath)
	}
	p.first, p.want = false, wantNodeTag
	return nil
}

func badName(s []byte) string {
	switch {
	case len(s) == 0:
		return "it is empty"
	case string(s) == "." || string(s) == "..":
		return "it is not that of a file"
	case bytes.IndexByte(s, '/') >= 0:
		return "a slash in it"
	case bytes.IndexByte(s, 0) >= 0:
		return "a zero byte in it"
	}
	return ""
}
