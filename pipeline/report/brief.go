package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// SummarySchema names the version of Summary, which changes as Schema does.
const SummarySchema = "pantheros.run/1"

// SummaryFile is the summary's name in a report folder.
const SummaryFile = "run.json"

// Summary is a run in a few lines: what a history of runs compares.
type Summary struct {
	Schema       string        `json:"schema"`
	Status       Status        `json:"status"`
	Fleet        string        `json:"fleet"`
	Started      time.Time     `json:"started"`
	Seconds      float64       `json:"seconds"`
	Inputs       string        `json:"inputs"`
	Commit       string        `json:"commit,omitempty"`
	Error        string        `json:"error,omitempty"`
	Unfinished   bool          `json:"unfinished,omitempty"`
	ClosureBytes int64         `json:"closure_bytes"` // of all hosts, shared paths once
	SentBytes    int64         `json:"sent_bytes"`    // compressed
	ChecksPassed int           `json:"checks_passed,omitempty"`
	ChecksTotal  int           `json:"checks_total,omitempty"` // those that were skipped do not count
	CISMissing   *int          `json:"cis_missing,omitempty"`  // items, of all hosts; nil where they were not looked at
	Hosts        []SummaryHost `json:"hosts"`
	Regressions  []Regression  `json:"regressions,omitempty"`
}

// SummaryHost is a host of a Summary. Its closure is zero while unknown.
type SummaryHost struct {
	Name         string        `json:"name"`
	Status       Status        `json:"status"`
	Result       string        `json:"result"` // in a few words, see Host.Result
	Steps        []SummaryStep `json:"steps"`
	ClosureBytes int64         `json:"closure_bytes"`
	ClosurePaths int           `json:"closure_paths"`
	SentBytes    int64         `json:"sent_bytes"`
}

// SummaryStep is a step of a host.
type SummaryStep struct {
	Name    string  `json:"name"`
	Status  Status  `json:"status"`
	Seconds float64 `json:"seconds"`
}

// Summarize makes the summary of r, which must be valid.
func (r *Report) Summarize() Summary {
	_, closure, _ := r.union()
	s := Summary{
		Schema: SummarySchema, Status: r.Status, Fleet: r.Run.Fleet, Started: r.Run.Started, Seconds: r.Run.Seconds,
		Inputs: r.Run.Inputs, Commit: r.Run.Commit, Error: r.Run.Error, Unfinished: r.Run.Unfinished,
		ClosureBytes: closure, Hosts: []SummaryHost{}, Regressions: r.Regressions,
	}
	if r.Push != nil {
		s.SentBytes = r.Push.Sent.FileBytes
	}
	for _, c := range r.Checks {
		if c.Status != Skipped {
			s.ChecksTotal++
		}
		if c.Status == Passed {
			s.ChecksPassed++
		}
		if missing, ok := c.Counts["missing"]; ok && c.Name == "cis" {
			if s.CISMissing == nil {
				s.CISMissing = new(int)
			}
			*s.CISMissing += missing
		}
	}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		host := SummaryHost{Name: h.Name, Status: h.Status, Result: h.Result(), Steps: []SummaryStep{}, SentBytes: h.Sent.FileBytes}
		for _, step := range h.Steps {
			host.Steps = append(host.Steps, SummaryStep{step.Name, step.Status, step.Seconds})
		}
		if h.Closure != nil {
			host.ClosureBytes, host.ClosurePaths = h.Closure.NARBytes, h.Closure.Paths
		}
		s.Hosts = append(s.Hosts, host)
	}
	return s
}

// WriteSummary writes the summary of r, which must be valid, as JSON.
func WriteSummary(w io.Writer, r *Report) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r.Summarize()); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

// ReadSummary reads and validates what WriteSummary wrote, under the same rules
// as Read: fields that it does not know are ignored.
func ReadSummary(data []byte) (*Summary, error) {
	s := new(Summary)
	if err := decode(data, SummarySchema, s); err != nil {
		return nil, fmt.Errorf("read summary: %v", err)
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("read summary: not valid: %v", err)
	}
	return s, nil
}

func (s *Summary) validate() error {
	if err := validStatus("run", s.Status); err != nil {
		return err
	}
	if err := validSeconds("run", s.Seconds); err != nil {
		return err
	}
	if s.ChecksPassed < 0 || s.ChecksTotal < s.ChecksPassed || s.CISMissing != nil && *s.CISMissing < 0 {
		return errors.New("checks: negative number, or more passed than there are")
	}
	if err := errors.Join(validSize("run", s.ClosureBytes), validSize("run", s.SentBytes)); err != nil {
		return err
	}
	for i, h := range s.Hosts {
		what := fmt.Sprintf("hosts[%d]", i)
		if h.Name == "" {
			return fmt.Errorf("%s: the host has no name", what)
		}
		if h.ClosurePaths < 0 {
			return fmt.Errorf("%s: negative number", what)
		}
		if err := errors.Join(validStatus(what, h.Status), validSize(what, h.ClosureBytes), validSize(what, h.SentBytes)); err != nil {
			return err
		}
		for _, step := range h.Steps {
			if err := errors.Join(validStatus(what, step.Status), validSeconds(what, step.Seconds)); err != nil {
				return err
			}
		}
	}
	for i, g := range s.Regressions {
		if err := g.validate(fmt.Sprintf("regressions[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}
