package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"gitlab.com/pantheros/pantheros/cmd/terminal"
	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

const (
	repaintEvery = 200 * time.Millisecond
	// wide is the width from which on lines have columns.
	wide = 64
)

// live shows a run in a region at the bottom of a terminal: a line for the run,
// one for what the fleet as a whole is at, then one for each host. What is worth
// keeping goes above it and scrolls away.
type live struct {
	region *terminal.Region
	fleet  string
	last   string // the step that a host is done with
	color  bool
	now    func() time.Time
	past   past
	stop   func()

	mu    sync.Mutex
	began time.Time
	step  liveLine // of the fleet
	hosts []string
	state map[string]*liveLine
}

// liveLine is what one line tells.
type liveLine struct {
	step     string
	status   report.Status // empty while the step is under way
	began    time.Time
	took     float64
	detail   string
	event    pipeline.Event // the last one that told of progress
	building map[string]time.Time
	meter    terminal.Meter // of what is done of a transfer
	sent     terminal.Meter // of what the link took of it
	bad      bool           // something failed, even if a later step did not
}

func newLive(region *terminal.Region, fleet string, hosts []string, last string, earlier past, color bool) *live {
	l := &live{
		region: region, fleet: fleet, last: last, color: color, now: time.Now, past: earlier, stop: func() {},
		hosts: hosts, state: map[string]*liveLine{},
	}
	for _, h := range hosts {
		l.state[h] = &liveLine{}
	}
	return l
}

// start repaints at intervals until close.
func (l *live) start() { l.stop = l.region.Keep(repaintEvery, l.lines) }

func (l *live) close() {
	l.stop()
	l.region.Close()
}

func (l *live) note(text string) { l.region.Above(text + "\n") }

func (l *live) event(e pipeline.Event) {
	if text := l.take(e); text != "" {
		l.region.Above(text)
	}
}

// take remembers what happened, and returns what of it is to stay on the screen.
func (l *live) take(e pipeline.Event) (above string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.began.IsZero() {
		l.began = now
	}
	line := &l.step
	if e.Host != "" {
		if line = l.state[e.Host]; line == nil {
			return ""
		}
	}
	switch e.Kind {
	case pipeline.StepStarted:
		*line = liveLine{step: e.Step, began: now, detail: e.Detail, bad: line.bad && e.Host != ""}
	case pipeline.StepProgress:
		line.progress(e, now)
	case pipeline.StepFinished:
		line.status, line.took, line.detail, line.event = e.Status, e.Seconds, e.Detail, pipeline.Event{}
		if e.Status != report.Passed {
			line.bad = true
		}
		if e.Host == "" {
			l.step = liveLine{}
		}
		if e.Host == "" || e.Status != report.Passed {
			return plainLine(e)
		}
	case pipeline.Note:
		line.bad = line.bad || e.Status == report.Failed
		return plainLine(e)
	}
	return ""
}

// progress takes how far a step is.
func (s *liveLine) progress(e pipeline.Event, now time.Time) {
	s.event, s.detail = e, e.Detail
	if e.Unit == "bytes" {
		s.meter.Add(now, e.Done)
		if e.Sent >= 0 {
			s.sent.Add(now, e.Sent)
		}
	} else {
		s.meter.Add(now, e.Fetched)
	}
	since := make(map[string]time.Time, len(e.Building))
	for _, name := range e.Building {
		since[name] = now
		if began, ok := s.building[name]; ok {
			since[name] = began
		}
	}
	s.building = since
}

// lines is the text of the region, with room for what is above it on a small
// screen.
func (l *live) lines(columns, rows int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	columns-- // the last one would wrap on some terminals
	out := l.summary(columns)
	name := 0
	for _, h := range l.hosts {
		name = max(name, utf8.RuneCountInString(h))
	}
	name = min(name, columns/3)
	if columns < wide {
		name = min(name, columns/4)
	}
	if l.step.step != "" {
		out = append(out, l.line("", &l.step, 0, columns))
	}
	room := max(1, rows-4-len(out))
	if len(l.hosts) <= room {
		for _, h := range l.hosts {
			out = append(out, l.line(h, l.state[h], name, columns))
		}
		return out
	}
	// More hosts than lines: those under way, the others in the first line.
	more := 0
	for _, h := range l.hosts {
		if s := l.state[h]; s.step != "" && s.status == "" {
			if room > 1 {
				out = append(out, l.line(h, s, name, columns))
				room--
			} else {
				more++
			}
		}
	}
	if more > 0 {
		out = append(out, terminal.Cut(fmt.Sprintf("and %d more hosts under way", more), columns))
	}
	return out
}

// summary is the line of the run as a whole.
func (l *live) summary(columns int) []string {
	if l.began.IsZero() {
		return nil
	}
	done, bad, waiting := 0, 0, 0
	for _, h := range l.hosts {
		switch s := l.state[h]; {
		case s.bad:
			bad++
		case s.step == "":
			waiting++
		case s.status != "" && s.step == l.last:
			done++
		}
	}
	words := []string{l.fleet, wholeSeconds(l.now().Sub(l.began)), fmt.Sprintf("%d of %d %s", done, len(l.hosts), under[l.last][1])}
	if bad > 0 {
		words = append(words, fmt.Sprintf("%d failed", bad))
	}
	if waiting > 0 && waiting < len(l.hosts) {
		words = append(words, fmt.Sprintf("%d waiting", waiting))
	}
	if l.past.run > 0 {
		words = append(words, "the last run took "+seconds(l.past.run))
	}
	return []string{l.paint("1", l.fleet, fit(words, columns))}
}

