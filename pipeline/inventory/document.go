package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A document is hosts.toml as a tree in which everything has a position.
// Keys that are given twice stay two entries, so that validation can look at
// both and say where the first one is; go-toml's decoder would stop there.
type document struct {
	data  []byte
	lines []int // offsets at which lines start
	root  *table
	// newer is where the file first uses TOML 1.1, which go-toml reads and
	// Nix does not.
	newer *Problem
}

type position struct{ line, column int }

type kind int

const (
	kindOther kind = iota
	kindString
	kindList
	kindTable
)

type value struct {
	kind  kind
	noun  string // what the file has there, with its article: "an integer"
	pos   position
	str   string
	list  []value
	table *table
}

type entry struct {
	key string
	pos position
	value
}

type table struct {
	entries []*entry
	last    map[string]*entry // the latest entry of each key
	header  bool              // a [header] of its own has been seen
	inline  bool              // written {…}: nothing can be added to it
}

func newTable() *table {
	return &table{last: make(map[string]*entry)}
}

func (t *table) add(e *entry) *entry {
	t.entries = append(t.entries, e)
	t.last[e.key] = e
	return e
}

// open returns the table under a key, which it adds where there is none that
// could be extended.
func (t *table) open(key string, pos position) *table {
	if e := t.last[key]; e != nil && e.table != nil && !e.table.inline {
		return e.table
	}
	sub := newTable()
	t.add(&entry{key: key, pos: pos, value: value{kind: kindTable, noun: "a table", pos: pos, table: sub}})
	return sub
}

// parse reads TOML. Its error is a single Problem without a file name; what
// TOML forbids beyond its grammar is left to recheck.
func parse(data []byte) (*document, *Problem) {
	// The parser finds positions by the capacity of slices.
	data = slices.Clip(data)
	d := &document{data: data, lines: []int{0}, root: newTable()}
	for i, c := range data {
		if c == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, &Problem{Line: 1, Column: 1, Message: "starts with a byte order mark",
			Hint: "save it as UTF-8 without one; Nix cannot read it otherwise"}
	}
	if !utf8.Valid(data) {
		offset := 0
		for {
			r, size := utf8.DecodeRune(data[offset:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			offset += size
		}
		pos := d.position(offset)
		return nil, &Problem{Line: pos.line, Column: pos.column, Message: "not UTF-8 text", Hint: "save it as UTF-8"}
	}

	var p unstable.Parser
	p.Reset(data)
	current := d.root
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			current = d.header(e)
		case unstable.KeyValue:
			d.keyValue(current, e)
		}
	}
	if p.Error() != nil {
		// The decoder stops at the same error, and knows its position.
		if problem := d.recheck(); problem != nil {
			return nil, problem
		}
		return nil, &Problem{Line: 1, Column: 1, Message: fmt.Sprintf("not valid TOML: %v", p.Error())}
	}
	return d, nil
}

// recheck returns what go-toml's decoder has against the document.
func (d *document) recheck() *Problem {
	var sink map[string]any
	err := toml.Unmarshal(d.data, &sink)
	if err == nil {
		return nil
	}
	problem := &Problem{Line: 1, Column: 1, Message: fmt.Sprintf("not valid TOML: %v", err)}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		problem.Line, problem.Column = decode.Position()
		if problem.Line <= len(d.lines) {
			start := d.lines[problem.Line-1]
			problem.Column = d.position(min(start+problem.Column-1, len(d.data))).column
		}
		problem.Message = "not valid TOML: " + decode.Error()[len("toml: "):]
	}
	return problem
}

func (d *document) header(e *unstable.Node) *table {
	t := d.root
	keys := e.Key()
	for keys.Next() {
		n := keys.Node()
		d.checkEscapes(n)
		key, pos := string(n.Data), d.position(int(n.Raw.Offset))
		if !keys.IsLast() {
			t = t.open(key, pos)
			continue
		}
		noun := "a table"
		have := t.last[key]
		extend := have != nil && have.kind == kindTable && !have.table.header && !have.table.inline
		if e.Kind == unstable.ArrayTable {
			noun = "a list of tables"
			extend = have != nil && have.noun == noun
		}
		if !extend {
			have = t.add(&entry{key: key, pos: pos, value: value{kind: kindTable, table: newTable()}})
		}
		if e.Kind == unstable.Table {
			// Where it was only implied so far, this is its place.
			have.pos = pos
		} else {
			have.kind = kindOther
		}
		have.value.pos, have.noun = have.pos, noun
		have.table.header = true
		t = have.table
	}
	return t
}

