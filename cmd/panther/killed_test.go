package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// until waits until the report of the run under way says something.
func (c *checkout) until(t *testing.T, what string, condition func(*report.Report) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		rep, err := report.ReadFile(filepath.Join(c.dir, "out/report/report.json"))
		return err == nil && condition(rep)
	})
}

// step is the status of a host's step in a report; empty if there is none.
func step(rep *report.Report, host, name string) report.Status {
	for _, h := range rep.Hosts {
		for _, s := range h.Steps {
			if h.Name == host && s.Name == name && !s.Started.IsZero() {
				return s.Status
			}
		}
	}
	return ""
}

// A run that is killed in the middle of something leaves a valid report of
// itself, which says where it was, and from which every form can be made.
func TestKilled(t *testing.T) {
	for name, tt := range map[string]struct {
		host  string // configured with a script that never ends
		pause bool   // of pcache
		when  func(*report.Report) bool
		want  []string // in the Markdown made from the report
	}{
		"in a build": {
			host: "beta",
			when: func(r *report.Report) bool {
				return step(r, "beta", report.StepBuild) == report.Interrupted && step(r, "alpha", report.StepPush) == report.Passed
			},
			want: []string{"beta", "interrupted in build"},
		},
		"in the push": {
			pause: true,
			when: func(r *report.Report) bool {
				return step(r, "alpha", report.StepPush) == report.Interrupted && step(r, "gamma", report.StepBuild) == report.Passed
			},
			want: []string{"gamma", "interrupted in push"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFleet(t)
			marker := fmt.Sprintf("5000%d%d", os.Getpid(), len(name))
			if tt.host != "" {
				c.configure(t, tt.host, `{ script = "sleep `+marker+`"; }`)
			}
			cmd := c.command(t.Context(), "build-all")
			if tt.pause {
				cmd.Path = slowPcache(t, marker)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			c.until(t, "the report says that the run is at "+name, tt.when)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()

			rep := c.report(t)
			if rep.Status != report.Interrupted || !rep.Run.Unfinished || rep.Run.Seconds <= 0 {
				t.Errorf("status %s, unfinished %v, %g s", rep.Status, rep.Run.Unfinished, rep.Run.Seconds)
			}
			if !tt.when(rep) {
				t.Errorf("the report says something else than before: %+v", rep.Hosts)
			}
			c.panther(t, "report", "out/report", "--html", "page.html", "--markdown", "note.md", "--junit", "junit.xml", "--metrics", "metrics.txt").want(t, 0)
			note, err := os.ReadFile(filepath.Join(c.dir, "note.md"))
			if err != nil {
				t.Fatal(err)
			}
			contains(t, string(note), tt.want...)
			contains(t, c.panther(t, "report", "out/report").want(t, 0).stdout, tt.want...)

			// Nothing runs on, and nothing is in the way of the next run.
			eventually(t, "all processes end", func() bool { return len(processes(t, c.dir))+len(processes(t, marker)) == 0 })
			if tt.host != "" {
				c.configure(t, tt.host, "{ }")
			}
			c.panther(t, "build-all").want(t, 0)
		})
	}
}

// slowPcache is a panther that has beside it a pcache whose pushes never begin.
func slowPcache(t *testing.T, seconds string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Link(filepath.Join(programs, "panther"), filepath.Join(dir, "panther")); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n[ \"$1\" = push ] && exec sleep " + seconds + "\nexec " + filepath.Join(programs, "pcache") + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "pcache"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "panther")
}

// Whenever a run is killed, what is in its report folder is whole: nothing, the
// report of the run before, or one of this run that says that it was cut short.
func TestKilledAtAnyMoment(t *testing.T) {
	c := newFleet(t)
	for _, h := range []string{"alpha", "beta", "gamma"} {
		c.configure(t, h, `{ script = "sleep 1; echo `+h+` >$out"; }`)
	}
	unfinished, none := 0, 0
	for range 8 {
		cmd := c.command(t.Context(), "build-all")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		kill := time.AfterFunc(time.Duration(200+rand.IntN(6000))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		eventually(t, "all processes end", func() bool { return len(processes(t, c.dir)) == 0 })
		rep, err := report.ReadFile(filepath.Join(c.dir, "out/report/report.json"))
		if errors.Is(err, fs.ErrNotExist) {
			none++
			continue
		}
		if err != nil {
			t.Fatalf("killed after %s: %v", time.Since(began), err)
		}
		if rep.Run.Unfinished {
			unfinished++
			if rep.Status != report.Interrupted {
				t.Errorf("an unfinished run is said to be %s", rep.Status)
			}
		} else if rep.Status != report.Passed {
			t.Errorf("a run that ended is said to be %s", rep.Status)
		}
		for _, f := range []string{"report.md", "report.html", "junit.xml", "metrics.txt", "run.json"} {
			if info, err := os.Stat(filepath.Join(c.dir, "out/report", f)); err == nil && info.Size() == 0 {
				t.Errorf("%s is empty", f)
			}
		}
	}
	t.Logf("%d unfinished, %d without a report", unfinished, none)
	c.panther(t, "build-all").want(t, 0)
}
