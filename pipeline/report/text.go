package report

import (
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on what one failure or check may put into a report.
const (
	maxLogLines  = 200
	maxLineRunes = 2000
)

// clean makes text from outside fit for one line: valid UTF-8 without escape
// sequences, control and formatting characters (which could reorder or hide
// what follows); white space becomes single spaces.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.ContainsAny(s, "\x1b\u009b") {
		s = withoutEscapes(s)
	}
	return strings.Join(strings.Fields(strings.Map(printable, s)), " ")
}

// cleanLine is clean for a line of a log: indentation stays, and of a line
// that a program wrote over (progress displays) the last state.
func cleanLine(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.TrimRight(s, "\r\n")
	s = s[strings.LastIndexByte(s, '\r')+1:]
	if strings.ContainsAny(s, "\x1b\u009b") {
		s = withoutEscapes(s)
	}
	s = strings.ReplaceAll(s, "\t", "    ")
	return cut(strings.TrimRight(strings.Map(printable, s), " "), maxLineRunes)
}

// cleanLog splits and cleans the lines of a log and keeps the last ones.
func cleanLog(lines []string) []string {
	lines = lines[max(0, len(lines)-maxLogLines):]
	var out []string
	for _, l := range lines {
		for part := range strings.SplitSeq(strings.TrimSuffix(l, "\n"), "\n") {
			out = append(out, cleanLine(part))
		}
	}
	return out[max(0, len(out)-maxLogLines):]
}

func printable(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.In(r, unicode.Cc, unicode.Cf):
		return -1
	default:
		return r
	}
}

// withoutEscapes removes terminal control sequences as ECMA-48 defines them.
// An unterminated sequence loses its introducer only, so that it cannot hide
// the text behind it.
func withoutEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		switch {
		case s[i] == 0x1b:
			i += escapeLen(s[i:])
		case strings.HasPrefix(s[i:], "\u009b"):
			i += len("\u009b") + sequenceLen(s[i+len("\u009b"):], 0x40)
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	return b.String()
}

// escapeLen is the length of the escape sequence that s starts with.
func escapeLen(s string) int {
	if len(s) < 2 {
		return 1
	}
	switch s[1] {
	case '[':
		return 2 + sequenceLen(s[2:], 0x40)
	case ']', 'P', 'X', '^', '_': // a string, up to BEL or ESC \
		for i := 2; i < len(s); i++ {
			switch {
			case s[i] == '\a':
				return i + 1
			case s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\':
				return i + 2
			case s[i] == '\n' || s[i] == '\r':
				return 2
			}
		}
		return 2
	default:
		return 1 + sequenceLen(s[1:], 0x30)
	}
}

// sequenceLen is the length of a run of bytes from 0x20 that ends in one
// between final and 0x7e; zero where s starts with no such run.
func sequenceLen(s string, final byte) int {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case final <= c && c <= 0x7e:
			return i + 1
		case c < 0x20 || c > 0x7e:
			return 0
		}
	}
	return 0
}

// cut shortens s to at most n runes, the last three being dots if it was
// longer.
func cut(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	runes := 0
	for i := range s {
		if runes == n-3 {
			return s[:i] + "..."
		}
		runes++
	}
	return s
}

// code renders text from outside as an inline code span, the one place in
// Markdown where nothing is markup, reference, mention or link.
func code(s string, maxRunes int) string {
	s = cut(clean(s), maxRunes)
	if s == "" {
		return ""
	}
	fence := strings.Repeat("`", longestRun(s, '`')+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

// codeCell is code for a table cell. There a bar ends the cell even in a code
// span, and parsers differ about a backslash before it, so a text with a bar
// becomes an HTML element with every mark spelled as a character reference.
func codeCell(s string, maxRunes int) string {
	s = cut(clean(s), maxRunes)
	if !strings.Contains(s, "|") {
		return code(s, maxRunes)
	}
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf && r != ' ' && !isLetter(byte(r)) && !isDigit(byte(r)) {
			b.WriteString("&#" + strconv.Itoa(int(r)) + ";")
		} else {
			b.WriteRune(r)
		}
	}
	return "<code>" + b.String() + "</code>"
}

// codeHTML is code for the inside of an HTML block.
func codeHTML(s string, maxRunes int) string {
	return "<code>" + html.EscapeString(cut(clean(s), maxRunes)) + "</code>"
}

// fenced renders lines as a code block whose fence none of them can end. A
// line that starts with a slash is moved by one space: GitLab looks for quick
// actions such as /close at the starts of lines.
func fenced(lines []string) string {
	lines = cleanLog(lines)
	longest := 2
	for _, l := range lines {
		longest = max(longest, longestRun(l, '`'))
	}
	fence := strings.Repeat("`", longest+1)
	var b strings.Builder
	b.WriteString(fence + "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "/") {
			b.WriteByte(' ')
		}
		b.WriteString(l + "\n")
	}
	b.WriteString(fence + "\n")
	return b.String()
}

func longestRun(s string, c byte) int {
	longest, run := 0, 0
	for i := 0; i < len(s); i++ {
		if s[i] == c {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	return longest
}

// wrap breaks text at spaces into lines of at most width runes, every line
// after the first indented, and cuts it after maxLines.
func wrap(s string, width int, indent string, maxLines int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = indent + word
		}
		for utf8.RuneCountInString(line) > width {
			head := string([]rune(line)[:width])
			lines = append(lines, head)
			line = indent + line[len(head):]
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	if len(lines) > maxLines {
		lines = lines[:maxLines]
		last := []rune(lines[maxLines-1])
		lines[maxLines-1] = string(last[:min(len(last), width-3)]) + "..."
	}
	return lines
}
