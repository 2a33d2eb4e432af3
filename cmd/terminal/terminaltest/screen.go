// Package terminaltest runs programs on a terminal of its own, and shows what a
// person would see there.
package terminaltest

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// Screen is a terminal of which only what package terminal uses is understood:
// text, new lines, carriage returns, cursor up, clearing, colours. What scrolls
// off the top is kept, and out of the cursor's reach.
type Screen struct {
	mu            sync.Mutex
	columns, rows int
	lines         [][]rune
	wrapped       []bool // the line goes on the one before it
	row, col      int
	rest          string // of a sequence that is not complete
	unknown       []string
}

// NewScreen returns an empty screen.
func NewScreen(columns, rows int) *Screen {
	return &Screen{columns: columns, rows: rows, lines: [][]rune{nil}, wrapped: []bool{false}}
}

var (
	control = regexp.MustCompile(`^\x1b\[([\d;?]*)([A-Za-z])`)
	begun   = regexp.MustCompile(`^\x1b(\[[\d;?]*)?$`)
)

// Write shows text; it never fails.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.rest + string(p)
	s.rest = ""
	for text != "" {
		if m := control.FindStringSubmatch(text); m != nil {
			text = text[len(m[0]):]
			s.control(m[1], m[2])
			continue
		}
		if begun.MatchString(text) || !utf8.FullRuneInString(text) {
			s.rest = text
			break
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		s.put(r)
	}
	return len(p), nil
}

func (s *Screen) control(arg, kind string) {
	switch {
	case kind == "A":
		n := 1
		_, _ = fmt.Sscan(arg, &n)
		s.row = max(s.row-n, len(s.lines)-s.rows, 0)
	case kind == "J" && arg == "":
		s.lines, s.wrapped = s.lines[:s.row+1], s.wrapped[:s.row+1]
		s.lines[s.row] = s.cut(s.col)
	case kind == "K" && arg == "":
		s.lines[s.row] = s.cut(s.col)
	case kind == "m":
	default:
		s.unknown = append(s.unknown, arg+kind)
	}
}

// cut is the line of the cursor as far as column n.
func (s *Screen) cut(n int) []rune {
	line := s.lines[s.row]
	return line[:min(n, len(line))]
}

func (s *Screen) put(r rune) {
	switch r {
	case '\n': // as the terminal driver makes it
		s.down(false)
	case '\r':
		s.col = 0
	default:
		if s.col == s.columns {
			s.down(true)
		}
		line := s.lines[s.row]
		for len(line) <= s.col {
			line = append(line, ' ')
		}
		line[s.col] = r
		s.lines[s.row] = line
		s.col++
	}
}

func (s *Screen) down(wrapped bool) {
	s.row, s.col = s.row+1, 0
	if s.row == len(s.lines) {
		s.lines, s.wrapped = append(s.lines, nil), append(s.wrapped, wrapped)
	}
}

// resize makes the screen larger or smaller, and wraps its lines anew, as most
// terminals do.
func (s *Screen) resize(columns, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, wrapped, row, col := s.lines, s.wrapped, s.row, s.col
	s.columns, s.rows = columns, rows
	s.lines, s.wrapped = nil, nil
	for i := 0; i < len(old); {
		line, cursor := old[i], -1
		if i == row {
			cursor = col
		}
		for i++; i < len(old) && wrapped[i]; i++ {
			if i == row {
				cursor = len(line) + col
			}
			line = append(line[:len(line):len(line)], old[i]...)
		}
		first := len(s.lines)
		for rest := line; ; rest = rest[columns:] {
			s.lines, s.wrapped = append(s.lines, rest[:min(columns, len(rest))]), append(s.wrapped, len(s.lines) > first)
			if len(rest) <= columns {
				break
			}
		}
		if cursor >= 0 {
			s.row, s.col = min(first+cursor/columns, len(s.lines)-1), cursor%columns
		}
	}
}

// Text is all that is on the screen and above it, without blanks at the ends of
// lines and blank lines at the end.
func (s *Screen) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, line := range s.lines {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// Cursor is the column of the cursor, and whether it is on the last line.
func (s *Screen) Cursor() (column int, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.col, s.row == len(s.lines)-1
}

// Unknown lists the control sequences that were not understood.
func (s *Screen) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unknown
}
