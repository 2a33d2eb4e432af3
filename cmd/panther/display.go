package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// display shows a run as it happens, on standard error.
type display interface {
	event(pipeline.Event)
	// close ends it and leaves the terminal as it was.
	close()
}

// newDisplay chooses a display: a live region on a terminal, plain lines
// elsewhere, nothing with --quiet.
func (a *app) newDisplay(p *project, hosts []string) display {
	if a.quiet {
		return silence{}
	}
	if len(hosts) == 0 {
		hosts = p.inv.HostNames()
	}
	f, ok := a.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return &lines{w: a.stderr}
	}
	_, plain := os.LookupEnv("NO_COLOR")
	size := func() (columns, rows int) {
		columns, rows, err := term.GetSize(int(f.Fd()))
		if err != nil || columns < 1 || rows < 1 {
			return 80, 24
		}
		return columns, rows
	}
	l := newLive(f, hosts, size, !plain)
	l.start()
	return l
}

type silence struct{}

func (silence) event(pipeline.Event) {}
func (silence) close()               {}

// lines prints a line for each thing that happened.
type lines struct {
	w  io.Writer
	mu sync.Mutex
}

func (l *lines) close() {}

func (l *lines) event(e pipeline.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	subject := e.Step
	if e.Host != "" {
		subject = e.Host + ": " + e.Step
	}
	switch e.Kind {
	case pipeline.StepStarted:
		if e.Detail != "" {
			fmt.Fprintf(l.w, "%s: %s\n", subject, e.Detail)
		} else if e.Step == report.StepPush {
			fmt.Fprintf(l.w, "%s: started\n", subject)
		}
	case pipeline.StepFinished:
		fmt.Fprintf(l.w, "%s: %s after %s%s\n", subject, e.Status, seconds(e.Seconds), after(": ", e.Detail))
	case pipeline.Note:
		if subject != "" {
			subject += ": "
		}
		fmt.Fprintf(l.w, "%s%s\n", subject, e.Detail)
	}
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
