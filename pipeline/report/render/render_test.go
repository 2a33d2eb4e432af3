package render_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/dotenv"
	"gitlab.com/pantheros/pantheros/pipeline/report/render"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden renders the reports of package report's tests; their JSON,
// Markdown and tables are held there.
func TestGolden(t *testing.T) {
	scenarios, err := filepath.Glob("../testdata/*/report.json")
	if err != nil || len(scenarios) < 5 {
		t.Fatalf("found %d reports: %v", len(scenarios), err)
	}
	for _, file := range scenarios {
		r, err := report.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range render.Formats {
			switch f.Name {
			case "json", "markdown", "table":
				continue
			}
			t.Run(filepath.Base(filepath.Dir(file))+"/"+f.Name, func(t *testing.T) {
				var got bytes.Buffer
				if err := f.Write(&got, r); err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join(filepath.Dir(file), f.File)
				if *update {
					if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got.String()); diff != "" {
					t.Errorf("%s (-want +got); run with -update if that is meant:\n%s", golden, diff)
				}
				switch f.Name {
				case "junit":
					checkXML(t, got.Bytes())
				case "metrics":
					checkMetrics(t, got.String())
				case "dotenv":
					checkDotenv(t, got.String())
				}
				if strings.Contains(got.String(), "hunter2") {
					t.Error("a credential is in the output")
				}
			})
		}
	}
}

func checkXML(t *testing.T, data []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok {
			switch e.Name.Local {
			case "testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out":
			default:
				t.Errorf("there is a <%s>", e.Name.Local)
			}
		}
	}
}

// checkMetrics holds the text to the grammar of OpenMetrics 1.0, as far as
// gauges need it.
func checkMetrics(t *testing.T, text string) {
	t.Helper()
	line := regexp.MustCompile(`^(# (TYPE|UNIT|HELP) [a-z_]+ .+|# EOF|[a-z_]+(\{([a-z_]+="([^"\\]|\\["\\n])*",?)+\})? -?[0-9.]+)$`)
	for l := range strings.Lines(text) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("no line of OpenMetrics: %q", l)
		}
	}
	if !strings.HasSuffix(text, "\n# EOF\n") {
		t.Error("it does not end in # EOF")
	}
}

// checkDotenv holds the text to what GitLab takes.
func checkDotenv(t *testing.T, text string) {
	t.Helper()
	line := regexp.MustCompile(`^[A-Z][A-Z_]*=[A-Za-z0-9._ -]*\n$`)
	n := 0
	for l := range strings.Lines(text) {
		if n++; !line.MatchString(l) {
			t.Errorf("no variable: %q", l)
		}
	}
	if n > 50 || len(text) > 5<<10 {
		t.Errorf("%d variables in %d bytes", n, len(text))
	}
}

// TestDotenvOfManyHosts: a fleet of any size gives a file that GitLab takes.
func TestDotenvOfManyHosts(t *testing.T) {
	r := &report.Report{Status: report.Failed}
	for i := range 1000 {
		r.Hosts = append(r.Hosts, report.Host{Name: fmt.Sprintf("a-machine-in-the-hall-%d", i), Status: report.Failed})
	}
	var got strings.Builder
	if err := dotenv.Write(&got, r); err != nil {
		t.Fatal(err)
	}
	checkDotenv(t, got.String())
	for _, want := range []string{"PANTHEROS_HOSTS_FAILED=1000\n", " ...\n"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is not in\n%s", want, got.String())
		}
	}
}

func TestFiles(t *testing.T) {
	r, err := report.ReadFile("../testdata/green/report.json")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	if err := render.Files(dir, r); err != nil {
		t.Fatal(err)
	}
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := []string{"junit.xml", "metrics.txt", "report.env", "report.html", "report.json", "report.md", "run.json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
