package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/inventory"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// ServerSigns says whether the server of a cache signs what is pushed there
// with a key of its own, as Attic's does, so that a push is given none.
func ServerSigns(cache string) bool {
	return strings.HasPrefix(cache, "attic:") || strings.HasPrefix(cache, "attic+")
}

// pushAll pushes hosts as they are built, until built is closed. Pushes never
// run side by side: each takes all that waits for it, in the order of the
// inventory, and finds in the cache what the one before sent.
func (r *run) pushAll(ctx context.Context, built <-chan builtHost) {
	for b := range built {
		ready := []builtHost{b}
		for more := true; more; {
			select {
			case b, ok := <-built:
				if more = ok; ok {
					ready = append(ready, b)
				}
			default:
				more = false
			}
		}
		place := func(b builtHost) int {
			return slices.IndexFunc(r.hosts, func(h inventory.Host) bool { return h.Name == b.name })
		}
		slices.SortFunc(ready, func(x, y builtHost) int { return place(x) - place(y) })
		r.push(ctx, ready)
	}
}

// push sends the closures of those hosts that may be pushed in one call.
func (r *run) push(ctx context.Context, hosts []builtHost) {
	if ctx.Err() != nil {
		return
	}
	argv := []string{"pcache", "push", "--json", "--progress", "json"}
	if r.SecretKeyFile != "" {
		argv = append(argv, "--secret-key-file", r.SecretKeyFile)
	}
	if r.Commit != "" {
		argv = append(argv, "--commit", r.Commit)
	}
	var names []string
	for _, h := range hosts {
		switch {
		case h.toplevel == "":
		case h.withhold != "":
			r.rec.EndStep(h.name, report.StepPush, report.Skipped, h.withhold)
			r.event(Event{Kind: Note, Host: h.name, Step: report.StepPush, Detail: h.withhold})
		default:
			names = append(names, h.name)
			argv = append(argv, "--root", h.name+"="+h.toplevel)
		}
	}
	if len(names) == 0 {
		return
	}
	for _, name := range names {
		r.rec.StartStep(name, report.StepPush)
	}
	began := time.Now()
	r.event(Event{Kind: StepStarted, Step: report.StepPush})
	var said tail
	out, err := r.Shell.Run(ctx, Command{
		Step: report.StepPush,
		Argv: append(argv, r.Cache),
		OnStderr: func(line string) {
			if p, ok := readProgress(line); ok {
				e := Event{
					Kind: StepProgress, Step: report.StepPush, Detail: fmt.Sprintf("%d of %d paths", p.DonePaths, p.TotalPaths),
					Done: p.DoneBytes, Total: p.TotalBytes, Unit: "bytes", Sent: -1,
				}
				if p.SentBytes != nil {
					e.Sent = *p.SentBytes
				}
				r.event(e)
				return
			}
			said.add(line)
		},
	})
	pushed, readErr := report.ReadPush(out.Stdout)
	if readErr == nil {
		readErr = r.rec.Push(pushed)
	}
	// What an interrupted push did is worth having, where it could still say it.
	if ctx.Err() != nil {
		return
	}
	last := ""
	if lines := said.all(); len(lines) > 0 {
		last = lines[len(lines)-1]
	}
	switch {
	case err != nil:
	case readErr != nil && out.ExitCode != 0: // it failed before there was a plan
		err = errors.New(cmp.Or(last, fmt.Sprintf("pcache push ended with code %d and said nothing", out.ExitCode)))
	case readErr != nil:
		err = fmt.Errorf("pcache push: %v", readErr)
	case out.ExitCode != 0 && pushed.Status == report.Passed:
		err = fmt.Errorf("pcache push says that it passed but ended with code %d: %s", out.ExitCode, last)
	case pushed.Status != report.Passed:
		err = errors.New(cmp.Or(pushed.Error, last, "the push did not pass"))
	}
	if err == nil {
		r.finished("", report.StepPush, report.Passed, began, firstOf(names)+": "+sentSummary(pushed))
		return
	}
	for _, name := range names {
		if published(pushed, name) {
			continue
		}
		r.rec.Fail(name, report.Failure{
			Step: report.StepPush, Message: err.Error(), LogTail: said.all(),
			Command: ShellWords(append(argv, r.Cache)...),
		})
	}
	r.finished("", report.StepPush, report.Failed, began, oneLine(err.Error()))
}

// published reports whether a push got as far as writing a root's manifest,
// which is the last thing written: all that it needs is in the cache.
func published(p *report.Push, root string) bool {
	if p == nil {
		return false
	}
	for _, pr := range p.Roots {
		if pr.Name == root && pr.Generation != "" {
			return true
		}
	}
	return false
}

// maxNames bounds how many hosts a line names.
const maxNames = 4

func firstOf(names []string) string {
	shown := strings.Join(names[:min(len(names), maxNames)], ", ")
	if more := len(names) - maxNames; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return shown
}

func sentSummary(p *report.Push) string {
	if p.Sent.Paths == 0 {
		return fmt.Sprintf("nothing to send, all %d paths are in the cache", len(p.Paths))
	}
	return fmt.Sprintf("%d of %d paths sent", p.Sent.Paths, len(p.Paths))
}

// pushProgress is a line that `pcache push --progress json` prints.
type pushProgress struct {
	DonePaths  int    `json:"done_paths"`
	TotalPaths int    `json:"total_paths"`
	DoneBytes  int64  `json:"done_bytes"`
	TotalBytes int64  `json:"total_bytes"`
	SentBytes  *int64 `json:"sent_bytes"` // nil where pcache cannot tell
}

func readProgress(line string) (p pushProgress, ok bool) {
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &p) != nil {
		return p, false
	}
	return p, true
}
