package page_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/page"
	"gitlab.com/pantheros/pantheros/pipeline/report/pagetest"
	"gitlab.com/pantheros/pantheros/pipeline/report/trend"
)

// nights are summaries of so many nights, the oldest first: now and then a host
// fails, a run is interrupted, a closure grows, a build takes long.
func nights(n, hosts int) []report.Summary {
	names := []string{"desktop", "ovh-cloud-vps", "yoga", "zephyrus"}
	for i := len(names); i < hosts; i++ {
		names = append(names, fmt.Sprintf("zz-host%03d", i))
	}
	first := time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC)
	var list []report.Summary
	for i := range n {
		missing := 0
		s := report.Summary{
			Schema: report.SummarySchema, Status: report.Passed, Fleet: "pantherOS", Started: first.AddDate(0, 0, i),
			Seconds: 640 + float64(i*37%180), Inputs: "real", Commit: fmt.Sprintf("%07x", 0x9c41e07+i*7919),
			SentBytes: int64(30+i*97%400) << 20, ChecksPassed: 3 + 4*hosts, ChecksTotal: 3 + 4*hosts, CISMissing: &missing,
		}
		for k, name := range names[:hosts] {
			h := report.SummaryHost{
				Name: name, Status: report.Passed, Result: "passed",
				ClosureBytes: int64(5200+310*(k%7)+i*(6+k%4)+i*i%23) << 20, ClosurePaths: 1900 + 11*i, SentBytes: s.SentBytes / int64(hosts),
			}
			if i > n/2 && k == 3 {
				h.ClosureBytes += 900 << 20
			}
			build := 200 + float64((i*53+k*31)%90)
			if i == n*3/4 && k == 2 {
				build *= 2.4
				s.Regressions = append(s.Regressions, report.Regression{Host: name, Kind: report.RegressionStep, Step: "build", BeforeSeconds: build / 2.4, AfterSeconds: build})
			}
			if i == n/2+1 && k == 3 {
				s.Regressions = append(s.Regressions, report.Regression{Host: name, Kind: report.RegressionClosure, BeforeBytes: h.ClosureBytes - 900<<20, AfterBytes: h.ClosureBytes})
			}
			status := report.Passed
			switch {
			case i%11 == 6 && k == 1:
				h.Status, h.Result, status = report.Failed, "build failed", report.Failed
				h.ClosureBytes, h.SentBytes = 0, 0
				s.Status = report.Failed
			case i == n/3 && k > 1:
				h.Status, h.Result, status = report.Interrupted, "interrupted in build", report.Interrupted
				s.Status = report.Interrupted
			}
			h.Steps = []report.SummaryStep{{Name: "evaluate", Status: report.Passed, Seconds: 20}, {Name: "build", Status: status, Seconds: build}, {Name: "push", Status: report.Passed, Seconds: 30}}
			s.ClosureBytes = max(s.ClosureBytes, h.ClosureBytes*3/2)
			s.Hosts = append(s.Hosts, h)
		}
		list = append(list, s)
	}
	return list
}

// indexOf is the index of such runs, as pcache writes it.
func indexOf(t *testing.T, runs []report.Summary) []byte {
	t.Helper()
	type file struct {
		Name string `json:"name"`
		Size int64  `json:"size"`
	}
	type run struct {
		Name    string         `json:"name"`
		Files   []file         `json:"files"`
		Summary report.Summary `json:"summary"`
	}
	index := struct {
		Schema string `json:"schema"`
		Runs   []run  `json:"runs"`
	}{Schema: trend.Schema, Runs: []run{}}
	for _, s := range slices.Backward(runs) {
		index.Runs = append(index.Runs, run{
			Name: s.Started.UTC().Format("20060102T150405Z") + "-1f0c2a", Summary: s,
			Files: []file{{"report.html", 100}, {"report.json", 100}, {"run.json", 100}},
		})
	}
	data, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeHistory renders an index into a folder of its own.
func writeHistory(t *testing.T, index []byte) (file string, text []byte) {
	t.Helper()
	x, err := trend.Read(bytes.NewReader(index))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := page.WriteHistory(&b, x); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "index.html")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, b.Bytes()
}

func TestHistoryBrowser(t *testing.T) {
	b := pagetest.Start(t)
	offline := nights(2, 4)
	offline[1].Inputs = "offline"
	for name, tt := range map[string]struct {
		runs    []report.Summary
		screens []pagetest.Screen
		verdict string
	}{
		"month":  {nights(42, 4), []pagetest.Screen{pagetest.Desktop, pagetest.DesktopDark, pagetest.Phone, pagetest.PhoneDark}, "97.5\u00a0% of builds succeeded, above the goal of 95\u00a0%."},
		"one":    {nights(1, 4), []pagetest.Screen{pagetest.Phone}, "100\u00a0% of builds succeeded, above the goal of 95\u00a0%."},
		"none":   {nil, []pagetest.Screen{pagetest.DesktopDark}, "No runs yet."},
		"mixed":  {offline, []pagetest.Screen{pagetest.Desktop}, "100\u00a0% of builds succeeded, above the goal of 95\u00a0%."},
		"failed": {nights(7, 4), []pagetest.Screen{pagetest.Desktop}, "96.2\u00a0% of builds succeeded, above the goal of 95\u00a0%."},
	} {
		file, _ := writeHistory(t, indexOf(t, tt.runs))
		for _, screen := range tt.screens {
			t.Run(name+"/"+screen.String(), func(t *testing.T) {
				p := b.Open(t, file, screen)
				p.Check(t)
				if !screen.Dark {
					p.CheckKeyboard(t)
				}
				if got := pagetest.Eval[string](t, p, `document.querySelector("h1").textContent`); got != tt.verdict {
					t.Errorf("the verdict is %q, want %q", got, tt.verdict)
				}
				if dir := os.Getenv("PANTHEROS_SCREENSHOTS"); dir != "" {
					p.Screenshot(t, filepath.Join(dir, strings.NewReplacer("/", "_", ",", "_").Replace(t.Name())+".png"))
				}
			})
		}
	}
}

