package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/journal"
	"gitlab.com/pantheros/pantheros/internal/nixconf"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

// maxReportFile bounds a file of a report that is put or fetched.
const maxReportFile = 512 << 20

func newReports() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reports",
		Short: "Keep the reports of runs beside a cache's paths",
		Long: `Keeps reports of runs in a cache's own storage below reports/: a folder for each
run, and index.json, which lists the newest. Garbage collection leaves them
alone.

A report is a folder of files, one of which is run.json, the run in a few lines.
A cache behind a web server can be read; an Attic server has no place for files.

` + exitCodes,
		Example: `  pcache reports put s3://nix-cache out/report
  pcache reports list s3://nix-cache
  pcache reports cat s3://nix-cache latest report.json
  pcache reports get s3://nix-cache public`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q (see pcache reports --help)", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newReportsPut(), newReportsPage(), newReportsList(), newReportsGet(), newReportsCat())
	return cmd
}

// openReports opens a cache's storage for its reports.
func openReports(text string, write bool) (address, error) {
	a, err := openAddress(text)
	switch {
	case err != nil:
	case a.attic != nil:
		err = &binarycache.RefusedError{Cache: a.name, Reason: "an Attic server keeps store paths and has no place for reports; use file:///dir or s3://bucket"}
	case write && a.store == nil:
		err = usagef("cache %q can only be read: name the storage behind it, file:///dir or s3://bucket", text)
	}
	return a, err
}

// storage is what journal.List reads: it lists where it can.
func (a address) storage() blob.Reader {
	if a.store != nil {
		return a.store
	}
	return a.reader
}

func newReportsPut() *cobra.Command {
	var name string
	var keep int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "put CACHE DIR",
		Short: "Add the report in a folder",
		Long: `Adds the files of a folder (not those of folders in it, nor hidden ones) as the
report of a run, removes all but the newest --keep runs, and writes the index.
Several may do so at the same time.

` + exitCodes,
		Example: "  pcache reports put --keep 100 s3://nix-cache out/report",
		Args:    exactly(2, "it wants a cache and the folder of a report"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if keep < 1 {
				return usagef("--keep %d: want 1 or more", keep)
			}
			if name == "" {
				name = report.RunName(time.Now())
			}
			if err := journal.CheckName(name); err != nil {
				return usagef("--name: %v", err)
			}
			files, err := reportFiles(args[1])
			if err != nil {
				return err
			}
			a, err := openReports(args[0], true)
			if err != nil {
				return err
			}
			index, err := journal.Put(cmd.Context(), a.store, name, files, keep)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), index)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "run %s: %s; %s has %s\n", name,
				report.Plural(len(files), "file"), a.name, report.Plural(len(index.Runs), "run"))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name of the run, like 20260302T023000Z-1f0c2a: its time in UTC, and what tells it apart (default: now)")
	f.IntVar(&keep, "keep", 200, "how many runs to keep")
	f.BoolVar(&asJSON, "json", false, "print the index as JSON on standard output")
	return cmd
}

// reportFiles are the files of a report's folder.
func reportFiles(dir string) ([]journal.Content, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, usagef("the folder of the report: %v", err)
	}
	var files []journal.Content
	summary := false
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !e.Type().IsRegular() {
			continue
		}
		if err := journal.CheckFile(e.Name()); err != nil {
			return nil, usagef("%s: %v", dir, err)
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if info.Size() > maxReportFile {
			return nil, usagef("%s: %s is larger than %s", dir, e.Name(), bytesText(maxReportFile))
		}
		path := filepath.Join(dir, e.Name())
		files = append(files, journal.Content{
			File: journal.File{Name: e.Name(), Size: info.Size()},
			Open: func() (io.ReadCloser, error) { return os.Open(path) },
		})
		summary = summary || e.Name() == journal.Summary
	}
	if !summary {
		return nil, usagef("%s has no %s: it is not the folder of a report (panther report FILE --summary %s makes one)",
			dir, journal.Summary, filepath.Join(dir, journal.Summary))
	}
	return files, nil
}

func newReportsPage() *cobra.Command {
	return &cobra.Command{
		Use:     "page CACHE FILE",
		Short:   "Set the page that shows the history of runs",
		Long:    "Stores FILE as reports/index.html, beside the folders of the runs.\n\n" + exitCodes,
		Example: "  pcache reports page file:///srv/cache history.html",
		Args:    exactly(2, "it wants a cache and a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[1])
			if err != nil {
				return usagef("the page: %v", err)
			}
			a, err := openReports(args[0], true)
			if err != nil {
				return err
			}
			if err := a.store.Put(cmd.Context(), journal.IndexPage, bytes.NewReader(data), int64(len(data))); err != nil {
				return fmt.Errorf("write %s: %w", journal.IndexPage, err)
			}
			return nil
		},
	}
}

