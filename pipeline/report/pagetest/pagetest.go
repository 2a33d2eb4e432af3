// Package pagetest opens pages of the project in a real browser without a
// screen and says what is wrong with them. For tests only.
package pagetest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Browser is a Chromium that tests share.
type Browser struct {
	ctx context.Context
	axe string
}

// Start starts the browser of PANTHEROS_CHROMIUM or PATH. It ends with the
// test. PANTHEROS_AXE is the folder of axe.min.js, see tools/axe/prepare.
func Start(t testing.TB) *Browser {
	t.Helper()
	dir := os.Getenv("PANTHEROS_AXE")
	axe, err := os.ReadFile(filepath.Join(dir, "axe.min.js"))
	if dir == "" || err != nil {
		t.Fatalf("PANTHEROS_AXE does not name the folder of axe.min.js; run the tests with make test, or PANTHEROS_AXE=$(tools/axe/prepare .panther/axe)")
	}
	program := os.Getenv("PANTHEROS_CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); program == "" && err == nil {
			program = found
		}
	}
	if program == "" {
		t.Fatal("there is no chromium on PATH (apt-get install chromium), and PANTHEROS_CHROMIUM does not name one")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(60*time.Second),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses its sandbox to root
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, stop := chromedp.NewContext(alloc)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the browser's end, so that its folder can go
		stop()
		stopAlloc()
	})
	return &Browser{ctx: ctx, axe: string(axe)}
}

// Screen is how a page is looked at.
type Screen struct {
	Width, Height int64
	Dark          bool
}

// The screens that pages are meant for.
var (
	Desktop     = Screen{1280, 900, false}
	DesktopDark = Screen{1280, 900, true}
	Phone       = Screen{390, 844, false}
	PhoneDark   = Screen{390, 844, true}
)

func (s Screen) String() string {
	return fmt.Sprintf("%dx%d,dark=%v", s.Width, s.Height, s.Dark)
}

// Page is an open page.
type Page struct {
	// Ready is the time from the navigation to the end of the load event.
	Ready time.Duration

	ctx      context.Context
	b        *Browser
	mu       sync.Mutex
	requests []string
	console  []string
}

// Open opens a file. Its tab closes with the test.
func (b *Browser) Open(t testing.TB, file string, s Screen) *Page {
	t.Helper()
	p := &Page{b: b}
	ctx, stop := chromedp.NewContext(b.ctx, chromedp.WithListener(p.listen))
	t.Cleanup(stop)
	p.ctx = ctx
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if s.Dark {
		scheme = "dark"
	}
	address := (&url.URL{Scheme: "file", Path: abs}).String()
	look := chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{})
		if err == nil {
			_, err = cdp.Call(ctx, t, log.Enable, cdp.Empty{})
		}
		if err == nil {
			_, err = cdp.Call(ctx, t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
				Width: s.Width, Height: s.Height, DeviceScaleFactor: 1, Mobile: s.Width < 600,
			})
		}
		if err == nil {
			_, err = cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
		}
		return err
	})
	if err := chromedp.Do(ctx, look, chromedp.Navigate(address)); err != nil {
		t.Fatalf("opening %s: %v", file, err)
	}
	ready := Eval[float64](t, p, `performance.getEntriesByType("navigation")[0].loadEventEnd`)
	p.Ready = time.Duration(ready * float64(time.Millisecond))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if r != address && !strings.HasPrefix(r, "data:") {
			t.Errorf("%s: the page asked for %s", s, r)
		}
	}
	return p
}

func (p *Page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *log.EventEntryAdded:
		p.console = append(p.console, string(e.Entry.Level)+": "+e.Entry.Text)
	case *runtime.EventConsoleAPICalled:
		p.console = append(p.console, fmt.Sprintf("console.%s", e.Type))
	case *runtime.EventExceptionThrown:
		p.console = append(p.console, "exception: "+e.ExceptionDetails.Text)
	}
}

// Eval runs JavaScript in a page and decodes what it gives, which may be a
// promise.
func Eval[T any](t testing.TB, p *Page, js string) T {
	t.Helper()
	got, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("in the page: %v", err)
	}
	return got
}

