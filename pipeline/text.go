package pipeline

import (
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// Bounds on what is kept of a program's output: enough to see what went wrong,
// little enough for a report of hundreds of hosts.
const (
	tailLines = 50
	lineRunes = 500
)

// tail keeps the last lines that were added to it, cleaned and cut.
type tail struct {
	lines []string
	next  int // where the oldest line is once the buffer is full
}

func (t *tail) add(text string) {
	for line := range strings.Lines(text) {
		line = cutTo(report.LogLine(line))
		if len(t.lines) < tailLines {
			t.lines = append(t.lines, line)
			continue
		}
		t.lines[t.next] = line
		t.next = (t.next + 1) % tailLines
	}
}

// all returns the lines, oldest first, without blank ones at either end.
func (t *tail) all() []string {
	lines := append(append([]string(nil), t.lines[t.next:]...), t.lines[:t.next]...)
	for len(lines) > 0 && lines[0] == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// oneLine folds a text into a single line that can be shown anywhere.
func oneLine(text string) string { return cutTo(report.Line(text)) }

// cutTo cuts a line to lineRunes and marks that it did.
func cutTo(line string) string {
	if len(line) <= lineRunes {
		return line
	}
	n := 0
	for i := range line {
		if n == lineRunes {
			return line[:i] + " [cut]"
		}
		n++
	}
	return line
}
