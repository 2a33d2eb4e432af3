// Package page renders a report as one HTML file that stands by itself: styles
// and charts are inside, nothing is fetched and nothing is scripted, so that it
// works from a mail, a web server or a disk.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

//go:embed style.css
var style string

//go:embed report.html
var reportHTML string

//go:embed parts.html
var partsHTML string

var reportPage = parse("report.html", reportHTML)

func parse(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{
		"duration": duration,
		"size":     size,
		"growth":   growth,
		"plural":   report.Plural,
		"number":   number,
		"pct":      pct,
		"instant":  instant,
		"day":      day,
		"minute":   minute,
		"rest":     func(share float64) string { return pct(1 - share) },
		"base":     base,
		"list":     list,
	}).Parse(partsHTML + text))
}

// sheet is what every page has in its head.
type sheet struct {
	CSS    template.CSS
	Policy string // what the browser may load: this page's own styles, nothing else
}

func newSheet() sheet {
	css := squeeze([]byte(style)) // as it will be in the page
	sum := sha256.Sum256(css)
	return sheet{
		CSS:    template.CSS(css), //nolint:gosec // ours, embedded
		Policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; base-uri 'none'; form-action 'none'",
	}
}

// Write renders r, which must be valid, as an HTML page. Text from outside
// cannot leave its place in it.
func Write(w io.Writer, r *report.Report) error {
	return execute(w, "page", reportPage, newView(r))
}

// execute writes what a template makes of data, all of it or, if the template
// fails, nothing.
func execute(w io.Writer, what string, t *template.Template, data any) error {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return fmt.Errorf("write %s: %v", what, err)
	}
	if _, err := w.Write(squeeze(b.Bytes())); err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	return nil
}

// squeeze drops the indentation and the blank lines that templates leave
// behind, outside of <pre>.
func squeeze(page []byte) []byte {
	out := make([]byte, 0, len(page))
	pre := false
	for line := range bytes.Lines(page) {
		if !pre {
			line = bytes.TrimLeft(line, " \t")
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
		}
		out = append(out, line...)
		if open, end := bytes.LastIndex(line, []byte("<pre")), bytes.LastIndex(line, []byte("</pre>")); open != end {
			pre = open > end
		}
	}
	return out
}

// base is the last element of a store path, without the hash.
func base(path string) string {
	path = path[strings.LastIndexByte(path, '/')+1:]
	const hash = 32
	if len(path) > hash+1 && path[hash] == '-' {
		path = path[hash+1:]
	}
	return strings.TrimSuffix(path, ".drv")
}

// list is "a, b and c", or the first of very many.
func list(names []string) string {
	const most = 12
	rest := ""
	if len(names) > most {
		rest = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	} else if len(names) > 1 {
		rest = " and " + names[len(names)-1]
		names = names[:len(names)-1]
	}
	return strings.Join(names, ", ") + rest
}
