//go:build e2e

// Package e2e takes the Dagger module through its days, on the real engine:
// `make e2e`. It needs what tools/dagger/prepare makes, in PANTHEROS_DAGGER, and
// an engine that the dagger command on PATH reaches.
package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// TestMain sees to it that no call goes on when the tests are stopped: by a signal,
// or because go test was.
func TestMain(m *testing.M) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		tick := time.NewTicker(time.Second)
		parent := os.Getppid()
		for os.Getppid() == parent {
			select {
			case <-stop:
				parent = -1
			case <-tick.C:
			}
		}
		started.kill()
		os.Exit(1)
	}()
	os.Exit(m.Run())
}

// started are the programs that run, each the leader of a process group.
var started groups

type groups struct {
	mu   sync.Mutex
	pids map[int]bool
	over bool
}

// start starts a program in a process group of its own.
func (g *groups) start(cmd *exec.Cmd) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return errors.New("the tests are being stopped")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if g.pids == nil {
		g.pids = map[int]bool{}
	}
	g.pids[cmd.Process.Pid] = true
	return nil
}

// end kills what is left of a program's group, and waits for the program.
func (g *groups) end(cmd *exec.Cmd) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
	delete(g.pids, cmd.Process.Pid)
}

// kill ends all of them, and no other is started.
func (g *groups) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	for pid := range g.pids {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// callTimeout is for one call: without an engine the CLI would wait for ever.
const callTimeout = 25 * time.Minute

// module is the Dagger module of this checkout with a store of its own.
type module struct {
	repo, dagger string
	source       string // copy of the repository, to change
	store        string
	image        string
	s3           string
	settings     []string // instead of the rehearsal's bucket
}

func newModule(t *testing.T) *module {
	t.Helper()
	m := &module{
		repo: nixtest.Repository(t), dagger: variable(t, "PANTHEROS_DAGGER"),
		source: t.TempDir(), store: "e2e-" + strings.ToLower(rand.Text()[:10]),
	}
	m.image = filepath.Join(m.dagger, "image.tar")
	m.s3 = filepath.Join(variable(t, "PANTHEROS_S3_BIN"), "versitygw")
	for _, file := range []*string{&m.image, &m.s3} {
		// The engine is given a link as a link.
		real, err := filepath.EvalSymlinks(*file)
		if err != nil {
			t.Fatalf("%v; run `make e2e`", err)
		}
		*file = real
	}
	m.restore(t)
	return m
}

func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; run `make e2e`", name)
	}
	return value
}

// restore makes the source what the checkout has.
func (m *module) restore(t *testing.T) {
	t.Helper()
	for _, name := range []string{"flake-src", "cmd", "internal", "pipeline", "go.mod", "go.sum", "tools"} {
		to := filepath.Join(m.source, name)
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("cp", "-R", filepath.Join(m.repo, name), to).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// arguments are what every call of the module is given.
func (m *module) arguments() []string {
	args := []string{
		"--source=" + m.source, "--image-file=" + m.image, "--inputs=offline", "--jobs=4",
		"--store=" + m.store, "--commit=e2e",
	}
	if m.settings == nil {
		args = append(args, "--versitygw="+m.s3)
	}
	args = append(args, m.settings...)
	if proxy := os.Getenv("PANTHEROS_GOPROXY"); proxy != "" {
		args = append(args, "--goproxy="+proxy)
	}
	return args
}

// result is what a call left.
type result struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\n--- stdout\n%s\n--- end of stderr\n%s", r.code, code, r.stdout, end(r.stderr))
	}
	return r
}

func end(s string) string {
	if len(s) > 20000 {
		return s[len(s)-20000:]
	}
	return s
}

// call runs a function of the module: the real dagger call.
func (m *module) call(t *testing.T, args ...string) result {
	t.Helper()
	return wait(t, m.start(t, args...))
}

// running is a call under way.
type running struct {
	*exec.Cmd
	began          time.Time
	stdout, stderr *output
}

func (m *module) start(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	t.Cleanup(cancel)
	argv := slices.Concat([]string{"call", "--progress=plain", "-m", m.repo}, m.arguments(), args)
	r := &running{
		Cmd: exec.CommandContext(ctx, "dagger", argv...), began: time.Now(),
		stdout: &output{}, stderr: &output{},
	}
	r.Dir, r.Cmd.Stdout, r.Cmd.Stderr = t.TempDir(), r.stdout, r.stderr
	r.Env = append(os.Environ(), "NO_COLOR=1")
	if err := started.start(r.Cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { started.end(r.Cmd) })
	return r
}

func wait(t *testing.T, r *running) result {
	t.Helper()
	err := r.Wait()
	exit := new(exec.ExitError)
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{r.ProcessState.ExitCode(), r.stdout.String(), r.stderr.String(), time.Since(r.began)}
}

// eventually waits for something that comes soon.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to pass that %s", what)
		}
	}
}

// exported reads the report of an exported directory.
func exported(t *testing.T, dir string) *report.Report {
	t.Helper()
	rep, err := report.ReadFile(filepath.Join(dir, "report", report.JSONFile))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report", report.MarkdownFile))
	if err != nil || len(text) == 0 {
		t.Errorf("the report for people: %v, %d bytes", err, len(text))
	}
	return rep
}

func hostOf(t *testing.T, rep *report.Report, name string) report.Host {
	t.Helper()
	for _, h := range rep.Hosts {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("the report has no host %s", name)
	return report.Host{}
}

func statuses(rep *report.Report) string {
	var words []string
	for _, h := range rep.Hosts {
		words = append(words, h.Name, string(h.Status))
	}
	return strings.Join(words, " ")
}

func contains(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in:\n%s", w, end(text))
		}
	}
}

// output collects what a program prints, and may be read meanwhile.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
