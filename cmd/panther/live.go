package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

const (
	repaintEvery = 200 * time.Millisecond
	maxColumns   = 80
)

// live keeps a region at the bottom of a terminal up to date: a line for what
// the fleet as a whole is at, then one for each host. What is worth keeping
// goes above it and scrolls away.
type live struct {
	w     io.Writer
	size  func() (columns, rows int)
	color bool
	now   func() time.Time

	mu      sync.Mutex
	fleet   liveLine
	hosts   []string
	state   map[string]*liveLine
	painted int      // lines of the region that are on the screen
	shown   []string // as they are
	stop    chan struct{}
	stopped sync.WaitGroup
}

// liveLine is what one line tells.
type liveLine struct {
	step        string
	status      report.Status // empty while the step is under way
	began       time.Time
	took        float64
	detail      string
	done, total int64
	unit        string
	bad         bool // something failed, even if a later step did not
}

func newLive(w io.Writer, hosts []string, size func() (int, int), color bool) *live {
	l := &live{
		w: w, size: size, color: color, now: time.Now,
		hosts: hosts, state: map[string]*liveLine{}, stop: make(chan struct{}),
	}
	for _, h := range hosts {
		l.state[h] = &liveLine{}
	}
	return l
}

// start repaints at intervals until close.
func (l *live) start() {
	l.stopped.Go(func() {
		tick := time.NewTicker(repaintEvery)
		defer tick.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-tick.C:
				l.mu.Lock()
				l.paint()
				l.mu.Unlock()
			}
		}
	})
}

func (l *live) close() {
	close(l.stop)
	l.stopped.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
}

func (l *live) event(e pipeline.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := &l.fleet
	if e.Host != "" {
		if line = l.state[e.Host]; line == nil {
			return
		}
	}
	switch e.Kind {
	case pipeline.StepStarted:
		*line = liveLine{step: e.Step, began: l.now(), detail: e.Detail, bad: line.bad && e.Host != ""}
	case pipeline.StepProgress:
		line.detail, line.done, line.total, line.unit = e.Detail, e.Done, e.Total, e.Unit
	case pipeline.StepFinished:
		line.status, line.took, line.detail, line.total = e.Status, e.Seconds, e.Detail, 0
		if e.Status != report.Passed {
			line.bad = true
		}
		if e.Host == "" {
			l.fleet = liveLine{}
		}
		if e.Host == "" || e.Status != report.Passed {
			l.above(e)
		}
	case pipeline.Note:
		line.bad = line.bad || e.Status == report.Failed
		l.above(e)
	}
}

// above prints a line that stays, over the region.
func (l *live) above(e pipeline.Event) {
	l.erase()
	lines := &lines{w: l.w}
	lines.event(e)
	l.paint()
}

// paint brings the screen up to date, if it is not.
func (l *live) paint() {
	columns, rows := l.size()
	want := l.region(min(columns, maxColumns)-1, rows)
	if len(want) == len(l.shown) && l.painted > 0 {
		same := true
		for i := range want {
			same = same && want[i] == l.shown[i]
		}
		if same {
			return
		}
	}
	var b strings.Builder
	l.eraseTo(&b)
	for _, line := range want {
		b.WriteString(line + "\n")
	}
	l.painted, l.shown = len(want), want
	_, _ = io.WriteString(l.w, b.String()) // a terminal that is gone is no reason to stop
}

func (l *live) erase() {
	var b strings.Builder
	l.eraseTo(&b)
	_, _ = io.WriteString(l.w, b.String())
}

// eraseTo moves up to the region's first line and clears from there on.
func (l *live) eraseTo(b *strings.Builder) {
	if l.painted > 0 {
		fmt.Fprintf(b, "\x1b[%dA\r\x1b[J", l.painted)
	}
	l.painted, l.shown = 0, nil
}

// region is the text of the region, each line at most columns wide, with room
// for what is above it on a small screen.
func (l *live) region(columns, rows int) []string {
	var out []string
	if l.fleet.step != "" {
		out = append(out, l.line("", &l.fleet, 0, columns))
	}
	name := 4
	for _, h := range l.hosts {
		name = max(name, utf8.RuneCountInString(h))
	}
	name = min(name, columns/3)
	room := max(1, rows-4-len(out))
	if len(l.hosts) <= room {
		for _, h := range l.hosts {
			out = append(out, l.line(h, l.state[h], name, columns))
		}
		return out
	}
	// More hosts than lines: those under way, and the others in numbers.
	done, bad, more, waiting := 0, 0, 0, 0
	for _, h := range l.hosts {
		switch s := l.state[h]; {
		case s.step == "":
			waiting++
		case s.status == "" && room > 1:
			out = append(out, l.line(h, s, name, columns))
			room--
		case s.status == "":
			more++
		case s.bad:
			bad++
		default:
			done++
		}
	}
	return append(out, cutTo(fmt.Sprintf("%d done, %d failed, %d more at work, %d waiting", done, bad, more, waiting), columns))
}

// under is what a host is at, while it is and afterwards.
var under = map[string][2]string{
	report.StepEvaluate: {"evaluating", "evaluated"},
	report.StepBuild:    {"building", "built"},
	report.StepPush:     {"pushing", "pushed"},
}

func (l *live) line(host string, s *liveLine, name, columns int) string {
	word, paint := "waiting", "2"
	elapsed := ""
	switch {
	case s.step == "":
	case s.status == "":
		word, paint = s.step, "36"
		if w, ok := under[s.step]; ok {
			word = w[0]
		}
		elapsed = wholeSeconds(l.now().Sub(s.began))
	case s.bad:
		word, paint = "failed", "31"
		elapsed = seconds(s.took)
	default:
		word, paint = s.step, "32"
		if w, ok := under[s.step]; ok {
			word = w[1]
		}
		elapsed = seconds(s.took)
	}
	text := fmt.Sprintf("%-11s %11s  %s", word, elapsed, s.progress())
	if name > 0 {
		text = fmt.Sprintf("%-*s  %s", name, cutTo(host, name), text)
	}
	text = cutTo(strings.TrimRight(text, " "), columns)
	if !l.color {
		return text
	}
	i := 0
	if name > 0 {
		i = len(text) - len(strings.TrimLeft(text[min(name, len(text)):], " "))
	}
	head, rest := text[:i], text[i:]
	shown := rest[:min(len(word), len(rest))]
	return head + "\x1b[" + paint + "m" + shown + "\x1b[0m" + rest[len(shown):]
}

// progress is how far a step is and what it is at.
func (s *liveLine) progress() string {
	switch {
	case s.total > 0 && s.unit == "bytes":
		return strings.TrimSpace(fmt.Sprintf("%s of %s MiB  %s", mebi(s.done), mebi(s.total), s.detail))
	case s.total > 0:
		return strings.TrimSpace(fmt.Sprintf("%d/%d  %s", s.done, s.total, s.detail))
	}
	return s.detail
}

func mebi(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }

// cutTo cuts s to n characters; names and store paths are one column each.
func cutTo(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(0, n)])
}
