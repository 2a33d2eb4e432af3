// Package junit renders a report as JUnit XML, for the test tabs of GitLab and
// others. The dialect is the one that GitLab documents ("Unit test reports"):
// testsuites, testsuite and testcase with failure, error, skipped and
// system-out.
package junit

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Time     seconds  `xml:"time,attr"`
	Suites   []suite  `xml:"testsuite"`
}

type suite struct {
	Name     string  `xml:"name,attr"`
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Skipped  int     `xml:"skipped,attr"`
	Time     seconds `xml:"time,attr"`
	Started  string  `xml:"timestamp,attr,omitempty"`
	Cases    []test  `xml:"testcase"`
}

type test struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	Time    seconds  `xml:"time,attr"`
	Failure *problem `xml:"failure,omitempty"`
	Error   *problem `xml:"error,omitempty"`
	Skipped *problem `xml:"skipped,omitempty"`
	Output  string   `xml:"system-out,omitempty"`
}

type problem struct {
	Message string `xml:"message,attr,omitempty"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

type seconds float64

func (s seconds) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%.3f", float64(s)), nil }

// Write renders r, which must be valid, as JUnit XML. Each host is a suite
// whose tests are its steps and its checks; the checks of the fleet are one
// more, and the run itself where it stopped. What was interrupted is an error,
// what failed a failure.
func Write(w io.Writer, r *report.Report) error {
	all := suites{Name: cmp.Or(r.Run.Fleet, "fleet"), Time: seconds(r.Run.Seconds)}
	fleet := suite{Name: "fleet", Started: timestamp(r)}
	for _, c := range r.Checks {
		if c.Host == "" {
			fleet.add(checkCase("fleet", c))
		}
	}
	if e := r.Run.Error; e != "" {
		t := test{Class: "fleet", Name: "run"}
		t.Error = &problem{Message: e, Type: string(r.Status), Text: e}
		fleet.add(t)
	}
	all.add(fleet)
	for i := range r.Hosts {
		h := &r.Hosts[i]
		s := suite{Name: h.Name, Started: timestamp(r)}
		for _, step := range h.Steps {
			s.add(stepCase(h, step))
		}
		for _, c := range r.Checks {
			if c.Host == h.Name {
				s.add(checkCase(h.Name, c))
			}
		}
		all.add(s)
	}
	data, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("write junit: %v", err)
	}
	if _, err := fmt.Fprintf(w, "%s%s\n", xml.Header, data); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	return nil
}

func timestamp(r *report.Report) string { return r.Run.Started.UTC().Format("2006-01-02T15:04:05") }

func (s *suites) add(t suite) {
	if len(t.Cases) == 0 {
		return
	}
	s.Tests += t.Tests
	s.Failures += t.Failures
	s.Errors += t.Errors
	s.Skipped += t.Skipped
	s.Suites = append(s.Suites, t)
}

func (s *suite) add(t test) {
	s.Tests++
	s.Time += t.Time
	switch {
	case t.Failure != nil:
		s.Failures++
	case t.Error != nil:
		s.Errors++
	case t.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, t)
}

func stepCase(h *report.Host, s report.Step) test {
	t := test{Class: h.Name, Name: s.Name, Time: seconds(s.Seconds), Output: s.Detail}
	p := problem{Message: cmp.Or(s.Detail, string(s.Status)), Type: s.Name}
	if f := h.Failure; f != nil && f.Step == s.Name && s.Status != report.Passed {
		p.Message = f.Message
		p.Text = explain(f)
	}
	t.outcome(s.Status, p)
	return t
}

func checkCase(class string, c report.Check) test {
	t := test{Class: class, Name: "check " + c.Name, Time: seconds(c.Seconds), Output: c.Detail}
	t.outcome(c.Status, problem{Message: cmp.Or(c.Detail, string(c.Status)), Type: c.Name, Text: strings.Join(c.Log, "\n")})
	return t
}

func (t *test) outcome(s report.Status, p problem) {
	switch s {
	case report.Failed:
		t.Failure, t.Output = &p, ""
	case report.Interrupted:
		t.Error, t.Output = &p, ""
	case report.Skipped:
		t.Skipped, t.Output = &problem{Message: p.Message}, ""
	}
}

// explain is what a person needs to look into a failure.
func explain(f *report.Failure) string {
	var b strings.Builder
	b.WriteString(f.Message + "\n")
	if f.DrvPath != "" {
		b.WriteString("\nderivation: " + f.DrvPath + "\n")
	}
	if f.Command != "" {
		b.WriteString("\nto reproduce:\n" + f.Command + "\n")
	}
	if len(f.LogTail) > 0 {
		b.WriteString("\nend of the log:\n" + strings.Join(f.LogTail, "\n") + "\n")
	}
	return b.String()
}
