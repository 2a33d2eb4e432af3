package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/terminal"
	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// display shows a run as it happens, on standard error.
type display interface {
	event(pipeline.Event)
	// note shows a line that is about the run and none of its events.
	note(text string)
	// close ends it and leaves the terminal as it was. It may be called more
	// than once, and while an event is being shown.
	close()
}

// newDisplay chooses a display: a live region on a terminal, plain lines
// elsewhere, nothing but notes with --quiet.
func (a *app) newDisplay(p *project, o options, previous *report.Report) display {
	hosts, last := o.hosts, report.StepBuild
	if len(hosts) == 0 {
		hosts = p.inv.HostNames()
	}
	if o.scope == pipeline.ScopeCheck {
		last = report.StepEvaluate
	}
	var d display = &lines{w: a.stderr}
	if a.quiet {
		d = silence{a.stderr}
	} else if region, ok := terminal.On(a.stderr); ok {
		l := newLive(region, p.inv.Fleet.Name, hosts, last, newPast(previous), terminal.Colored())
		l.start()
		d = l
	}
	a.display.Store(&d)
	return d
}

// silence shows notes alone.
type silence struct{ w io.Writer }

func (silence) event(pipeline.Event) {}
func (s silence) note(text string)   { fmt.Fprintln(s.w, text) }
func (silence) close()               {}

// lines prints a line for each thing that happened.
type lines struct {
	w  io.Writer
	mu sync.Mutex
}

func (l *lines) close() {}

func (l *lines) note(text string) { l.print(text + "\n") }

func (l *lines) event(e pipeline.Event) { l.print(plainLine(e)) }

func (l *lines) print(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, text) // there is nobody left to tell
}

// plainLine is an event as a line; empty if it is not worth one.
func plainLine(e pipeline.Event) string {
	subject := e.Step
	if e.Host != "" {
		subject = e.Host + ": " + e.Step
	}
	switch e.Kind {
	case pipeline.StepStarted:
		if e.Detail != "" {
			return fmt.Sprintf("%s: %s\n", subject, e.Detail)
		} else if e.Step == report.StepPush {
			return fmt.Sprintf("%s: started\n", subject)
		}
	case pipeline.StepFinished:
		return fmt.Sprintf("%s: %s after %s%s\n", subject, e.Status, seconds(e.Seconds), after(": ", e.Detail))
	case pipeline.Note:
		if subject != "" {
			subject += ": "
		}
		return fmt.Sprintf("%s%s\n", subject, e.Detail)
	}
	return ""
}

func after(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// seconds is a duration as people read it: "41 ms", "2.4 s", "12 s", "3 min 05 s".
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return wholeSeconds(d)
}

// wholeSeconds is the same for something under way: it changes once a second.
func wholeSeconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
}
