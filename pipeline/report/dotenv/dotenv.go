// Package dotenv renders what later jobs of a pipeline ask of a report as
// GitLab's dotenv artifact ("artifacts:reports:dotenv"): a NAME=VALUE to a line,
// without comments, empty lines and quotes, at most 5 KiB and 50 variables.
package dotenv

import (
	"fmt"
	"io"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// maxNames bounds, in bytes, the value that lists hosts: of a fleet of hundreds
// that all failed the file must still be one that GitLab takes.
const maxNames = 2048

// Write renders r, which must be valid. The variables are the same for every
// report, whatever its fleet; PANTHEROS_FAILED_HOSTS ends in "..." where it does
// not hold all names.
func Write(w io.Writer, r *report.Report) error {
	passed, changed := 0, 0
	var failed []string
	for _, h := range r.Hosts {
		switch h.Status {
		case report.Passed:
			passed++
		case report.Failed:
			failed = append(failed, word(h.Name))
		}
		if h.Changes != nil && !h.Changes.SameToplevel {
			changed++
		}
	}
	var sent report.Count
	if r.Push != nil {
		sent = r.Push.Sent
	}
	names := strings.Join(failed, " ")
	if len(names) > maxNames {
		names = names[:strings.LastIndexByte(names[:maxNames], ' ')] + " ..."
	}
	_, err := fmt.Fprintf(w, `PANTHEROS_STATUS=%s
PANTHEROS_INPUTS=%s
PANTHEROS_SECONDS=%.0f
PANTHEROS_HOSTS=%d
PANTHEROS_HOSTS_PASSED=%d
PANTHEROS_HOSTS_FAILED=%d
PANTHEROS_FAILED_HOSTS=%s
PANTHEROS_HOSTS_CHANGED=%d
PANTHEROS_SENT_PATHS=%d
PANTHEROS_SENT_BYTES=%d
`, word(string(r.Status)), word(r.Run.Inputs), r.Run.Seconds, len(r.Hosts), passed, len(failed), names, changed, sent.Paths, sent.FileBytes)
	if err != nil {
		return fmt.Errorf("write dotenv: %w", err)
	}
	return nil
}

// word is s without what would mean something to a shell that expands the
// variable. A report's texts may come from anywhere.
func word(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			return c
		}
		return '_'
	}, s)
}