func (p *Page) press(t testing.TB, key string) {
	t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.KeyEvent(key)); err != nil {
		t.Fatalf("pressing a key: %v", err)
	}
}

// Check fails the test for messages on the console, violations of
// accessibility rules (all of axe's: WCAG 2 A and AA, best practices), content
// wider than the screen, and charts without text.
func (p *Page) Check(t testing.TB) {
	t.Helper()
	p.checkAxe(t)
	p.checkCharts(t)
	wide := Eval[struct{ Page, Screen int }](t, p, `({Page: document.documentElement.scrollWidth, Screen: document.documentElement.clientWidth})`)
	if wide.Page > wide.Screen {
		t.Errorf("the page is %d pixels wide on a screen of %d", wide.Page, wide.Screen)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.console {
		t.Errorf("on the console: %s", line)
	}
}

func (p *Page) checkAxe(t testing.TB) {
	t.Helper()
	Eval[chromedp.Void](t, p, p.b.axe)
	type outcome struct {
		Passes     int
		Violations []struct {
			ID, Help string
			Nodes    []string
		}
	}
	result := Eval[outcome](t, p, `axe.run(document, {resultTypes: ["violations", "passes"]}).then(r => ({
		Passes: r.passes.length,
		Violations: r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.slice(0, 4).map(n => n.html.slice(0, 200) + " | " + n.failureSummary.slice(0, 300))})),
	}))`)
	if result.Passes < 10 {
		t.Errorf("axe checked only %d rules", result.Passes)
	}
	for _, v := range result.Violations {
		t.Errorf("axe: %s (%s): %s", v.ID, v.Help, strings.Join(v.Nodes, "\n  "))
	}
}

// checkCharts holds that every drawing is either decoration beside text that
// says the same, or says in words what it shows.
func (p *Page) checkCharts(t testing.TB) {
	t.Helper()
	problems := Eval[[]string](t, p, `[...document.querySelectorAll("svg")].flatMap(s => {
		if (s.parentElement.closest("svg")) return [];
		if (s.getAttribute("aria-hidden") === "true") return [];
		const label = s.getAttribute("aria-label") || "";
		if (s.getAttribute("role") !== "img" || label.trim().length < 10) return ["no text for " + s.outerHTML.slice(0, 120)];
		return [];
	}).concat([...document.querySelectorAll("figure")].flatMap(f =>
		f.querySelector("figcaption") && (f.querySelector("table") || f.querySelector(".lane .num")) ? [] : ["a figure without a caption or the same in text: " + f.outerHTML.slice(0, 120)]))`)
	for _, problem := range problems {
		t.Error(problem)
	}
}

// CheckKeyboard presses Tab until the focus has been everywhere, and fails the
// test for what it does not reach or what Enter does not open.
func (p *Page) CheckKeyboard(t testing.TB) {
	t.Helper()
	wanted := Eval[int](t, p, `window.reachable = [...document.querySelectorAll("a[href], summary, [tabindex='0'], button, input")].filter(e => e.checkVisibility()), window.seen = new Set(), document.activeElement.blur(), window.scrollTo(0, 0), reachable.length`)
	if wanted == 0 {
		t.Error("nothing on the page takes the focus")
	}
	const most = 400
	for range min(wanted+2, most) {
		p.press(t, "\t")
		Eval[int](t, p, `seen.add(document.activeElement).size`)
	}
	missed := Eval[[]string](t, p, `reachable.filter(e => !seen.has(e)).map(e => e.outerHTML.slice(0, 120))`)
	if wanted <= most {
		for _, m := range missed {
			t.Errorf("the keyboard does not reach %s", m)
		}
	}
	if !Eval[bool](t, p, `(() => { const s = reachable.find(e => e.localName === "summary"); if (!s) return false; s.focus(); window.was = s.parentElement.open; return true })()`) {
		return
	}
	p.press(t, "\r")
	if !Eval[bool](t, p, `document.activeElement.parentElement.open !== was`) {
		t.Error("Enter does not open details")
	}
}

// Screenshot writes a picture of the whole page.
func (p *Page) Screenshot(t testing.TB, file string) {
	t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("taking a picture: %v", err)
	}
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
