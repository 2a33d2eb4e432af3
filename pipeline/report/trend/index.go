// Package trend reads the index of a history of runs, and says how the fleet
// and its hosts did over time.
package trend

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// Schema names the version of the index, which `pcache reports list --json`
// prints: docs/schema/reports-1.json.
const Schema = "pantheros.reports/1"

// maxIndex bounds what is read as an index.
const maxIndex = 256 << 20

// Index lists the runs of a history, the newest first.
type Index struct {
	Runs []Run
}

// Run is the record of a run.
type Run struct {
	Name  string   // the folder of its report
	Files []string // in that folder
	// Summary is what it came to; nil where that is damaged, or of a version
	// that is not understood.
	Summary *report.Summary
}

// Has reports whether a run's report has a file.
func (r Run) Has(file string) bool { return slices.Contains(r.Files, file) }

var (
	runName  = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-z]{4,40}$`)
	fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

// Read reads an index. Names in it, which become those of links and files, are
// checked. A run whose summary cannot be read is there without it.
func Read(r io.Reader) (*Index, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxIndex+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the index of runs: %w", err)
	case len(data) > maxIndex:
		return nil, fmt.Errorf("read the index of runs: it is larger than %d MiB", maxIndex>>20)
	}
	var wire struct {
		Schema string
		Runs   []struct {
			Name    string
			Files   []struct{ Name string }
			Summary json.RawMessage
		}
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return nil, fmt.Errorf("read the index of runs: %v", err)
	}
	if wire.Schema != Schema {
		return nil, fmt.Errorf("read the index of runs: its schema is %.40q, only %q is understood", wire.Schema, Schema)
	}
	x := &Index{}
	for i, w := range wire.Runs {
		if !runName.MatchString(w.Name) {
			return nil, fmt.Errorf("read the index of runs: %.60q is no name of a run", w.Name)
		}
		if i > 0 && wire.Runs[i-1].Name <= w.Name {
			return nil, fmt.Errorf("read the index of runs: run %s is not older than the one before it", w.Name)
		}
		run := Run{Name: w.Name}
		for _, f := range w.Files {
			if !fileName.MatchString(f.Name) {
				return nil, fmt.Errorf("read the index of runs: %.120q cannot be a file of a run", f.Name)
			}
			run.Files = append(run.Files, f.Name)
		}
		if s, err := report.ReadSummary(w.Summary); err == nil {
			run.Summary = s
		}
		x.Runs = append(x.Runs, run)
	}
	return x, nil
}

// Latest is the newest run of a fleet with such inputs that went to its end and
// has a report to compare with; ok is false if there is none.
func (x *Index) Latest(fleet, inputs string) (r Run, ok bool) {
	i := slices.IndexFunc(x.Runs, func(r Run) bool {
		s := r.Summary
		return s != nil && s.Fleet == fleet && s.Inputs == inputs && s.Status != report.Interrupted && !s.Unfinished && r.Has(report.JSONFile)
	})
	if i < 0 {
		return Run{}, false
	}
	return x.Runs[i], true
}
