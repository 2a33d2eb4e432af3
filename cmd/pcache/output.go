package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/terminal"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

// output is how a copy tells of itself.
type output struct {
	json     bool
	progress string
}

func (o *output) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "print the result as JSON on standard output")
	cmd.Flags().StringVar(&o.progress, "progress", "auto", "on standard error: auto, bar, plain, json or none")
	_ = cmd.RegisterFlagCompletionFunc("progress", cobra.FixedCompletions([]string{"auto", "bar", "plain", "json", "none"}, cobra.ShellCompDirectiveNoFileComp))
}

// start shows the progress of a copy until finish is called.
// dst, which may be nil, is where it goes to.
func (o *output) start(cmd *cobra.Command, verb string, dst blob.Store) (p *cache.Progress, finish func()) {
	p = new(cache.Progress)
	uplink, _ := dst.(blob.Uplink)
	w := cmd.ErrOrStderr()
	kind := o.progress
	if kind == "auto" || kind == "bar" {
		if region, ok := terminal.On(w); ok {
			return p, region.Keep(200*time.Millisecond, (&bar{progress: p, verb: verb, uplink: uplink, now: time.Now}).lines)
		}
		kind = "plain"
	}
	switch kind {
	case "json":
		return p, poll(250*time.Millisecond, jsonLines(w, p, uplink))
	case "plain":
		return p, poll(10*time.Second, plainLines(w, p, verb))
	default:
		return p, func() {}
	}
}

// poll calls show at every tick and a last time, with done, at the end.
func poll(every time.Duration, show func(done bool)) (finish func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				show(false)
			case <-quit:
				show(true)
				return
			}
		}
	})
	return func() { close(quit); wg.Wait() }
}

func plainLines(w io.Writer, p *cache.Progress, verb string) func(bool) {
	return func(done bool) {
		if done || !p.Planned.Load() || p.TotalPaths.Load() == 0 {
			return
		}
		fmt.Fprintf(w, "%s: %d of %d paths, %s of %s\n", verb,
			p.Paths.Load(), p.TotalPaths.Load(), bytesText(p.Bytes.Load()), bytesText(p.TotalBytes.Load()))
	}
}

// progressLine is one line of --progress json.
type progressLine struct {
	DonePaths  int64  `json:"done_paths"`
	TotalPaths int64  `json:"total_paths"`
	DoneBytes  int64  `json:"done_bytes"`
	TotalBytes int64  `json:"total_bytes"`
	SentBytes  *int64 `json:"sent_bytes,omitempty"` // as stored; nil where that is not measured
}

func jsonLines(w io.Writer, p *cache.Progress, uplink blob.Uplink) func(bool) {
	enc := json.NewEncoder(w)
	return func(bool) {
		if !p.Planned.Load() {
			return
		}
		line := progressLine{DonePaths: p.Paths.Load(), TotalPaths: p.TotalPaths.Load(), DoneBytes: p.Bytes.Load(), TotalBytes: p.TotalBytes.Load()}
		if uplink != nil {
			sent := uplink.Uploaded()
			line.SentBytes = &sent
		}
		_ = enc.Encode(line)
	}
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printJSONLine prints a value that is one of several, each on a line.
func printJSONLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (o *output) push(cmd *cobra.Command, p report.Push, result cache.Result) error {
	w := cmd.OutOrStdout()
	if o.json {
		return printJSON(w, p)
	}
	if p.DryRun {
		return printPlan(w, p, result)
	}
	if p.Status != report.Passed {
		return nil // the error says it
	}
	if p.Sent.Paths == 0 {
		fmt.Fprintf(w, "nothing to send: all %d paths are in %s%s\n", len(p.Paths), p.Cache, leftText(p, " or left to upstream, %d of them"))
	} else {
		there := len(p.Paths) - p.Sent.Paths - p.Skipped[cache.Upstream].Paths
		fmt.Fprintf(w, "%d paths sent to %s: %s of NARs as %s, in %.1f s; %d were there%s\n",
			p.Sent.Paths, p.Cache, bytesText(p.Sent.NARBytes), bytesText(p.Sent.FileBytes), p.Seconds, there, leftText(p, ", %d are left to upstream"))
	}
	for _, r := range p.Roots {
		if r.Generation != "" {
			fmt.Fprintf(w, "root %s: generation %s\n", r.Name, r.Generation)
		}
	}
	return nil
}

// leftText says how many paths are left to upstream caches, if any.
func leftText(p report.Push, format string) string {
	if n := p.Skipped[cache.Upstream].Paths; n > 0 {
		return fmt.Sprintf(format, n)
	}
	return ""
}

func printPlan(w io.Writer, p report.Push, result cache.Result) error {
	var send report.Count
	for _, o := range result.Outcomes {
		if o.Action == cache.Send {
			count(&send, o, cache.Send)
			fmt.Fprintf(w, "send  %10s  %s\n", bytesText(o.Info.NARSize), o.Info.Path)
		}
	}
	printSkips(w, p.Skipped, map[string]string{
		cache.Present:  "the cache was asked and has them",
		cache.Implied:  "a path that the cache has refers to them",
		cache.Upstream: "a key of an upstream cache signed them",
	})
	_, err := fmt.Fprintf(w, "%d of %d paths would be sent to %s, %s of NARs before compression%s\n",
		send.Paths, len(p.Paths), p.Cache, bytesText(send.NARBytes), leftText(p, "; %d are left to upstream"))
	return err
}

// printSkips says of a plan why paths are left out, and how large they are.
func printSkips(w io.Writer, skipped map[string]report.Count, why map[string]string) {
	for _, reason := range slices.Sorted(maps.Keys(skipped)) {
		c := skipped[reason]
		fmt.Fprintf(w, "skip  %10s  %d paths, %s: %s\n", bytesText(c.NARBytes), c.Paths, reason, why[reason])
	}
}

func (o *output) pull(cmd *cobra.Command, p pullReport, dryRun bool) error {
	w := cmd.OutOrStdout()
	if o.json {
		return printJSON(w, p)
	}
	if dryRun {
		var n int
		var total int64
		for _, path := range p.Paths {
			if path.Action == "fetch" {
				n++
				total += path.NARBytes
				fmt.Fprintf(w, "fetch %10s  %s\n", bytesText(path.NARBytes), path.Path)
			}
		}
		printSkips(w, p.Skipped, map[string]string{cache.Present: "the store has them", cache.Implied: "a path that the store has refers to them"})
		_, err := fmt.Fprintf(w, "%d of %d paths would be fetched, %s of NARs\n", n, len(p.Paths), bytesText(total))
		return err
	}
	if p.Status == report.Passed {
		fmt.Fprintln(w, p)
	}
	return nil
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	}
}