func newReportsList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list CACHE",
		Short:   "List the runs whose reports are kept, the newest first",
		Long:    "Lists the runs. With --json it prints the index, with each run's run.json in it.\n\n" + exitCodes,
		Example: "  pcache reports list --json s3://nix-cache",
		Args:    exactly(1, "it wants a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := openReports(args[0], false)
			if err != nil {
				return err
			}
			index, err := journal.List(cmd.Context(), a.storage())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), index)
			}
			var b strings.Builder
			for _, r := range index.Runs {
				b.WriteString(runLine(r) + "\n")
			}
			_, err = io.WriteString(cmd.OutOrStdout(), b.String())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the index as JSON on standard output")
	return cmd
}

// runLine is a run for people: its name, what its report takes, and what came
// of it, where its summary is one that this version can read.
func runLine(r journal.Run) string {
	var size int64
	for _, f := range r.Files {
		size += f.Size
	}
	line := fmt.Sprintf("%s  %9s", r.Name, bytesText(size))
	var s report.Summary
	if json.Unmarshal(r.Summary, &s) != nil || s.Schema != report.SummarySchema {
		return line
	}
	passed := 0
	for _, h := range s.Hosts {
		if h.Status == report.Passed {
			passed++
		}
	}
	line += fmt.Sprintf("  %-11s  %d of %s, %s", s.Status, passed, report.Plural(len(s.Hosts), "host"), report.Duration(s.Seconds))
	if n := len(s.Regressions); n > 0 {
		line += ", " + report.Plural(n, "regression")
	}
	return line
}

func newReportsCat() *cobra.Command {
	return &cobra.Command{
		Use:     "cat CACHE RUN FILE",
		Short:   "Print a file of a run; RUN may be latest",
		Long:    "Prints a file of a run's report on standard output.\n\n" + exitCodes,
		Example: "  pcache reports cat s3://nix-cache latest report.json",
		Args:    exactly(3, "it wants a cache, a run and a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := journal.CheckFile(args[2]); err != nil {
				return usagef("%v", err)
			}
			a, err := openReports(args[0], false)
			if err != nil {
				return err
			}
			run := args[1]
			if run == "latest" {
				index, err := journal.List(cmd.Context(), a.storage())
				if err != nil {
					return err
				}
				if len(index.Runs) == 0 {
					return fmt.Errorf("%s has no reports: %w", a.name, blob.ErrNotExist)
				}
				run = index.Runs[0].Name
			} else if err := journal.CheckName(run); err != nil {
				return usagef("%v, or latest", err)
			}
			data, err := blob.ReadAll(cmd.Context(), a.storage(), journal.Key(run, args[2]), maxReportFile)
			if err != nil {
				return fmt.Errorf("run %s of %s: %w", run, a.name, err)
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
}

func newReportsGet() *cobra.Command {
	return &cobra.Command{
		Use:   "get CACHE DIR",
		Short: "Fetch all reports into a folder",
		Long: `Fetches index.json, index.html and the files of all runs into a folder, which
can be published as it is. What is there with the same content is not fetched
again, and nothing is removed.

` + exitCodes,
		Example: "  pcache reports get s3://nix-cache public",
		Args:    exactly(2, "it wants a cache and a folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := openReports(args[0], false)
			if err != nil {
				return err
			}
			index, err := journal.List(cmd.Context(), a.storage())
			if err != nil {
				return err
			}
			fetched, err := getReports(cmd.Context(), a.storage(), index, args[1])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d files of %d runs fetched\n", fetched, len(index.Runs))
			return err
		},
	}
}

// same reports whether there is a file at path that is f.
func same(path string, f journal.File) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != f.Size || f.SHA256 == "" {
		return false
	}
	data, err := os.ReadFile(path)
	return err == nil && sum(data) == f.SHA256
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

func getReports(ctx context.Context, r blob.Reader, index journal.Index, dir string) (fetched int, err error) {
	for _, run := range index.Runs {
		into := filepath.Join(dir, run.Name)
		if err := os.MkdirAll(into, 0o755); err != nil {
			return fetched, err
		}
		for _, f := range run.Files {
			path := filepath.Join(into, f.Name)
			if same(path, f) {
				continue
			}
			data, err := blob.ReadAll(ctx, r, journal.Key(run.Name, f.Name), maxReportFile)
			if errors.Is(err, blob.ErrNotExist) {
				continue // it was removed meanwhile, as too old
			}
			if err == nil && f.SHA256 != "" && sum(data) != f.SHA256 {
				err = fmt.Errorf("its content is not what %s says: %w", journal.Sums, binarycache.ErrDamaged)
			}
			if err == nil {
				err = nixconf.Write(path, string(data), 0o644, false)
			}
			if err != nil {
				return fetched, fmt.Errorf("fetch %s of run %s: %w", f.Name, run.Name, err)
			}
			fetched++
		}
	}
	var b bytes.Buffer
	if err := printJSON(&b, index); err != nil {
		return fetched, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fetched, err
	}
	if err := nixconf.Write(filepath.Join(dir, "index.json"), b.String(), 0o644, false); err != nil {
		return fetched, err
	}
	page, err := blob.ReadAll(ctx, r, journal.IndexPage, maxReportFile)
	if errors.Is(err, blob.ErrNotExist) {
		return fetched, nil
	}
	if err == nil {
		err = nixconf.Write(filepath.Join(dir, "index.html"), string(page), 0o644, false)
	}
	return fetched, err
}