func (d *document) keyValue(t *table, e *unstable.Node) {
	if e.Value().Kind == unstable.InlineTable {
		d.checkInline(e)
	}
	keys := e.Key()
	for keys.Next() {
		n := keys.Node()
		d.checkEscapes(n)
		key, pos := string(n.Data), d.position(int(n.Raw.Offset))
		if keys.IsLast() {
			t.add(&entry{key: key, pos: pos, value: d.value(e.Value(), pos)})
		} else {
			t = t.open(key, pos)
		}
	}
}

// value converts a value; pos is used where the parser keeps no position.
func (d *document) value(n *unstable.Node, pos position) value {
	if n.Raw.Length > 0 {
		pos = d.position(int(n.Raw.Offset))
	}
	v := value{pos: pos}
	switch n.Kind {
	case unstable.String:
		v.kind, v.noun, v.str = kindString, "a string", string(n.Data)
		d.checkEscapes(n)
	case unstable.Array:
		v.kind, v.noun = kindList, "a list"
		for it := n.Children(); it.Next(); {
			v.list = append(v.list, d.value(it.Node(), pos))
		}
	case unstable.InlineTable:
		v.kind, v.noun, v.table = kindTable, "a table", newTable()
		for it := n.Children(); it.Next(); {
			d.keyValue(v.table, it.Node())
		}
		v.table.inline = true
	case unstable.Bool:
		v.noun = "a boolean"
	case unstable.Integer:
		v.noun = "an integer"
	case unstable.Float:
		v.noun = "a float"
	default:
		v.noun = "a date or time"
	}
	return v
}

// checkEscapes looks for the escapes \e and \xHH, which are TOML 1.1.
func (d *document) checkEscapes(n *unstable.Node) {
	raw := d.data[n.Raw.Offset : n.Raw.Offset+n.Raw.Length]
	if len(raw) == 0 || raw[0] != '"' {
		return
	}
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; raw[i] == 'e' || raw[i] == 'x' {
			d.newerTOML(int(n.Raw.Offset)+i-1, fmt.Sprintf("the escape \\%c", raw[i]), "write \\u and four hexadecimal digits")
			return
		}
	}
}

// checkInline looks for line ends and a trailing comma in an inline table,
// which are TOML 1.1 unless they are inside a value.
func (d *document) checkInline(e *unstable.Node) {
	const blank = " \t"
	const hint = "write it on one line without a comma at its end, or as a table with a [header]"
	end := int(e.Raw.Offset + e.Raw.Length)
	first := true
	for it := e.Value().Children(); it.Next(); first = false {
		child := it.Node().Raw
		before := bytes.TrimRight(d.data[e.Raw.Offset:child.Offset], blank)
		after := bytes.TrimLeft(d.data[child.Offset+child.Length:end], blank)
		opened := before[len(before)-1] == '{' || !first && before[len(before)-1] == ','
		closed := after[0] == '}' || !it.IsLast() && after[0] == ','
		if !opened || !closed {
			d.newerTOML(int(child.Offset), "an inline table over several lines or with a comma at its end", hint)
			return
		}
	}
	if first && bytes.IndexByte(d.data[e.Raw.Offset:end], '\n') >= 0 {
		d.newerTOML(int(e.Raw.Offset), "an inline table over several lines", hint)
	}
}

func (d *document) newerTOML(offset int, what, hint string) {
	if d.newer != nil {
		return
	}
	pos := d.position(offset)
	d.newer = &Problem{Line: pos.line, Column: pos.column,
		Message: what + " is TOML 1.1, which Nix cannot read", Hint: hint}
}

func (d *document) position(offset int) position {
	line := sort.SearchInts(d.lines, offset+1)
	start := d.lines[line-1]
	return position{line: line, column: utf8.RuneCount(d.data[start:offset]) + 1}
}
