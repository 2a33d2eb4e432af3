// Package render names the forms that a report comes in, and writes them.
package render

import (
	"io"

	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/dotenv"
	"gitlab.com/pantheros/pantheros/pipeline/report/junit"
	"gitlab.com/pantheros/pantheros/pipeline/report/metrics"
	"gitlab.com/pantheros/pantheros/pipeline/report/page"
)

// Format is a form that a report comes in.
type Format struct {
	Name  string // "html", as the command line has it
	File  string // "report.html", its name in a report folder
	About string // one line
	Write func(io.Writer, *report.Report) error
}

// Formats are all formats. The first is the one that the others are made from.
var Formats = []Format{
	{"json", report.JSONFile, "all that is known, for programs", func(w io.Writer, r *report.Report) error { return r.Write(w) }},
	{"markdown", report.MarkdownFile, "for a merge request note", report.Markdown},
	{"html", "report.html", "a page that stands by itself", page.Write},
	{"junit", "junit.xml", "JUnit XML, for GitLab's test tab", junit.Write},
	{"metrics", "metrics.txt", "OpenMetrics, for GitLab's metrics report", metrics.Write},
	{"summary", report.SummaryFile, "the run in a few lines, for a history of runs", report.WriteSummary},
	{"dotenv", "report.env", "variables, for later jobs of a GitLab pipeline", dotenv.Write},
	{"table", "", "a table for a terminal", report.Table},
}

// Files writes r into dir in every format that has a file. All are complete
// on disk before the first gets its name.
func Files(dir string, r *report.Report) error {
	var files []report.File
	for _, f := range Formats {
		if f.File != "" {
			files = append(files, report.File{Name: f.File, Write: func(w io.Writer) error { return f.Write(w, r) }})
		}
	}
	return report.WriteAll(dir, files...)
}
