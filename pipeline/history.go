package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/trend"
)

// History keeps the reports of runs in the storage of a cache, below reports/
// there, by way of pcache. What goes wrong with it is for the caller to warn of:
// a run is not worse for it.
type History struct {
	Shell   Shell
	Address string // of the storage, in pcache's terms; not an Attic server's
	Keep    int    // how many runs; 0: as many as pcache keeps by default
}

// ErrNoPlace is returned where a cache takes no reports: by its kind, or because
// it cannot be written.
var ErrNoPlace = errors.New("there is no place for reports")

// historyStep is what commands of a History are for.
const historyStep = "history"

// exitRefused is pcache's exit code for a cache that cannot be used like this.
const exitRefused = 4

// Index lists the runs. A storage where there are none has an empty index.
func (h History) Index(ctx context.Context) (*trend.Index, error) {
	out, err := h.pcache(ctx, "list", "--json", h.Address)
	if err != nil {
		return nil, fmt.Errorf("reading the history in %s: %w", h.Address, err)
	}
	x, err := trend.Read(bytes.NewReader(out))
	if err != nil {
		return nil, fmt.Errorf("reading the history in %s: %v", h.Address, err)
	}
	return x, nil
}

// Previous reads the report of the newest run of a fleet with such inputs that
// was not interrupted; nil if there is none.
func (h History) Previous(ctx context.Context, fleet string, inputs Inputs) (*report.Report, error) {
	x, err := h.Index(ctx)
	if err != nil {
		return nil, err
	}
	run, ok := x.Latest(fleet, string(inputs))
	if !ok {
		return nil, nil
	}
	out, err := h.pcache(ctx, "cat", h.Address, run.Name, report.JSONFile)
	if err != nil {
		return nil, fmt.Errorf("reading run %s of the history in %s: %w", run.Name, h.Address, err)
	}
	rep, err := report.Read(bytes.NewReader(out))
	if err != nil {
		return nil, fmt.Errorf("run %s of the history in %s: %v", run.Name, h.Address, err)
	}
	return rep, nil
}

// Add adds a run, whose report's files are in a folder that holds nothing else,
// removes the oldest beyond Keep, and returns what is there then.
func (h History) Add(ctx context.Context, started time.Time, dir string) (*trend.Index, error) {
	args := []string{"put", "--json", "--name", report.RunName(started)}
	if h.Keep > 0 {
		args = append(args, "--keep", strconv.Itoa(h.Keep))
	}
	out, err := h.pcache(ctx, append(args, h.Address, dir)...)
	if err != nil {
		return nil, fmt.Errorf("adding the run to the history in %s: %w", h.Address, err)
	}
	x, err := trend.Read(bytes.NewReader(out))
	if err != nil {
		return nil, fmt.Errorf("adding the run to the history in %s: %v", h.Address, err)
	}
	return x, nil
}

// SetPage stores the page that shows the history, from a file.
func (h History) SetPage(ctx context.Context, file string) error {
	if _, err := h.pcache(ctx, "page", h.Address, file); err != nil {
		return fmt.Errorf("storing the page of the history in %s: %w", h.Address, err)
	}
	return nil
}

// Page is where the page of the history is, as a person would open it: a file
// where the storage is a folder, else a key in the storage.
func (h History) Page() string {
	const page = "reports/index.html"
	if dir, ok := strings.CutPrefix(h.Address, "file://"); ok {
		dir, _, _ = strings.Cut(dir, "?")
		if plain, err := url.PathUnescape(dir); err == nil {
			return filepath.Join(plain, page)
		}
	}
	return page + " in " + h.Address
}

// pcache runs `pcache reports` and returns what it printed.
func (h History) pcache(ctx context.Context, args ...string) ([]byte, error) {
	out, err := h.Shell.Run(ctx, Command{Step: historyStep, Argv: append([]string{"pcache", "reports"}, args...)})
	if err != nil {
		return nil, err
	}
	if out.ExitCode == 0 {
		return out.Stdout, nil
	}
	lines := strings.Split(strings.TrimSpace(string(out.Stderr)), "\n")
	said := strings.TrimPrefix(oneLine(lines[len(lines)-1]), "pcache: ")
	said = cmp.Or(said, fmt.Sprintf("pcache reports %s ended with code %d and said nothing", args[0], out.ExitCode))
	if out.ExitCode == exitRefused {
		return nil, fmt.Errorf("%w: %s", ErrNoPlace, said)
	}
	return nil, errors.New(said)
}
