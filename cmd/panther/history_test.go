package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/pipeline/report"
	"gitlab.com/pantheros/pantheros/pipeline/report/pagetest"
)

// kept lists the runs of a history, the newest first.
func kept(t *testing.T, address string) (runs []struct {
	Name    string
	Summary report.Summary
}) {
	t.Helper()
	out, err := exec.Command(filepath.Join(programs, "pcache"), "reports", "list", "--json", address).Output()
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Runs []struct {
			Name    string
			Summary report.Summary
		}
	}
	if err := json.Unmarshal(out, &index); err != nil {
		t.Fatal(err)
	}
	return index.Runs
}

// Each run is added to the cache's own storage, red ones too, and the next is
// compared with the newest there, wherever its own report goes.
func TestHistory(t *testing.T) {
	c := newFleet(t)
	cache := "file://" + filepath.Join(c.dir, "out/cache")
	first := c.panther(t, "build-all").want(t, 0)
	contains(t, first.stdout, "history "+filepath.Join(c.dir, "out/cache/reports/index.html"))
	began := c.report(t).Run.Started
	c.configure(t, "beta", `{ script = "exit 3"; }`)
	c.panther(t, "build-all", "--report", filepath.Join(c.dir, "elsewhere")).want(t, 1)
	second, err := report.ReadFile(filepath.Join(c.dir, "elsewhere/report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if second.Previous == nil || !second.Previous.Started.Equal(began) {
		t.Errorf("compared with %+v, not with the run of %s", second.Previous, began)
	}
	if l := second.Previous.Limits; l == nil || *l != report.DefaultLimits {
		t.Errorf("limits %+v", l)
	}
	runs := kept(t, cache)
	if len(runs) != 2 || runs[0].Summary.Status != report.Failed || runs[1].Summary.Status != report.Passed {
		t.Fatalf("the history has %+v", runs)
	}
	if name := runs[1].Name; !strings.HasPrefix(name, began.UTC().Format("20060102T150405Z-")) {
		t.Errorf("the run of %s is called %s", began, name)
	}
	stored, err := report.ReadFile(filepath.Join(c.dir, "out/cache/reports", runs[0].Name, "report.json"))
	if err != nil || stored.Run.Started != second.Run.Started {
		t.Errorf("%v, the stored report is of %s", err, stored.Run.Started)
	}

	// It is bounded, and a report that is named is what is compared with.
	old := filepath.Join(c.dir, "old.json")
	data, err := os.ReadFile(filepath.Join(c.dir, "out/report/report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, data, 0o644); err != nil {
		t.Fatal(err)
	}
	c.panther(t, "build-all", "--previous", old, "--history-keep", "2", "--max-growth", "2.5", "--max-slowdown", "3").want(t, 1)
	third := c.report(t)
	if runs := kept(t, cache); len(runs) != 2 || !runs[0].Summary.Started.Equal(third.Run.Started) {
		t.Errorf("the history has %+v", runs)
	}
	want := report.Limits{Growth: 0.025, Slowdown: 3, LeastSeconds: 30}
	if p := third.Previous; p == nil || !p.Started.Equal(began) || *p.Limits != want {
		t.Errorf("compared with %+v", p)
	}
	pages := filepath.Join(c.dir, "out/cache/reports")
	openPages(t, filepath.Join(c.dir, "out/report/report.html"), filepath.Join(pages, "index.html"))

	// The same again for whoever asks, without a flake and without Nix.
	index := func(code int, args ...string) result {
		t.Helper()
		cmd := exec.Command(filepath.Join(programs, "panther"), append([]string{"report", "index"}, args...)...)
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + cmd.Dir}
		return finish(t, cmd).want(t, code)
	}
	contains(t, index(0, cache).stdout, "testfleet, 2 runs of offline inputs: 4 of 6 builds succeeded", "BELOW the goal of 95 %", "beta   0 of 2     build failed")
	made := index(0, cache, "--html", "-").stdout
	html, err := os.ReadFile(filepath.Join(pages, "index.html"))
	if err != nil || made != string(html) {
		t.Errorf("%v, the page that build-all stored is another", err)
	}
	if index(0, filepath.Join(pages, "index.json"), "--html", "-").stdout != made || index(0, pages, "--html", "-").stdout != made {
		t.Error("the page of the index in a file is another")
	}
	if err := os.Remove(filepath.Join(pages, "index.html")); err != nil {
		t.Fatal(err)
	}
	contains(t, index(0, cache, "--store").stderr, "stored: "+filepath.Join(pages, "index.html"))
	if again, err := os.ReadFile(filepath.Join(pages, "index.html")); err != nil || string(again) != made {
		t.Errorf("%v, the page that was stored again is another", err)
	}
	contains(t, index(2, filepath.Join(c.dir, "nowhere")).stderr, "there is no file", "a cache in a folder is file://")
	contains(t, index(2, pages, "--store").stderr, "is no cache")
	contains(t, index(2, old).stderr, `its schema is "pantheros.report/1"`)
	contains(t, index(4, "file://"+old).stderr, "reading the history in file://"+old)
}

// openPages opens what a real run left in a browser, as people would.
func openPages(t *testing.T, reportPage, indexPage string) {
	t.Helper()
	b := pagetest.Start(t)
	for file, screens := range map[string][]pagetest.Screen{
		reportPage: {pagetest.Desktop, pagetest.DesktopDark, pagetest.Phone, pagetest.PhoneDark},
		indexPage:  {pagetest.DesktopDark, pagetest.Phone},
	} {
		for _, screen := range screens {
			t.Run(filepath.Base(file)+"/"+screen.String(), func(t *testing.T) {
				p := b.Open(t, file, screen)
				p.Check(t)
				if screen == pagetest.Desktop || file == indexPage {
					p.CheckKeyboard(t)
				}
				verdict := pagetest.Eval[string](t, p, `document.querySelector("h1").textContent`)
				want := "beta failed; 2 of 3 hosts built and pushed."
				if file == indexPage {
					want = "67\u00a0% of builds succeeded, below the goal of 95\u00a0%."
				}
				if verdict != want {
					t.Errorf("the verdict is %q, want %q", verdict, want)
				}
				if dir := os.Getenv("PANTHEROS_SCREENSHOTS"); dir != "" {
					p.Screenshot(t, filepath.Join(dir, strings.NewReplacer("/", "_", ",", "_").Replace(t.Name())+".png"))
				}
			})
		}
	}
	// Every link leads to a report that is there.
	p := b.Open(t, indexPage, pagetest.Desktop)
	links := pagetest.Eval[[]string](t, p, `[...new Set([...document.querySelectorAll("a[href$='.html']")].map(a => a.getAttribute("href")))]`)
	if len(links) != 2 {
		t.Errorf("the page has links to %q", links)
	}
	for _, link := range links {
		if _, err := os.Stat(filepath.Join(filepath.Dir(indexPage), link)); err != nil {
			t.Error(err)
		}
	}
}

// A history that cannot be written or read is a warning, and the run is what it
// is; without one the report folder has what to compare with.
func TestHistoryFails(t *testing.T) {
	c := newFleet(t)
	file := filepath.Join(c.dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := c.panther(t, "build-all", "--history", "file://"+file).want(t, 0)
	contains(t, r.stderr, "history: reading the history in file://"+file, "panther: the run is not in the history: adding the run to the history in file://"+file)
	if strings.Contains(r.stdout, "history ") {
		t.Errorf("it is said where the history is:\n%s", r.stdout)
	}
	began := c.report(t).Run.Started
	r = c.panther(t, "build-all", "--history", "none").want(t, 0)
	if strings.Contains(r.stdout+r.stderr, "history") {
		t.Errorf("it speaks of the history:\n%s%s", r.stdout, r.stderr)
	}
	if p := c.report(t).Previous; p == nil || !p.Started.Equal(began) {
		t.Errorf("compared with %+v", p)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "out/cache/reports")); err == nil {
		t.Error("the run was added to a history")
	}
	for _, tt := range []struct{ flag, value, want string }{
		{"--history", "https://cache.example.org", "a server does not take reports"},
		{"--history", "attic+https://cache.example.org/main", "a server does not take reports"},
		{"--history-keep", "0", "it has to be 1 or more"},
		{"--max-growth", "-1", "it has to be 0 or more per cent"},
		{"--max-slowdown", "0.5", "it has to be 1 or more times"},
		{"--max-slowdown", "NaN", "it has to be 1 or more times"},
	} {
		contains(t, c.panther(t, "build-all", tt.flag, tt.value).want(t, 2).stderr, tt.flag, tt.want)
	}
}
