package report

// Line makes text from outside fit for one line of a terminal or a report:
// valid UTF-8 without escape sequences, control or formatting characters, white
// space as single spaces.
func Line(s string) string { return clean(s) }

// LogLine is Line for a line of a log: indentation stays, and of a line that a
// program wrote over (progress displays) the last state.
func LogLine(s string) string { return cleanLine(s) }
