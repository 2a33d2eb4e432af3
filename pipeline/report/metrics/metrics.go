// Package metrics renders a report as OpenMetrics text (OpenMetrics 1.0), which
// GitLab's metrics reports compare between branches and which Prometheus reads.
package metrics

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// family is a metric and its samples.
type family struct {
	name, unit, help string
	samples          []sample
}

type sample struct {
	labels []string // names and values in turn
	value  float64
}

func (f *family) add(value float64, labels ...string) {
	f.samples = append(f.samples, sample{labels, value})
}

// Write renders r, which must be valid. All metrics are gauges of this one
// run, named pantheros_*, in a fixed order.
func Write(w io.Writer, r *report.Report) error {
	b := bufio.NewWriter(w)
	for _, f := range families(r) {
		if len(f.samples) == 0 {
			continue
		}
		fmt.Fprintf(b, "# TYPE %s gauge\n", f.name)
		if f.unit != "" {
			fmt.Fprintf(b, "# UNIT %s %s\n", f.name, f.unit)
		}
		fmt.Fprintf(b, "# HELP %s %s\n", f.name, f.help)
		for _, s := range f.samples {
			b.WriteString(f.name)
			for i := 0; i < len(s.labels); i += 2 {
				b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
				b.WriteString(s.labels[i] + `="` + escape(s.labels[i+1]) + `"`)
			}
			if len(s.labels) > 0 {
				b.WriteString("}")
			}
			b.WriteString(" " + strconv.FormatFloat(s.value, 'f', -1, 64) + "\n")
		}
	}
	b.WriteString("# EOF\n")
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func escape(s string) string { return labelEscapes.Replace(s) }

func families(r *report.Report) []*family {
	run := &family{name: "pantheros_run_seconds", unit: "seconds", help: "How long the run took."}
	ok := &family{name: "pantheros_run_passed", help: "1 if the run passed."}
	hosts := &family{name: "pantheros_hosts", help: "Hosts by result."}
	checks := &family{name: "pantheros_checks", help: "Checks by result."}
	host := &family{name: "pantheros_host_passed", help: "1 if the host passed."}
	step := &family{name: "pantheros_step_seconds", unit: "seconds", help: "How long a step of a host took."}
	closure := &family{name: "pantheros_closure_bytes", unit: "bytes", help: "NAR size of a host's closure."}
	paths := &family{name: "pantheros_closure_paths", help: "Store paths of a host's closure."}
	sent := &family{name: "pantheros_sent_bytes", unit: "bytes", help: "Compressed size of what was sent of a host's closure."}
	built := &family{name: "pantheros_built_derivations", help: "Derivations built for a host."}
	fetched := &family{name: "pantheros_fetched_paths", help: "Store paths fetched for a host."}
	cis := &family{name: "pantheros_cis_items", help: "Items of CIS level 1 of a host, by what was found."}
	all := &family{name: "pantheros_all_closures_bytes", unit: "bytes", help: "NAR size of all closures, shared paths once."}
	pushed := &family{name: "pantheros_push_sent_bytes", unit: "bytes", help: "Compressed size of what the push sent."}
	skipped := &family{name: "pantheros_push_skipped_paths", help: "Paths that the push left out, by reason."}

	worse := &family{name: "pantheros_regressions", help: "What got worse since the previous run by more than is allowed, by kind."}

	run.add(r.Run.Seconds)
	ok.add(bit(r.Status == report.Passed))
	states := []report.Status{report.Passed, report.Failed, report.Interrupted, report.Skipped}
	nHosts, nChecks := map[report.Status]int{}, map[report.Status]int{}
	for _, c := range r.Checks {
		nChecks[c.Status]++
		if c.Name == "cis" {
			for _, word := range slices.Sorted(maps.Keys(c.Counts)) {
				cis.add(float64(c.Counts[word]), "host", c.Host, "found", word)
			}
		}
	}
	for _, h := range r.Hosts {
		nHosts[h.Status]++
		host.add(bit(h.Status == report.Passed), "host", h.Name)
		for _, s := range h.Steps {
			if !s.Started.IsZero() {
				step.add(s.Seconds, "host", h.Name, "step", s.Name)
			}
		}
		if h.Closure != nil {
			closure.add(float64(h.Closure.NARBytes), "host", h.Name)
			paths.add(float64(h.Closure.Paths), "host", h.Name)
			sent.add(float64(h.Sent.FileBytes), "host", h.Name)
		}
		if h.Work != nil {
			built.add(float64(h.Work.Built), "host", h.Name)
			fetched.add(float64(h.Work.Fetched), "host", h.Name)
		}
	}
	for _, s := range states {
		hosts.add(float64(nHosts[s]), "result", string(s))
		checks.add(float64(nChecks[s]), "result", string(s))
	}
	if _, bytes, known := r.ClosureUnion(); known {
		all.add(float64(bytes))
	}
	if p := r.Push; p != nil {
		pushed.add(float64(p.Sent.FileBytes))
		for _, reason := range slices.Sorted(maps.Keys(p.Skipped)) {
			skipped.add(float64(p.Skipped[reason].Paths), "reason", reason)
		}
	}
	if r.Previous != nil {
		n := map[string]int{report.RegressionClosure: 0, report.RegressionStep: 0}
		for _, g := range r.Regressions {
			n[g.Kind]++
		}
		for _, kind := range slices.Sorted(maps.Keys(n)) {
			worse.add(float64(n[kind]), "kind", kind)
		}
	}
	return []*family{run, ok, hosts, checks, host, step, closure, paths, sent, built, fetched, cis, all, pushed, skipped, worse}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
