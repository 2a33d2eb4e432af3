package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/render"
)

func newReport(a *app) *cobra.Command {
	targets := make(map[string]*string)
	otlp := false
	cmd := &cobra.Command{
		Use:   "report FILE",
		Short: "Render a stored report.json, or compare two",
		Long: `report reads the report.json of an earlier run, or the one in a report folder, and
writes it in the forms that are asked for; "-" is standard output. Without any it
prints the table that build-all ends with. It needs no flake and no Nix.

A report of any version of panther with the schema pantheros.report/1 can be read:
what an older one did not record is left out, what a newer one added is ignored.

With --otlp it is sent as an OpenTelemetry trace to the endpoint that the
environment names, with the times that it holds; sending it again is the same trace.

Each file is replaced whole, and none is touched if one of the forms cannot be
made. Code 0 says that the report was rendered, whatever the run came to. A FILE
that is missing or no report is code 2, a form that cannot be written code 4.`,
		Example: `  panther report out/report
  panther report report.json --html report.html --junit junit.xml
  panther report report.json --markdown - | less
  panther report compare last-week.json out/report/report.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var wanted []target
			for _, f := range render.Formats {
				if path := targets[f.Name]; path != nil && cmd.Flags().Changed(f.Name) {
					wanted = append(wanted, target{f, *path})
				}
			}
			return a.report(cmd.Context(), args[0], wanted, otlp)
		},
	}
	for _, f := range render.Formats {
		if f.File != "" {
			targets[f.Name] = cmd.Flags().String(f.Name, "", "write "+f.Name+" to this file: "+f.About)
		}
	}
	cmd.Flags().BoolVar(&otlp, "otlp", false, "send it as a trace to OTEL_EXPORTER_OTLP_ENDPOINT")
	cmd.AddCommand(newReportCompare(a), newReportIndex(a))
	return cmd
}

func newReportCompare(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compare OLD NEW",
		Short: "Show what changed per host between two reports",
		Long: `compare shows for every host of two reports whether its outcome changed, how its
closure grew, and which packages came, went, changed their version or were rebuilt,
the heaviest first. With --json it prints NEW's report.json with its changes being
those since OLD.

OLD and NEW are report.json files or report folders. Code 0 says that they were
compared, whether or not anything differs. Reports of real inputs cannot be
compared with those of stand-ins: code 2.`,
		Example: `  panther report compare last-week.json out/report
  panther report compare old.json new.json --json | jq '.hosts[] | {name, changes}'`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := limits(cmd)
			if err != nil {
				return err
			}
			return a.compareReports(cmd.Context(), args[0], args[1], l)
		},
	}
	addLimits(cmd)
	return cmd
}

// target is a file that a report is to be written to in a format.
type target struct {
	format render.Format
	path   string // "-" is standard output
}

// report renders the report at path.
func (a *app) report(ctx context.Context, path string, wanted []target, otlp bool) error {
	source, rep, err := readReport(ctx, path)
	if err != nil {
		return err
	}
	if len(wanted) == 0 && !otlp {
		if err := report.Table(a.stdout, rep); err != nil {
			return environmentError("printing the report: %v", osCause(err))
		}
		return nil
	}
	seen := map[string]string{}
	for i, t := range wanted {
		if t.path != "-" {
			if wanted[i].path, err = t.place(source); err != nil {
				return err
			}
		}
		if other, ok := seen[wanted[i].path]; ok {
			return usageError("--%s and --%s are both %s", other, t.format.Name, t.path)
		}
		seen[wanted[i].path] = t.format.Name
	}
	contents := make([]bytes.Buffer, len(wanted))
	for i, t := range wanted {
		if err := t.format.Write(&contents[i], rep); err != nil {
			return environmentError("--%s: %v", t.format.Name, err)
		}
	}
	for i, t := range wanted {
		if ctx.Err() != nil {
			return &exitError{exitInterrupted, pipeline.ErrInterrupted}
		}
		if err := a.deliver(t, contents[i].Bytes()); err != nil {
			return environmentError("--%s: writing %s: %v", t.format.Name, t.path, osCause(err))
		}
	}
	if otlp {
		return a.sendTrace(ctx, rep)
	}
	return nil
}

// place is the absolute path, without symbolic links, of the file that t names.
// It must not be a folder, nor the report that is read, unless it is that again.
func (t target) place(source string) (string, error) {
	flag := "--" + t.format.Name
	if t.path == "" {
		return "", usageError("%s is empty; it has to be a file, or - for standard output", flag)
	}
	path, err := filepath.Abs(t.path)
	if err != nil {
		return "", environmentError("%s: %v", flag, err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if info, err := os.Stat(path); err == nil {
		if info.IsDir() {
			return "", usageError("%s: %s is a folder; name a file", flag, t.path)
		}
		if from, err := os.Stat(source); err == nil && os.SameFile(from, info) && info.Mode().IsRegular() && t.format.Name != "json" {
			return "", usageError("%s: %s is the report itself; name another file", flag, t.path)
		}
	}
	return path, nil
}

// deliver writes data to where t is wanted: a file is replaced whole, and what
// is there and no file, a pipe or a device, is written to.
func (a *app) deliver(t target, data []byte) error {
	write := func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
	if t.path == "-" {
		return write(a.stdout)
	}
	if info, err := os.Stat(t.path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(t.path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		err = write(f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		return err
	}
	return report.WriteAll(filepath.Dir(t.path), report.File{Name: filepath.Base(t.path), Write: write})
}

// compareReports shows what is different in the report at newPath.
func (a *app) compareReports(ctx context.Context, oldPath, newPath string, l report.Limits) error {
	_, prev, err := readReport(ctx, oldPath)
	if err != nil {
		return err
	}
	_, cur, err := readReport(ctx, newPath)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := report.Difference(&out, prev, cur, l); err != nil {
		return usageError("%s and %s: %v", oldPath, newPath, err)
	}
	if a.json {
		out.Reset()
		if err := cur.Write(&out); err != nil {
			return environmentError("%v", err)
		}
	}
	if _, err := a.stdout.Write(out.Bytes()); err != nil {
		return environmentError("printing the comparison: %v", osCause(err))
	}
	return nil
}

// readReport reads the report at path, a file or a report folder, and says
// which file it was. It does not wait longer than ctx for a pipe.
func readReport(ctx context.Context, path string) (string, *report.Report, error) {
	if path == "" {
		return "", nil, usageError("the name of the report is empty")
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, report.JSONFile)
	}
	type answer struct {
		rep *report.Report
		err error
	}
	read := make(chan answer, 1)
	go func() {
		rep, err := report.ReadFile(path)
		read <- answer{rep, err}
	}()
	select {
	case <-ctx.Done():
		return "", nil, &exitError{exitInterrupted, pipeline.ErrInterrupted}
	case r := <-read:
		if r.err != nil {
			return "", nil, &exitError{exitUsage, fmt.Errorf("%w", r.err)}
		}
		return path, r.rep, nil
	}
}
