package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Names of the files that WriteFiles writes.
const (
	JSONFile     = "report.json"
	MarkdownFile = "report.md"
)

// Bounds on what is read: of bytes, and of objects and nulls in them, each of
// which can take a hundred times its size in memory once decoded.
const (
	maxInput   = 256 * mebibyte
	maxObjects = 2_000_000
)

// Read reads a report.json of schema "pantheros.report/1" and validates it.
// Unknown fields are ignored. It fails on more than 256 MiB, on anything
// after the report, and on other schemas.
func Read(r io.Reader) (*Report, error) {
	data, err := readAll(r, maxInput)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	rep := new(Report)
	if err := decode(data, Schema, rep); err != nil {
		return nil, fmt.Errorf("read report: %v", err)
	}
	if err := rep.Validate(); err != nil {
		return nil, fmt.Errorf("read report: not valid: %v", err)
	}
	rep.fillEmpty()
	return rep, nil
}

// ReadFile reads the report at path, see Read. The error wraps
// fs.ErrNotExist where there is none.
func ReadFile(path string) (*Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	defer f.Close()
	r, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// ReadPush reads and validates what `pcache push --json` printed, schema
// "pantheros.push/1", under the same rules as Read.
func ReadPush(data []byte) (*Push, error) {
	p := new(Push)
	if err := decode(data, PushSchema, p); err != nil {
		return nil, fmt.Errorf("read push result: %v", err)
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("read push result: not valid: %v", err)
	}
	p.fillEmpty()
	return p, nil
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %s", mib(limit))
	}
	return data, err
}

func decode(data []byte, schema string, into any) error {
	if len(data) > maxInput {
		return fmt.Errorf("more than %s", mib(maxInput))
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("it is empty")
	}
	if n := countObjects(data); n > maxObjects {
		return fmt.Errorf("%d objects, more than the %d that are read", n, maxObjects)
	}
	// Another schema's fields may have other types, so the name comes first.
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("not the expected JSON: %v", err)
	}
	switch head.Schema {
	case schema:
	case "":
		return fmt.Errorf("no schema named, expected %q", schema)
	default:
		return fmt.Errorf("schema is %q, but only %q is understood: make it again, or use the version of this program that fits it",
			cut(clean(head.Schema), 40), schema)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("not the expected JSON: %v", err)
	}
	return nil
}

// countObjects counts the objects and nulls in a JSON text.
func countObjects(data []byte) int {
	n, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == '{' || c == 'n'):
			n++
		}
	}
	return n
}

// Write writes r as indented JSON with its fields in the order of their
// declaration. Equal reports give equal bytes.
func (r *Report) Write(w io.Writer) error {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("write report: not valid: %v", err)
	}
	full := *r
	full.Hosts = append([]Host(nil), r.Hosts...)
	if r.Push != nil {
		push := *r.Push
		push.Roots, push.Paths = append([]PushRoot(nil), push.Roots...), append([]PushPath(nil), push.Paths...)
		full.Push = &push
	}
	full.fillEmpty()
	var compact bytes.Buffer
	enc := json.NewEncoder(&compact)
	enc.SetEscapeHTML(false) // for the eyes of people; pages that embed it escape it themselves
	if err := enc.Encode(&full); err != nil {
		return fmt.Errorf("write report: %v", err)
	}
	_, err := w.Write(indent(compact.Bytes()))
	return err // it says what w is
}

// WriteFiles writes report.json and report.md into dir, see WriteAll.
func (r *Report) WriteFiles(dir string) error {
	return WriteAll(dir, File{JSONFile, r.Write}, File{MarkdownFile, func(w io.Writer) error { return Markdown(w, r) }})
}

// File is a file to be written, and what writes its content.
type File struct {
	Name  string
	Write func(io.Writer) error
}

// WriteAll writes files into dir, making it if need be. All are complete on
// disk before the first gets its name, so that a reader never sees half a
// file; those that were there before are replaced.
func WriteAll(dir string, list ...File) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	type file struct {
		name  string
		write func(io.Writer) error
		temp  string
	}
	var files []file
	for _, f := range list {
		files = append(files, file{name: f.Name, write: f.Write})
	}
	defer func() {
		for _, f := range files {
			if f.temp != "" {
				os.Remove(f.temp)
			}
		}
	}()
	for i := range files {
		temp, err := writeTemp(dir, files[i].name, files[i].write)
		files[i].temp = temp
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	for i := range files {
		if err := os.Rename(files[i].temp, filepath.Join(dir, files[i].name)); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		files[i].temp = ""
	}
	return nil
}

// writeTemp writes a temporary file beside name and returns its path, also
// where it failed half way.
func writeTemp(dir, name string, write func(io.Writer) error) (string, error) {
	f, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return "", err
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644) // CreateTemp's 0600 would hide it from a web server
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return f.Name(), err
}

// fillEmpty replaces the nil of lists and maps that the schema always has, so
// that they are [] and {} rather than null.
func (r *Report) fillEmpty() {
	r.Checks = orEmpty(r.Checks)
	r.Hosts = orEmpty(r.Hosts)
	r.Paths = orEmpty(r.Paths)
	for i := range r.Hosts {
		h := &r.Hosts[i]
		h.Steps = orEmpty(h.Steps)
		if h.Closure != nil && h.Closure.Members == nil {
			c := *h.Closure
			c.Members = []int{}
			h.Closure = &c
		}
	}
	if r.Push != nil {
		r.Push.fillEmpty()
	}
}

func (p *Push) fillEmpty() {
	p.Roots = orEmpty(p.Roots)
	p.Paths = orEmpty(p.Paths)
	for i := range p.Paths {
		p.Paths[i].Roots = orEmpty(p.Paths[i].Roots)
	}
	if p.Skipped == nil {
		p.Skipped = map[string]Count{}
	}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// indent spreads compact JSON over lines, two spaces a level, but keeps lists
// of numbers on one line: closures are long lists of indexes.
func indent(data []byte) []byte {
	out := make([]byte, 0, len(data)*3/2)
	depth := 0
	newline := func() {
		out = append(out, '\n')
		for range depth {
			out = append(out, "  "...)
		}
	}
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '"':
			end := i + 1
			for ; data[end] != '"'; end++ {
				if data[end] == '\\' {
					end++
				}
			}
			out = append(out, data[i:end+1]...)
			i = end
		case '{', '[':
			if c == '[' && (data[i+1] == '-' || isDigit(data[i+1])) || data[i+1] == c+2 {
				end := i + bytes.IndexByte(data[i:], c+2)
				out = append(out, data[i:end+1]...)
				i = end
				continue
			}
			out = append(out, c)
			depth++
			newline()
		case '}', ']':
			depth--
			newline()
			out = append(out, c)
		case ',':
			out = append(out, c)
			newline()
		case ':':
			out = append(out, ": "...)
		default:
			out = append(out, c)
		}
	}
	return out
}