// TestHistoryChartsSayTheSame compares the charts with the tables beside them.
func TestHistoryChartsSayTheSame(t *testing.T) {
	b := pagetest.Start(t)
	file, _ := writeHistory(t, indexOf(t, nights(30, 4)))
	p := b.Open(t, file, pagetest.Desktop)
	for panel, column := range map[int]int{2: 3, 3: 4, 4: 5} {
		bars := pagetest.Eval[[]string](t, p, fmt.Sprintf(`[...document.querySelectorAll(".panel:nth-child(%d) rect title")].map(e => e.textContent.replace(/, [a-z]+$/, ""))`, panel))
		rows := pagetest.Eval[[]string](t, p, fmt.Sprintf(`[...document.querySelectorAll("#trend tbody tr")].map(e => e.children[0].textContent + ": " + e.children[%d].textContent).reverse()`, column-1))
		if len(bars) != 30 || !slices.Equal(bars, rows) {
			t.Errorf("panel %d has\n%q\nand the table\n%q", panel, bars, rows)
		}
	}
	failed := pagetest.Eval[[]string](t, p, `[...document.querySelectorAll(".strip")].map(e => e.parentElement.querySelector("h3").textContent + " " + [...e.querySelectorAll(".c-failed title")].map(t => t.textContent.slice(0, 10)).join(" "))`)
	table := pagetest.Eval[[]string](t, p, `[...document.querySelectorAll("#hosts tbody tr")].map(e => e.children[0].textContent + " " + e.children[8].textContent.replaceAll(/, | and /g, " "))`)
	if !slices.Equal(failed, table) || !slices.Contains(failed, "ovh-cloud-vps 2026-03-07 2026-03-18 2026-03-29") {
		t.Errorf("the strips show failures of %q, the table of %q", failed, table)
	}
	if n := pagetest.Eval[int](t, p, `document.querySelectorAll(".panel .h-flag").length`); n != 2 {
		t.Errorf("%d flags for two regressions", n)
	}
}

// TestHistoryLarge holds the page of hundreds of runs of a large fleet to the
// budget of a report.
func TestHistoryLarge(t *testing.T) {
	file, text := writeHistory(t, indexOf(t, nights(400, 300)))
	if len(text) >= 5_000_000 {
		t.Errorf("the page is %d bytes large", len(text))
	}
	b := pagetest.Start(t)
	const budget = 2 * time.Second
	fastest := time.Hour
	for deadline := time.Now().Add(time.Minute); fastest >= budget && time.Now().Before(deadline); {
		fastest = min(fastest, b.Open(t, file, pagetest.Desktop).Ready)
	}
	t.Logf("%d bytes, open after %v", len(text), fastest)
	if fastest <= 0 || fastest >= budget {
		t.Errorf("the page opens after %v", fastest)
	}
	for _, said := range []string{"50 more hosts, which did better, are in index.json", "100 more runs are in index.json"} {
		if !strings.Contains(string(text), said) {
			t.Errorf("it is not said that %s", said)
		}
	}
}

// TestHistoryHostile makes sure that nothing from outside becomes markup, and
// that links lead to reports beside the page and nowhere else.
func TestHistoryHostile(t *testing.T) {
	runs := nights(3, 4)
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	runs[2].Fleet, runs[2].Commit, runs[2].Error = evil, "javascript:alert(1)", evil
	runs[2].Hosts[0].Name, runs[2].Hosts[1].Result = evil, evil
	runs[2].Regressions = []report.Regression{{Host: evil, Kind: "step", Step: evil}}
	_, text := writeHistory(t, indexOf(t, runs))
	doc, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "img", "iframe", "object", "embed", "form", "base"}, n.Data) {
			t.Errorf("there is a <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" {
				t.Errorf("<%s> has the attribute %s=%q", n.Data, a.Key, a.Val)
			}
			report := strings.HasSuffix(a.Val, "-1f0c2a/report.html") && strings.HasPrefix(a.Val, "2026")
			if a.Key == "href" && !strings.HasPrefix(a.Val, "#") && a.Val != "data:," && !report {
				t.Errorf("<%s> refers to %q", n.Data, a.Val)
			}
			if report {
				links++
			}
		}
	}
	if links < 3 || strings.Contains(string(text), "ZgotmplZ") {
		t.Errorf("%d links", links)
	}
	for _, bad := range []string{"../../etc", "javascript:alert(1)", "20260301T023000Z-AB/x"} {
		index := strings.ReplaceAll(string(indexOf(t, runs[:1])), "20260301T023000Z-1f0c2a", bad)
		if _, err := trend.Read(strings.NewReader(index)); err == nil {
			t.Errorf("a run called %q is taken", bad)
		}
	}
}