// fit joins those of the first words that fit.
func fit(words []string, columns int) string {
	text := ""
	for i, w := range words {
		if i > 0 {
			w = "  " + w
		}
		if i > 0 && utf8.RuneCountInString(text+w) > columns {
			break
		}
		text += w
	}
	return terminal.Cut(text, columns)
}

// under is what a host is at, while it is and afterwards.
var under = map[string][2]string{
	report.StepEvaluate: {"evaluating", "evaluated"},
	report.StepBuild:    {"building", "built"},
	report.StepPush:     {"pushing", "pushed"},
}

func (l *live) line(host string, s *liveLine, name, columns int) string {
	word, color := "waiting", "2"
	elapsed := ""
	now := l.now()
	switch {
	case s.step == "":
	case s.status == "":
		word, color = s.step, "36"
		if w, ok := under[s.step]; ok {
			word = w[0]
		}
		if s.fetches() {
			word = "fetching"
		}
		elapsed = wholeSeconds(now.Sub(s.began))
		if columns < wide {
			elapsed = clock(now.Sub(s.began))
		}
	case s.bad:
		word, color = "failed", "31"
		elapsed = seconds(s.took)
	default:
		word, color = s.step, "32"
		if w, ok := under[s.step]; ok {
			word = w[1]
		}
		elapsed = seconds(s.took)
	}
	format := "%-11s %11s  "
	if columns < wide {
		format = "%s %s "
	}
	text := fmt.Sprintf(format, word, elapsed)
	if name > 0 {
		text = fmt.Sprintf("%-*s  %s", name, terminal.Cut(host, name), text)
	}
	text += s.figures(columns-utf8.RuneCountInString(text), l.past.left(host, s, now), now)
	text = terminal.Cut(strings.TrimRight(text, " "), columns)
	return l.paint(color, word, text)
}

// paint colours the first occurrence of a word that the line begins with, or
// has after a host's name.
func (l *live) paint(color, word, text string) string {
	i := strings.Index(text, word)
	if !l.color || i < 0 {
		return text
	}
	return text[:i] + "\x1b[" + color + "m" + word + "\x1b[0m" + text[i+len(word):]
}

// figures is how far a step is and what it is at, in at most columns: first the
// numbers, then names, as many as there is room for.
func (s *liveLine) figures(columns int, left string, now time.Time) string {
	e := &s.event
	if s.status != "" || e.Kind == "" {
		if left != "" {
			return terminal.Cut(left, columns)
		}
		return s.detail
	}
	var words []string
	add := func(w string) {
		if w != "" {
			words = append(words, w)
		}
	}
	rate, moving := s.meter.Rate(now)
	switch {
	case e.Unit == "bytes" && e.Total > 0:
		add(terminal.Of(e.Done, e.Total))
		if e.Sent >= 0 { // much may be read that is still on its way
			add(terminal.Bytes(e.Sent) + " sent")
			rate, moving = s.sent.Rate(now)
		}
		if moving {
			add(terminal.PerSecond(rate))
		}
		add(left)
		add(e.Detail)
		return fit(words, columns)
	case e.Total > 0:
		add(fmt.Sprintf("%d/%d", e.Done, e.Total))
	}
	if e.Fetching > 0 {
		got := terminal.Bytes(e.Fetched)
		if e.FetchTotal > e.Fetched {
			got = terminal.Of(e.Fetched, e.FetchTotal)
		}
		if !s.fetches() {
			got = "fetching " + got
		}
		add(got)
		if moving {
			add(terminal.PerSecond(rate))
		}
	}
	add(left)
	if len(e.Building) == 0 {
		add(e.Detail)
	}
	text := fit(words, columns)
	return text + names(e.Building, columns-utf8.RuneCountInString(text), text != "")
}

// fetches reports whether a build only fetches at present.
func (s *liveLine) fetches() bool { return s.event.Fetching > 0 && len(s.event.Building) == 0 }

// names lists as many names as fit, and how many more there are.
func names(list []string, columns int, apart bool) string {
	text := ""
	for i, n := range list {
		sep := " "
		if i == 0 {
			sep = ""
			if apart {
				sep = "  "
			}
		}
		rest := ""
		if more := len(list) - i - 1; more > 0 {
			rest = fmt.Sprintf(" +%d", more)
		}
		if utf8.RuneCountInString(text+sep+n+rest) > columns {
			if i == 0 { // better a part than none
				return terminal.Cut(sep+n, columns)
			}
			return text + fmt.Sprintf(" +%d", len(list)-i)
		}
		text += sep + n
	}
	return text
}

// clock is a duration in little room: "1:05".
func clock(d time.Duration) string {
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
